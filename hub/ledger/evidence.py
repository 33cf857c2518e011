"""What an auditor holds against the log: checkpoints kept elsewhere and receipts, read by code of its own.

The formats are C2SP signed-note and tlog-checkpoint, and RFC 8417 tokens in JWS compact form (RFC 7515).
Nothing here is shared with the modules that write them.
"""

import binascii
import json
import re
from base64 import b64decode, urlsafe_b64decode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

RECEIPT_EVENT = "urn:landkreis-peine:hub:receipt:"
_DECIMAL = re.compile(rb"0|[1-9][0-9]{0,18}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_HASH = re.compile(r"[0-9a-f]{64}")
_SHA256_BYTES = 32


class Unsound(Exception):  # noqa: N818 -- the state of a piece of evidence, turned into a finding by the verifier
    """This evidence proves nothing: ``malformed``, or without a valid ``signature``."""

    def __init__(self, flaw: str) -> None:
        super().__init__(flaw)
        self.flaw = flaw


@dataclass(frozen=True, slots=True)
class Promise:
    """The log's signed word that at this size its root was this hash."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """A receipt's word that this leaf stands at this index, for this submission, and the checkpoint in it."""

    index: int
    leaf_hash: bytes
    submission: str
    checkpoint: str


def read_promise(note: str, origin: str, log_key: Ed25519PublicKey) -> Promise:
    """Read a checkpoint and prove the log's signature on it. Raises `Unsound`."""
    head, separator, below = _encoded(note).rpartition(b"\n\n")
    text = head + b"\n"
    if not separator or not below.endswith(b"\n"):
        raise Unsound(flaw="malformed")
    name, public = origin.encode(), log_key.public_bytes_raw()
    own = b"\xe2\x80\x94 " + name + b" "  # an em dash
    key_id = sha256(name + b"\n\x01" + public).digest()[:4]
    lines = [line.removeprefix(own) for line in below[:-1].split(b"\n") if line.startswith(own)]
    signatures = [value[4:] for value in map(_base64, lines) if value[:4] == key_id]
    if not signatures:
        raise Unsound(flaw="signature")
    for signature in signatures:
        _verify(log_key, signature, text)
    lines = text[:-1].split(b"\n")
    if lines[0] != name or len(lines) < 3 or not all(lines) or not _DECIMAL.fullmatch(lines[1]):  # noqa: PLR2004
        raise Unsound(flaw="malformed")
    size, root = int(lines[1]), _base64(lines[2])
    if len(root) != _SHA256_BYTES or (size == 0) != (root == sha256().digest()):
        raise Unsound(flaw="malformed")
    return Promise(size, root)


def read_claim(token: str, receipt_key: Ed25519PublicKey | None) -> Claim:
    """Read a receipt and prove its signature; without a key there is no proof. Raises `Unsound`."""
    parts = token.strip().split(".")
    if len(parts) != 3 or not all(_BASE64URL.fullmatch(part) for part in parts):  # noqa: PLR2004 -- JWS compact
        raise Unsound(flaw="malformed")
    header, claims = _object(_base64url(parts[0])), _object(_base64url(parts[1]))
    if header.get("typ") != "secevent+jwt" or header.get("alg") != "EdDSA" or "crit" in header:
        raise Unsound(flaw="malformed")
    if receipt_key is None:
        raise Unsound(flaw="signature")
    _verify(receipt_key, _base64url(parts[2]), f"{parts[0]}.{parts[1]}".encode())
    events = claims.get("events")
    if not isinstance(events, dict) or [name.startswith(RECEIPT_EVENT) for name in events] != [True]:
        raise Unsound(flaw="malformed")
    (event,) = events.values()
    log = event.get("log") if isinstance(event, dict) else None
    if not isinstance(log, dict):
        raise Unsound(flaw="malformed")
    match log.get("index"), log.get("leaf_hash"), claims.get("txn"), log.get("checkpoint"):
        case int(index), str(leaf), str(submission), str(note) if _HASH.fullmatch(leaf) and index >= 0:
            return Claim(index, bytes.fromhex(leaf), submission, note)
    raise Unsound(flaw="malformed")


def _verify(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> None:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        raise Unsound(flaw="signature") from None


def _object(text: bytes) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise Unsound(flaw="malformed") from None
    if not isinstance(read, dict):
        raise Unsound(flaw="malformed")
    return read


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Unsound(flaw="malformed") from None


def _base64(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error:
        raise Unsound(flaw="malformed") from None


def _base64url(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Unsound(flaw="malformed") from None
