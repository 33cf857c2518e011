"""Receipts as other people's libraries read them: PyJWT and joserfc."""

import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwk
from joserfc import jwt as joserfc_jwt
from joserfc.errors import BadSignatureError

from hub import receipts
from hub.errors import Corrupt

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
AT = datetime(2025, 3, 4, 12, 30, 15, 999_999, tzinfo=UTC)
COUNTS = {
    "received": 300,
    "delivered": 5,
    "already_delivered": 280,
    "refused": 8,
    "withheld": 6,
    "quarantined": 1,
}
NONE = dict.fromkeys(COUNTS, 0)
LOG = receipts.Place(index=17, leaf_hash="ab" * 32, checkpoint="hub.example/log\n18\nroot\n\n— signature\n")
FACTS: dict[str, Any] = {
    "kind": "partially_accepted",
    "issuer": "hub.landkreis-peine.example",
    "audience": "kreisvolkshochschule",
    "submission": "S-2025-0001",
    "agreement_id": "E3",
    "agreement_version": "1.0.0",
    "sha256": "cd" * 32,
    "counts": COUNTS,
    "reasons": {"value.format": 8, "consent.none": 6},
    "log": LOG,
    "issued_at": AT,
}
EDDSA_WARNS = pytest.mark.filterwarnings(
    "ignore:EdDSA is deprecated"
)  # RFC 9864; PyJWT knows no other name yet


def issue(**changes: Any) -> str:
    return receipts.issue(SIGNER, "receipt-1", **(FACTS | changes))


def by_joserfc(token: str, signer: Ed25519PrivateKey) -> joserfc_jwt.Token:
    pem = signer.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return joserfc_jwt.decode(token, jwk.OKPKey.import_key(pem), algorithms=["EdDSA"])


def by_pyjwt(token: str, signer: Ed25519PrivateKey = SIGNER) -> dict[str, Any]:
    return jwt.decode(
        token,
        signer.public_key(),
        algorithms=["EdDSA"],
        audience=FACTS["audience"],
        issuer=FACTS["issuer"],
        options={"require": ["iss", "iat", "jti", "aud"]},
    )


@EDDSA_WARNS
@settings(deadline=None)
@given(kind=st.sampled_from(get_args(receipts.Kind)))
def test_a_receipt_is_verified_by_pyjwt_and_by_joserfc_alike(kind: receipts.Kind) -> None:
    token = issue(kind=kind)
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "EdDSA", "kid": "receipt-1", "typ": "secevent+jwt"}
    other = by_joserfc(token, SIGNER)
    assert other.header == header
    assert other.claims == by_pyjwt(token)


@EDDSA_WARNS
def test_neither_library_takes_it_under_another_key_or_changed() -> None:
    token = issue()
    with pytest.raises(jwt.InvalidSignatureError):
        by_pyjwt(token, OTHER)
    with pytest.raises(BadSignatureError):
        by_joserfc(token, OTHER)
    head, claims, signature = token.split(".")
    changed = f"{head}.{claims[:-8]}{'A' * 8}.{signature}"
    with pytest.raises(jwt.InvalidTokenError):
        by_pyjwt(changed)
    with pytest.raises(BadSignatureError):
        by_joserfc(changed, SIGNER)


def test_the_claims_are_those_of_a_security_event_token() -> None:
    claims = by_pyjwt(issue())
    events = claims.pop("events")
    assert claims == {
        "iss": "hub.landkreis-peine.example",
        "aud": "kreisvolkshochschule",
        "iat": 1741091415,
        "jti": "S-2025-0001/partially_accepted",
        "txn": "S-2025-0001",
    }
    assert events == {
        "urn:landkreis-peine:hub:receipt:partially_accepted": {
            "submission": "S-2025-0001",
            "agreement": {"id": "E3", "version": "1.0.0"},
            "file": {"sha256": "cd" * 32},
            "rows": COUNTS,
            "reasons": {"value.format": 8, "consent.none": 6},
            "log": {"index": 17, "leaf_hash": "ab" * 32, "checkpoint": LOG.checkpoint},
        }
    }


def test_a_receipt_has_no_subject_and_no_end() -> None:
    assert not {"sub", "sub_id", "exp", "nbf"} & by_pyjwt(issue()).keys()  # RFC 8417, sections 2.2 and 4.5


def test_the_same_facts_give_the_same_token_in_whatever_order_they_come() -> None:
    backwards = {name: COUNTS[name] for name in reversed(COUNTS)}
    reasons = {"consent.none": 6, "value.format": 8}
    assert issue() == issue(counts=backwards, reasons=reasons)
    assert issue() != issue(issued_at=AT + timedelta(seconds=1))
    assert issue() != issue(jti="another")


def test_each_kind_of_receipt_of_a_submission_has_an_id_of_its_own() -> None:
    ids = {by_pyjwt(issue(kind=kind))["jti"] for kind in get_args(receipts.Kind)}
    assert len(ids) == len(get_args(receipts.Kind))
    assert by_pyjwt(issue(jti="S-1/second"))["jti"] == "S-1/second"


def test_the_payload_is_compact_json_with_sorted_keys() -> None:
    part = issue().split(".")[1]
    payload = urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
    assert payload == json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":"))


@settings(deadline=None)
@given(st.sampled_from([name for name in COUNTS if name != "received"]), st.integers(1, 99))
def test_no_receipt_is_signed_over_rows_that_do_not_add_up(name: str, more: int) -> None:
    with pytest.raises(Corrupt) as caught:
        issue(counts=COUNTS | {name: COUNTS[name] + more})
    assert caught.value.code == "receipt.counts"


def test_the_first_receipt_may_come_before_the_rows_are_judged() -> None:
    assert by_pyjwt(issue(kind="received", counts=NONE | {"received": 300}, reasons={}))
    assert by_pyjwt(issue(kind="received", counts=NONE, reasons={}))


@pytest.mark.parametrize("counts", [{}, {"received": 1, "delivered": 1}, NONE | {"lost": 0}])
def test_counts_that_lack_a_fate_or_know_another_are_not_signed(counts: dict[str, int]) -> None:
    with pytest.raises(Corrupt) as caught:
        issue(counts=counts)
    assert caught.value.code == "receipt.counts"


@pytest.mark.parametrize("code", ["consent.withdrawn", "person.unknown", "consent.a_new_code"])
def test_a_fine_reason_that_tells_who_is_known_is_not_signed(code: str) -> None:
    with pytest.raises(Corrupt) as caught:
        issue(reasons={code: 1})
    assert caught.value.code == "receipt.reasons"
    assert code not in str(caught.value)
