"""Signed receipts for senders: security event tokens (RFC 8417) that say what became of a submission.

A receipt is a JWS in compact form (RFC 7515) signed with Ed25519 (``alg`` EdDSA, RFC 8037), which every JWT
library verifies. It quotes the place of its entry in the transfer log and a checkpoint: whoever keeps it can
prove later that the log was cut or rewritten. It holds counts and coarse reasons, never a value of a row.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.errors import Corrupt
from hub.report_words import Outcome
from hub.reports import COUNTS, coarse

Kind = Outcome

EVENT = "urn:landkreis-peine:hub:receipt:"
"""The event's URN; the kind follows."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the log tells of the receipt's event: index, leaf hash in hex, a checkpoint that covers it."""

    index: int
    leaf_hash: str
    checkpoint: str


def issue(  # noqa: PLR0913 -- each is a claim of the receipt
    signer: Ed25519PrivateKey,
    kid: str,
    *,
    kind: Kind,
    issuer: str,
    audience: str,
    submission: str,
    agreement_id: str,
    agreement_version: str,
    sha256: str,
    counts: Mapping[str, int],
    reasons: Mapping[str, int],
    log: Place,
    issued_at: datetime,
    jti: str | None = None,
) -> str:
    """Sign a receipt; the same facts give the same token, byte for byte.

    ``audience`` is the sender's partner id, ``sha256`` the digest of the file as it came, ``counts`` the rows
    by fate (`hub.reports.COUNTS`), ``reasons`` the coarse codes with their rows. ``jti`` is made from
    submission and kind unless given, since a submission gets one receipt of each kind.

    Raises:
        Corrupt: the counts do not add up, or a reason is one that only staff may read.
    """
    _check(kind, counts, reasons)
    event = {
        "submission": submission,
        "agreement": {"id": agreement_id, "version": agreement_version},
        "file": {"sha256": sha256},
        "rows": {name: counts[name] for name in COUNTS},
        "reasons": dict(reasons),
        "log": asdict(log),
    }
    claims = {
        "iss": issuer,
        "aud": audience,
        "iat": int(issued_at.timestamp()),
        "jti": jti or f"{submission}/{kind}",
        "txn": submission,
        "events": {EVENT + kind: event},
    }
    in_order = json.loads(json.dumps(claims, sort_keys=True))  # the same facts give the same token
    headers = {"kid": kid, "typ": "secevent+jwt"}
    return jwt.encode(in_order, signer, "EdDSA", headers, sort_headers=True)


def _check(kind: Kind, counts: Mapping[str, int], reasons: Mapping[str, int]) -> None:
    if set(counts) != set(COUNTS):
        message = f"expected the counts {', '.join(COUNTS)}, got {', '.join(sorted(counts))}"
        raise Corrupt(
            code="receipt.counts", message=message, remedy="Report this: it is a defect of the hub."
        )
    found = sum(counts[name] for name in COUNTS[1:])
    if kind != "received" and found != counts["received"]:
        message = f"expected the fate of {counts['received']} rows, found that of {found}"
        raise Corrupt(
            code="receipt.counts", message=message, remedy="Report this: it is a defect of the hub."
        )
    if coarse(reasons) != dict(reasons):
        message = "expected coarse reasons, got one that would tell the sender who is known to the hub"
        raise Corrupt(
            code="receipt.reasons", message=message, remedy="Report this: it is a defect of the hub."
        )
