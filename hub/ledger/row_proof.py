"""Proofs to carry away, checked as an auditor would: an entry of the log, or a row of a transfer in it.

A proof file is one JSON object. ``entry`` holds the exact text of an entry and ``proof`` its C2SP tlog-proof;
for a row there are ``scheme``, ``index`` (from 0) of ``rows``, ``salt`` and ``path`` in hex, and ``row``, the
row's text. Nothing here is shared with the modules that write the log or commit to rows (import-linter holds
that).
"""

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.ledger.evidence import Unsound
from hub.ledger.inclusion import Proved, prove

SCHEME = "rows-sha256-v1"
_SALT = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST = 2**53  # rows that a reader of JSON can count


@dataclass(frozen=True)
class Shown:
    """What a proof file shows: the entry, where it stands, and of a row its place from 1 and its cells."""

    entry: dict[str, Any]
    proved: Proved
    place: int | None = None
    rows: int | None = None
    cells: tuple[str, ...] | None = None


def check(text: str, origin: str, log_key: Ed25519PublicKey) -> Shown:
    """Prove what a proof file claims, from its text and the log's public key alone.

    Raises `Unsound`: ``malformed``, ``signature`` of the checkpoint, a ``path`` of the entry that leads
    elsewhere, ``kind`` for an entry that commits to no rows, or ``row`` for one that is not of its transfer.
    """
    claim = _object(text)
    body, proof = claim.get("entry"), claim.get("proof")
    if claim.get("format") != 1 or not isinstance(body, str) or not isinstance(proof, str):
        raise Unsound(flaw="malformed")
    proved = prove(_utf8(body), proof, origin, log_key)
    entry = _object(body)
    if "row" not in claim:
        return Shown(entry, proved)
    said = entry.get("commitment")
    if entry.get("kind") != "intent" or not isinstance(said, dict):
        raise Unsound(flaw="kind")
    (index, rows), row, salt = _counts(claim), claim["row"], claim.get("salt")
    if claim.get("scheme") != SCHEME or not isinstance(row, str):
        raise Unsound(flaw="malformed")
    if not isinstance(salt, str) or not _SALT.fullmatch(salt):
        raise Unsound(flaw="malformed")
    leaf = sha256(b"\x00" + bytes.fromhex(salt) + _utf8(row)).digest()
    reached = _fold(leaf, index, rows, _path(claim.get("path")))
    if said != {"scheme": SCHEME, "root": reached.hex(), "rows": rows}:
        raise Unsound(flaw="row")
    return Shown(entry, proved, index + 1, rows, _cells(row))


def checkpoint(text: str) -> str:
    """Give the signed checkpoint that a proof file quotes, unchecked. Raises `Unsound` ``malformed``."""
    proof = _object(text).get("proof")
    if not isinstance(proof, str):
        raise Unsound(flaw="malformed")
    return proof.partition("\n\n")[2]


def _fold(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Climb from a leaf to the root: at each level the node's sibling, if it has one, is next in the path."""
    reached, last, used = leaf, size - 1, 0
    while last > 0:
        if index % 2 or index < last:  # the last node of a level that stands alone goes up as it is
            if used == len(path):
                raise Unsound(flaw="row")
            pair = path[used] + reached if index % 2 else reached + path[used]
            reached, used = sha256(b"\x01" + pair).digest(), used + 1
        index, last = index // 2, last // 2
    if used != len(path):
        raise Unsound(flaw="row")
    return reached


def _counts(claim: dict[str, Any]) -> tuple[int, int]:
    """Give the place of a row and how many there are; true and false are no numbers."""
    index, rows = claim.get("index"), claim.get("rows")
    if type(index) is not int or type(rows) is not int or not 0 <= index < rows <= _MOST:
        raise Unsound(flaw="malformed")
    return index, rows


def _path(claimed: object) -> list[bytes]:
    if not isinstance(claimed, list) or not all(
        isinstance(one, str) and _HASH.fullmatch(one) for one in claimed
    ):
        raise Unsound(flaw="malformed")
    return [bytes.fromhex(one) for one in claimed]


def _cells(row: str) -> tuple[str, ...]:
    try:
        cells = json.loads(row)
    except (ValueError, RecursionError):
        cells = None
    if not isinstance(cells, list) or not all(isinstance(cell, str) for cell in cells):
        raise Unsound(flaw="malformed")
    return tuple(cells)


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise Unsound(flaw="malformed")
    return read


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Unsound(flaw="malformed") from None
