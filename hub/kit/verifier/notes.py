"""Signed notes, checkpoints, cosignatures and keys as C2SP writes them.

signed-note, tlog-checkpoint and tlog-cosignature, all in their version 1, with Ed25519.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Callable, NamedTuple

Verify = Callable[[bytes, bytes, bytes], bool]
"""Checks a signature: public key, signature, message."""

_LOG_KEY, _WITNESS_KEY = 0x01, 0x04
_MOST_LINES = 100
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f]")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Malformed(Exception):  # noqa: N818 -- the state of a text, turned into a finding
    """Something is not in the form that it must have."""


class Key(NamedTuple):
    """A public key as a vkey tells it: name, id in notes, what it signs (0x01 notes, 0x04 cosignatures)."""

    name: str
    key_id: bytes
    use: int
    public: bytes


class Note(NamedTuple):
    """A note: the text with its last newline, and per line the signer's name, key id and signature."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]


class Checkpoint(NamedTuple):
    """A log's word on its size and root."""

    origin: str
    size: int
    root: bytes


def read_key(text: str, use: int) -> Key:
    """Read a vkey ``name+id+base64(use || key)``. Raises `Malformed`, also where it is for another use."""
    name, _, rest = text.partition("+")
    number, _, encoded = rest.partition("+")
    material = exact_base64(encoded)
    if len(material) != 33 or material[0] != use or not _is_name(name):
        raise Malformed
    key_id = sha256(name.encode("utf-8") + b"\n" + material).digest()[:4]
    if key_id.hex() != number:
        raise Malformed
    return Key(name, key_id, use, material[1:])


def read_log_key(text: str) -> Key:
    """Read the vkey of a log, or of whoever signs receipts."""
    return read_key(text, _LOG_KEY)


def read_witness_key(text: str) -> Key:
    """Read the vkey of a witness."""
    return read_key(text, _WITNESS_KEY)


def read_note(text: str) -> Note:
    """Take a signed note apart; no signature is checked. Raises `Malformed`."""
    head, separator, below = text.rpartition("\n\n")
    if not separator or not below.endswith("\n") or _CONTROLS.search(text):
        raise Malformed
    lines = below[:-1].split("\n")
    if len(lines) > _MOST_LINES:
        raise Malformed
    signatures = []
    for line in lines:
        mark, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        value = exact_base64(encoded)
        if mark != "\u2014" or len(value) <= 4 or not _is_name(name):
            raise Malformed
        signatures.append((name, value[:4], value[4:]))
    return Note(head + "\n", tuple(signatures))


def read_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint. Raises `Malformed`."""
    lines = text.split("\n")
    if lines.pop() or len(lines) < 3 or not all(lines) or not _DECIMAL.fullmatch(lines[1]):
        raise Malformed
    size, root = int(lines[1]), exact_base64(lines[2])
    if len(root) != 32 or (size == 0) != (root == sha256().digest()):
        raise Malformed
    return Checkpoint(lines[0], size, root)


def signed_by(note: Note, keys: Iterable[Key], verify: Verify) -> bool:
    """Tell whether one of these keys signed the note, and none of them wrongly."""
    known = {(key.name, key.key_id): key for key in keys}
    own = [(known[name, number], value) for name, number, value in note.signatures if (name, number) in known]
    text = note.text.encode("utf-8")
    return bool(own) and all(verify(key.public, value, text) for key, value in own)


def cosigned(note: Note, witnesses: dict[str, Key], verify: Verify) -> dict[str, int | None]:
    """Tell which witnesses cosigned, by their names in the policy: when (POSIX time), or None if wrongly."""
    found: dict[str, int | None] = {}
    for name, key in witnesses.items():
        for signer, number, value in note.signatures:
            if (signer, number) != (key.name, key.key_id) or found.get(name) is not None:
                continue
            at = int.from_bytes(value[:8], "big")
            message = f"cosignature/v1\ntime {at}\n{note.text}".encode()
            sound = len(value) == 72 and at < 2**63 and verify(key.public, value[8:], message)
            found[name] = at if sound else None
    return found


def exact_base64(text: str) -> bytes:
    """Decode standard base64 in its one canonical spelling. Raises `Malformed`."""
    try:
        value = b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed from None
    if b64encode(value).decode("ascii") != text:
        raise Malformed
    return value


def decimal(text: str) -> int:
    """Read a number in decimal without leading zeros, up to 19 digits. Raises `Malformed`."""
    if not _DECIMAL.fullmatch(text):
        raise Malformed
    return int(text)


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(sign.isspace() for sign in name)
