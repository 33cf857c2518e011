"""Inclusion proofs to carry away: texts that prove offline that an entry is logged (C2SP tlog-proof v1)."""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.errors import Corrupt
from hub.ledger.checkpoint import Checkpoint, open_checkpoint, read_base64
from hub.ledger.tree import HASH_BYTES, verify_inclusion

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"\Aindex (0|[1-9][0-9]{0,18})\Z")
_MOST_HASHES = 63  # the height of the highest tree that a bigint can count
_REMEDY = "Ask the log's operator for the proof again."


@dataclass(frozen=True)
class Proof:
    """The way from the leaf at ``index`` (siblings, leaf up) to the root that the checkpoint signs."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    @property
    def text(self) -> str:
        """The proof as it is handed out."""
        lines = [_HEADER]
        if self.extra is not None:
            lines.append(f"extra {b64encode(self.extra).decode()}")
        lines += [f"index {self.index}", *(b64encode(sibling).decode() for sibling in self.path)]
        return "\n".join(lines) + "\n\n" + self.checkpoint


def parse_proof(text: str) -> Proof:
    """Take a proof apart, strictly, without checking it. Raises `Corrupt` when it is malformed."""
    head, separator, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines.pop(0) != _HEADER:
        raise _malformed(expected=f"the first line {_HEADER} and an empty line before the checkpoint")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = read_base64(lines.pop(0).removeprefix("extra "))
    index = _INDEX.match(lines.pop(0)) if lines else None
    if index is None:
        raise _malformed(expected="a line with the index of the entry")
    return Proof(int(index[1]), _path(lines), checkpoint, extra)


def check_proof(proof: Proof, leaf: bytes, origin: str, public_key: Ed25519PublicKey) -> Checkpoint:
    """Prove that this leaf hash is in the log, by the checkpoint returned. Raises `Corrupt` if it is not."""
    checkpoint = open_checkpoint(proof.checkpoint, origin, public_key)
    if not verify_inclusion(leaf, proof.index, checkpoint.size, proof.path, checkpoint.root):
        message = f"the proof does not lead from this entry to the root at size {checkpoint.size}"
        raise Corrupt(code="proof.wrong", message=message, remedy=_REMEDY)
    return checkpoint


def _path(lines: Sequence[str]) -> tuple[bytes, ...]:
    path = tuple(read_base64(line) for line in lines)
    if len(path) > _MOST_HASHES or any(len(sibling) != HASH_BYTES for sibling in path):
        raise _malformed(expected=f"at most {_MOST_HASHES} hashes of {HASH_BYTES} bytes")
    return path


def _malformed(expected: str) -> Corrupt:
    return Corrupt(code="proof.malformed", message=f"expected a proof with {expected}", remedy=_REMEDY)
