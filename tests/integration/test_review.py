"""What PostgreSQL itself holds of staff and reviews, and how staff is registered."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from hub import registry, staff
from hub.database.models import LedgerEntry, ReviewDecision, Staff, Submission
from hub.database.session import Database, translated
from hub.errors import Corrupt, HubError, Refused
from hub.keys import KeyRing, create_keys
from hub.ledger import entry
from hub.ledger.journal import Journal
from hub.office import Office
from hub.roles import LOGINS, Role
from hub.settings import Settings


@dataclass(frozen=True)
class Desk:
    """As much of an office as registering people takes."""

    settings: Settings
    database: Database
    ring: KeyRing
    journal: Journal


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    create_keys(tmp_path / "keys")
    ring = KeyRing(tmp_path / "keys")
    journal = Journal(tmp_path / "journal", ring)
    return cast("Office", Desk(Settings(home=tmp_path), database, ring, journal))


def public_key() -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " a comment"


@contextmanager
def refused(code: str, branch: type[HubError] = Refused) -> Iterator[None]:
    with pytest.raises(branch) as caught:
        yield
    assert caught.value.code == code


@contextmanager
def broken(rule: str) -> Iterator[None]:
    with pytest.raises(Corrupt) as caught:
        yield
    assert rule in caught.value.message


def logged(office: Office) -> list[entry.Entry]:
    with office.database.transaction() as session:
        return [
            entry.read(body or b"") for body in session.scalars(select(LedgerEntry.body).order_by("index"))
        ]


def test_registering_a_person_is_logged_by_alias_and_again_changes_nothing(office: Office) -> None:
    key = public_key()
    added = staff.ensure(office, "m.weber", Role.STEWARD, key)
    assert staff.ensure(office, "m.weber", Role.STEWARD, key) == added
    assert staff.ensure(office, "m.weber", Role.STEWARD) == added
    (told,) = logged(office)
    assert (told.kind, told.reason, told.actor.role) == ("key", "staff_added", "administrator")
    assert told.details == {
        "staff": added.alias,
        "role": "steward",
        "fingerprint": registry.fingerprint(key),
    }
    assert b"weber" not in entry.canonical(told)
    with office.database.transaction() as session:
        assert staff.of_key(session, key) == added
        assert staff.of_key(session, public_key()) is None
        assert staff.role_of(session, "m.weber") is Role.STEWARD
        assert staff.role_of(session, "nobody") is None


def test_the_users_with_whom_a_hub_begins_are_registered_and_given_a_key_later(office: Office) -> None:
    for name, role in LOGINS.items():
        assert staff.ensure(office, name, role).fingerprint is None
    key = public_key()
    assert staff.ensure(office, "steward", Role.STEWARD, key).fingerprint == registry.fingerprint(key)
    with office.database.transaction() as session:
        assert {member.name: member.role for member in staff.listed(session)} == dict(LOGINS)


def test_one_person_has_one_role_and_one_key_belongs_to_one_person(office: Office) -> None:
    key, theirs = public_key(), public_key()
    staff.ensure(office, "weber", Role.STEWARD, key)
    with office.database.transaction() as session:
        registry.add_partner_key(session, "kvhs", "KVHS", theirs, "first")
    for name, role, given, code in (
        ("weber", Role.AUDITOR, None, "staff.role"),
        ("weber", Role.STEWARD, public_key(), "staff.key"),
        ("yilmaz", Role.STEWARD, key, "staff.key"),
        ("yilmaz", Role.STEWARD, theirs, "staff.key"),
        ("yilmaz", Role.STEWARD, "ssh-rsa AAAA", "staff.key"),
        ("Yilmaz", Role.STEWARD, None, "staff.name"),
        ("a b", Role.STEWARD, None, "staff.name"),
        ("", Role.STEWARD, None, "staff.name"),
    ):
        with refused(code):
            staff.ensure(office, name, role, given)
    assert len(logged(office)) == 1


def test_whoever_is_suspended_stays_so_and_it_is_logged_once(office: Office) -> None:
    key = public_key()
    staff.ensure(office, "weber", Role.STEWARD, key)
    for _ in range(2):
        with office.database.transaction() as session:
            assert not staff.suspend(session, office, "weber").active
    with office.database.transaction() as session:
        assert staff.role_of(session, "weber") is None
        assert staff.of_key(session, key) is None
    with refused("staff.suspended"):
        staff.ensure(office, "weber", Role.STEWARD)
    with refused("staff.unknown"), office.database.transaction() as session:
        staff.suspend(session, office, "nobody")
    assert [told.reason for told in logged(office)] == ["staff_added", "staff_suspended"]


@pytest.mark.parametrize(
    "change", ["role = 'steward'", "public_key = 'k', fingerprint = 'f'", "name = 'x'", "alias = 'x'"]
)
def test_who_somebody_is_never_changes_in_the_database(office: Office, change: str) -> None:
    staff.ensure(office, "auditor", Role.AUDITOR, public_key())
    with broken("staff_is_frozen"), translated(), Session(office.database.owner) as session, session.begin():
        session.execute(text(f"UPDATE hub.staff SET {change}"))  # noqa: S608 -- a constant of this test
    with broken("staff_stands"), translated(), Session(office.database.owner) as session, session.begin():
        session.execute(text("DELETE FROM hub.staff"))


def test_a_suspended_person_is_not_called_back_in_the_database(office: Office) -> None:
    staff.ensure(office, "weber", Role.STEWARD)
    with office.database.transaction() as session:
        staff.suspend(session, office, "weber")
    with broken("staff_is_frozen"), office.database.transaction() as session:
        session.get_one(Staff, "weber").active = True


def decision(**more: Any) -> ReviewDecision:
    values = {"submission": "s1", "round": 1, "approver": "weber", "role": "steward", "verdict": "approve"}
    values |= {"grounds": "examined", "held_for": "batch.rows", "matter": "m", "method": "key"}
    values |= {"fingerprint": secrets.token_hex(4), "evidence": "e", "log_index": 0}
    return ReviewDecision(**values | {"at": "2025-03-04T12:00:00Z"} | more)


@pytest.fixture
def filed(office: Office) -> Office:
    """An office with two stewards and one submission."""
    for name in ("weber", "yilmaz"):
        staff.ensure(office, name, Role.STEWARD)
    with office.database.transaction() as session:
        session.execute(text("INSERT INTO hub.partner (id, name) VALUES ('vhs', 'VHS')"))
        session.execute(
            text(
                "INSERT INTO hub.agreement (id, version, digest, body, status)"
                " VALUES ('E2', '1', 'd', '{}', 'x')"
            )
        )
        session.flush()
        session.add(
            Submission(id="s1", agreement="E2", agreement_version="1", sender="vhs", sha256="0" * 64, bytes=1)
        )
    return office


def test_a_person_or_a_key_decides_once_a_round(filed: Office) -> None:
    with filed.database.transaction() as session:
        session.add(decision(fingerprint="f"))
    with broken("review_decision_pkey"), filed.database.transaction() as session:
        session.add(decision(fingerprint="g"))
    with broken("one_word_a_key"), filed.database.transaction() as session:
        session.add(decision(approver="yilmaz", fingerprint="f"))
    with filed.database.transaction() as session:
        session.add_all([decision(approver="yilmaz", fingerprint="g"), decision(round=2, fingerprint="f")])


@pytest.mark.parametrize("change", ["verdict = 'reject'", "evidence = 'x'", "round = 2"])
def test_a_decision_once_written_stands_even_for_the_owner(filed: Office, change: str) -> None:
    with filed.database.transaction() as session:
        session.add(decision(at=datetime.now(UTC)))
    update = f"UPDATE hub.review_decision SET {change}"  # noqa: S608 -- a constant of this test
    for statement in (update, "DELETE FROM hub.review_decision"):
        with broken("review_stands"), translated(), Session(filed.database.owner) as session, session.begin():
            session.execute(text(statement))


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ("review_verdict", {"verdict": "perhaps"}),
        ("review_method", {"method": "telephone"}),
        ("review_decision_approver_fkey", {"approver": "nobody"}),
        ("review_decision_submission_fkey", {"submission": "s2"}),
    ],
)
def test_a_decision_is_one_of_the_known_on_something_that_is_there(
    filed: Office, rule: str, more: dict[str, Any]
) -> None:
    with broken(rule), filed.database.transaction() as session:
        session.add(decision(**more))


def test_an_auditor_reads_decisions_and_who_gave_them(filed: Office) -> None:
    with filed.database.transaction() as session:
        session.add(decision())
    with filed.database.audit() as session:
        assert session.scalar(select(ReviewDecision.verdict)) == "approve"
        assert len(session.scalars(select(Staff)).all()) == 2
