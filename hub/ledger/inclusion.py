"""The proof of one entry, checked as an auditor would: from what is handed out, by code of its own.

The text is C2SP tlog-proof, the path is folded as RFC 9162 section 2.1.3.2 says. Nothing here is shared with
the modules that write the log (import-linter holds that).
"""

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.ledger.evidence import Promise, Unsound, read_promise

_FIRST = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_SHA256_BYTES = 32


@dataclass(frozen=True, slots=True)
class Step:
    """One step up the tree: the sibling, whether it stands on the left, and the hash that both make."""

    sibling: bytes
    on_the_left: bool
    reached: bytes


@dataclass(frozen=True, slots=True)
class Proved:
    """An entry that is proved to be in the log: its leaf hash, the way up, and the signed root it reaches."""

    index: int
    leaf_hash: bytes
    steps: tuple[Step, ...]
    promise: Promise


def prove(body: bytes, text: str, origin: str, log_key: Ed25519PublicKey) -> Proved:
    """Prove from a proof's text alone that these very bytes are an entry of the log; see `prove_leaf`."""
    return prove_leaf(sha256(b"\x00" + body).digest(), text, origin, log_key)


def prove_leaf(leaf: bytes, text: str, origin: str, log_key: Ed25519PublicKey) -> Proved:
    """Prove from a proof's text alone that a leaf hash is in the log: all that is left once a body is erased.

    Raises `Unsound`: ``malformed``, ``signature`` of the checkpoint, or a ``path`` that leads elsewhere.
    """
    head, separator, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    if lines and lines[0].startswith("extra "):
        del lines[0]  # it says nothing about the entry
    named = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if not separator or first != _FIRST or named is None:
        raise Unsound(flaw="malformed")
    path = [_hash(line) for line in lines]
    promise = read_promise(note, origin, log_key)
    index = int(named[1])
    steps = _climb(leaf, index, promise.size, path)
    if (steps[-1].reached if steps else leaf) != promise.root:
        raise Unsound(flaw="path")
    return Proved(index, leaf, steps, promise)


def _climb(leaf: bytes, index: int, size: int, path: list[bytes]) -> tuple[Step, ...]:
    """Fold the path as RFC 9162 section 2.1.3.2 has it, with its names fn, sn and r."""
    if index >= size:
        raise Unsound(flaw="path")
    fn, sn, r = index, size - 1, leaf
    steps = []
    for sibling in path:
        if sn == 0:
            raise Unsound(flaw="path")
        left = bool(fn & 1) or fn == sn
        r = sha256(b"\x01" + (sibling + r if left else r + sibling)).digest()
        steps.append(Step(sibling, left, r))
        while left and fn and not fn & 1:
            fn, sn = fn >> 1, sn >> 1
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise Unsound(flaw="path")
    return tuple(steps)


def _hash(line: str) -> bytes:
    try:
        found = b64decode(line.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        found = b""
    if len(found) != _SHA256_BYTES:
        raise Unsound(flaw="malformed")
    return found
