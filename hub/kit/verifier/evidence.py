"""What the auditor holds against the kit: checkpoints kept elsewhere, and receipts.

Receipts are security event tokens (RFC 8417) as JWS in compact form (RFC 7515), signed
with Ed25519 (RFC 8037).
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode
from typing import Any, NamedTuple

from hub.kit.verifier.ed25519 import is_signed
from hub.kit.verifier.notes import Checkpoint, Malformed, read_checkpoint, read_note, signed_by
from hub.kit.verifier.trust import Trust
from hub.kit.verifier.words import Findings

_EVENT = "urn:landkreis-peine:hub:receipt:"
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Promise(NamedTuple):
    """A root that somebody else knows, and how its source is called in English and German."""

    size: int
    root: bytes
    place: str
    platz: str


class Claim(NamedTuple):
    """A receipt's word: this leaf at this index, for this submission; and the checkpoint in it."""

    entry: int
    leaf: bytes
    submission: str
    checkpoint: str


class Receipt:
    """A receipt brought along: its number and file, what it claims, and whether that holds so far."""

    def __init__(self, number: int, file: str) -> None:
        self.number, self.file = number, file
        self.claim: Claim | None = None
        self.holds = True

    def fail(self, found: Findings, code: str) -> None:
        """Tell what is wrong with it."""
        found.add(code, self.number)
        self.holds = False


def read_kept(texts: list[bytes], origin: str, trust: Trust, found: Findings) -> list[Promise]:
    """Read the checkpoints brought along, and those on paper; what proves nothing is told."""
    promises = []
    for number, text in enumerate(texts, 1):
        try:
            promise = _signed_checkpoint(text.decode("utf-8"), origin, trust)
        except (UnicodeDecodeError, Malformed):
            found.add("kept.malformed", number)
            continue
        if promise is None:
            found.add("kept.signature", number)
            continue
        promises.append(_promise(promise, f"kept checkpoint {number}", f"mitgebrachter Prüfpunkt {number}"))
    on_paper = [Checkpoint(origin, size, root) for size, root in trust.kept]
    return promises + [_promise(one, "trust file", "Vertrauensdatei") for one in on_paper]


def read_receipt(
    receipt: Receipt, token: bytes, origin: str, trust: Trust, found: Findings
) -> Promise | None:
    """Read a receipt into its claim; the checkpoint in it binds the log as one kept elsewhere does."""
    try:
        claim = _claim(token, trust)
    except Malformed as flaw:
        receipt.fail(found, str(flaw))
        return None
    receipt.claim = claim
    try:
        promise = _signed_checkpoint(claim.checkpoint, origin, trust)
    except Malformed:
        promise = None
    if promise is None or promise.size <= claim.entry:
        receipt.fail(found, "receipt.checkpoint")
    if promise is None:
        return None
    return _promise(promise, f"receipt {receipt.number}", f"Quittung {receipt.number}")


def _promise(promise: Checkpoint, name: str, german: str) -> Promise:
    return Promise(
        promise.size, promise.root, f"{name}, size {promise.size}", f"{german}, Größe {promise.size}"
    )


def _signed_checkpoint(text: str, origin: str, trust: Trust) -> Checkpoint | None:
    note = read_note(text)
    promise = read_checkpoint(note.text)
    if promise.origin != origin:
        raise Malformed
    return promise if signed_by(note, trust.logs, is_signed) else None


def _claim(token: bytes, trust: Trust) -> Claim:
    """Read a token and prove its signature. Raises `Malformed` with the code of what is wrong."""
    parts = token.strip().decode("ascii", "replace").split(".")
    if len(parts) != 3 or not all(_BASE64URL.fullmatch(part) for part in parts):
        raise Malformed("receipt.malformed")
    header, claims, signature = _object(_url64(parts[0])), _object(_url64(parts[1])), _url64(parts[2])
    if header.get("typ") != "secevent+jwt" or header.get("alg") != "EdDSA" or "crit" in header:
        raise Malformed("receipt.malformed")
    if not trust.receipts:
        raise Malformed("trust.no_receipt_key")
    signed = f"{parts[0]}.{parts[1]}".encode("ascii")
    if not any(is_signed(key.public, signature, signed) for key in trust.receipts):
        raise Malformed("receipt.signature")
    return _claimed(claims)


def _claimed(claims: dict[str, Any]) -> Claim:
    events = claims.get("events")
    if not isinstance(events, dict) or [name.startswith(_EVENT) for name in events] != [True]:
        raise Malformed("receipt.malformed")
    (event,) = events.values()
    log = event.get("log") if isinstance(event, dict) else None
    if not isinstance(log, dict):
        raise Malformed("receipt.malformed")
    index, leaf, submission, note = (
        log.get("index"),
        log.get("leaf_hash"),
        claims.get("txn"),
        log.get("checkpoint"),
    )
    if type(index) is not int or index < 0 or not isinstance(submission, str) or not isinstance(note, str):
        raise Malformed("receipt.malformed")
    if not isinstance(leaf, str) or not _HEX.fullmatch(leaf):
        raise Malformed("receipt.malformed")
    return Claim(index, bytes.fromhex(leaf), submission, note)


def _object(text: bytes) -> dict[str, Any]:
    try:
        read = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise Malformed("receipt.malformed")
    return read


def _url64(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Malformed("receipt.malformed") from None
