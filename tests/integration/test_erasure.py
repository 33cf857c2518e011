"""The one door by which a body leaves the log, and everybody whom PostgreSQL itself turns away from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from sqlalchemy import URL, text
from sqlalchemy.orm import Session

from hub.database.privileges import CALLED
from hub.database.session import Database, translated
from hub.errors import Corrupt
from hub.ledger import erasures, store
from hub.ledger.entry import Actor, Entry, Span
from hub.ledger.verify import verify_database
from hub.retention.bodies import KEPT
from tests.integration.conftest import superuser

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ORIGIN = "hub.example/log"
HUB = Actor(role="hub", id="retention")
ERASE = text("SELECT ledger.erase_bodies(:announced, clock_timestamp() - interval '365 days')")


def append(session: Session, kind: str = "alarm", **more: object) -> int:
    fields = {"kind": kind, "time": datetime.now(UTC), "actor": HUB, "reason": "test"} | more
    return store.append(session, SIGNER, ORIGIN, [Entry.model_validate(fields)])[0].index


def announce(session: Session, first: int, last: int, **counts: int) -> int:
    return append(session, "retention", span=Span(first=first, last=last), counts=counts)


@contextmanager
def as_owner(database: Database) -> Iterator[Session]:
    with translated(), Session(database.owner) as session, session.begin():
        yield session


@contextmanager
def master(server: URL, database: Database) -> Iterator[psycopg.Connection]:
    with superuser(server, str(database.owner.url.database)) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


@pytest.fixture
def old(server: URL, database: Database) -> Database:
    """A log of ten entries, two years old: 0-3 alarms, 4 a key event, 5-8 alarms, and 9, a young alarm."""
    with database.transaction() as session:
        for number in range(10):
            event = {"details": {"n": number}} if number == 4 else {}
            append(session, "key" if number == 4 else "alarm", **event)
    with master(server, database) as connection:
        connection.execute(
            "UPDATE ledger.entry SET recorded_at = recorded_at - interval '2 years' WHERE index < 9"
        )
    return database


def erased(database: Database) -> list[int]:
    with database.audit() as session:
        return list(session.scalars(text("SELECT index FROM ledger.entry WHERE body IS NULL ORDER BY index")))


def test_what_is_announced_is_erased_and_what_explains_the_log_stays(old: Database) -> None:
    with old.transaction() as session:
        told = announce(session, 1, 7, alarm=6)
        assert session.scalar(ERASE, {"announced": told}) == 6
    assert erased(old) == [1, 2, 3, 5, 6, 7]
    with old.auditor.connect() as connection:
        found = verify_database(connection, log_key=SIGNER.public_key(), origin=ORIGIN)
    assert (found.ok, found.erased, found.findings) == (True, 6, ())


@pytest.mark.parametrize(
    ("first", "last", "counts", "rule"),
    [
        (1, 7, {"alarm": 7}, "erasure_is_announced"),
        (1, 7, {"alarm": 5, "key": 1}, "erasure_is_announced"),
        (4, 4, {"key": 1}, "erasure_is_announced"),
        (5, 9, {"alarm": 5}, "erasure_comes_in_time"),
        (5, 20, {"alarm": 5}, "erasure_comes_in_time"),
    ],
)
def test_an_announcement_that_does_not_fit_erases_nothing(
    old: Database, first: int, last: int, counts: dict[str, int], rule: str
) -> None:
    with pytest.raises(Corrupt, match=rule) as caught, old.transaction() as session:
        session.execute(ERASE, {"announced": announce(session, first, last, **counts)})
    assert caught.value.code == "database.constraint"
    assert erased(old) == []


def test_a_span_is_erased_once_in_the_transaction_that_announces_it(old: Database) -> None:
    with old.transaction() as session:
        earlier = announce(session, 0, 3, alarm=4)
    for attempt in (earlier, 0, 99):
        with pytest.raises(Corrupt, match="ledger_is_append_only"), old.transaction() as session:
            session.execute(ERASE, {"announced": attempt})
    with old.transaction() as session:
        session.execute(ERASE, {"announced": announce(session, 0, 3, alarm=4)})
    with pytest.raises(Corrupt, match="ledger_is_append_only"), old.transaction() as session:
        session.execute(ERASE, {"announced": announce(session, 0, 5, alarm=1)})
    assert erased(old) == [0, 1, 2, 3]


def test_a_period_longer_than_the_floor_is_held_as_well(old: Database) -> None:
    earlier = text("SELECT ledger.erase_bodies(:announced, clock_timestamp() - interval '3 years')")
    with pytest.raises(Corrupt, match="erasure_comes_in_time"), old.transaction() as session:
        session.execute(earlier, {"announced": announce(session, 0, 3, alarm=4)})
    later = text("SELECT ledger.erase_bodies(:announced, clock_timestamp() + interval '3 years')")
    with pytest.raises(Corrupt, match="erasure_comes_in_time"), old.transaction() as session:
        session.execute(later, {"announced": announce(session, 5, 9, alarm=5)})


def test_the_application_cannot_make_an_entry_old(old: Database) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=900)
    with pytest.raises(Corrupt, match="42501"), old.transaction() as session:
        session.execute(
            text(
                "INSERT INTO ledger.entry (index, body, leaf_hash, kind, recorded_at)"
                " VALUES (10, 'b', 'h', 'alarm', :at)"
            ),
            {"at": long_ago},
        )


def test_a_changed_body_is_not_erased_with_its_trace(server: URL, old: Database) -> None:
    for spoiled in ("body = replace(convert_from(body, 'UTF8'), 'test', 'tent')::bytea", "kind = 'log_read'"):
        with master(server, old) as connection:
            before = connection.execute("SELECT body, kind FROM ledger.entry WHERE index = 2").fetchone()
            connection.execute(f"UPDATE ledger.entry SET {spoiled} WHERE index = 2".encode())  # noqa: S608 -- constants
        counts = {"alarm": 3, "log_read": 1} if "log_read" in spoiled else {"alarm": 4}
        with pytest.raises(Corrupt, match="erasure_hides_nothing"), old.transaction() as session:
            session.execute(ERASE, {"announced": announce(session, 0, 3, **counts)})
        with master(server, old) as connection:
            connection.execute("UPDATE ledger.entry SET body = %s, kind = %s WHERE index = 2", before)
    with old.transaction() as session:
        session.execute(ERASE, {"announced": announce(session, 0, 3, alarm=4)})


def test_nothing_of_a_submission_under_way_is_erased(server: URL, old: Database) -> None:
    with old.transaction() as session:
        for statement in YOUNG.split(";")[:3]:
            session.execute(text(statement))
        index = append(session, submission="s1")
    with master(server, old) as connection:
        connection.execute("UPDATE ledger.entry SET recorded_at = recorded_at - interval '2 years'")
    with pytest.raises(Corrupt, match="erasure_waits_for_the_end"), old.transaction() as session:
        session.execute(ERASE, {"announced": announce(session, index, index, alarm=1)})


@pytest.mark.parametrize(
    "attempt",
    [
        "UPDATE ledger.entry SET body = NULL",
        "UPDATE ledger.entry SET body = NULL, submission = NULL WHERE index = 1",
        "UPDATE ledger.entry SET kind = 'alarm' WHERE index = 4",
        "UPDATE ledger.entry SET recorded_at = recorded_at - interval '9 years'",
        "UPDATE ledger.entry SET leaf_hash = sha256('')",
        "UPDATE ledger.entry SET index = index + 100",
        "DELETE FROM ledger.entry WHERE index = 1",
        "TRUNCATE ledger.entry",
    ],
)
def test_no_other_change_is_made_by_application_auditor_or_owner(old: Database, attempt: str) -> None:
    with pytest.raises(Corrupt, match="42501"), old.transaction() as session:
        session.execute(text(attempt))
    with pytest.raises(Corrupt, match=r"42501|25006"), old.audit() as session:
        session.execute(text(attempt))
    with pytest.raises(Corrupt, match="ledger_is_append_only"), as_owner(old) as session:
        session.execute(text(attempt))
    with as_owner(old) as session:
        told = announce(session, 0, 3, alarm=4)
        session.execute(text("SELECT set_config('hub.announced', :told, true)"), {"told": str(told)})
        with pytest.raises(Corrupt, match=r"append_only|announced"), translated():
            session.execute(text(attempt))
        session.rollback()
    assert erased(old) == []


def test_only_the_application_may_call_the_door(server: URL, old: Database) -> None:
    with pytest.raises(Corrupt, match=r"42501|25006"), old.audit() as session:
        session.execute(ERASE, {"announced": 0})
    with master(server, old) as connection:
        for role in ("hub_application", "hub_auditor", "hub_airflow", "public"):
            rows = connection.execute(
                sql.SQL(
                    "SELECT p.pronamespace::regnamespace::text || '.' || p.proname || '(' ||"
                    " oidvectortypes(p.proargtypes) || ')' FROM pg_proc p"
                    " WHERE p.pronamespace IN ('hub'::regnamespace, 'ledger'::regnamespace) AND p.prosecdef"
                    " AND has_function_privilege({}, p.oid, 'EXECUTE')"
                ).format(sql.Literal(role))
            ).fetchall()
            allowed = {
                name.replace("timestamptz", "timestamp with time zone") for name in CALLED.get(role, ())
            }
            assert {name for (name,) in rows} == allowed, role


def test_what_is_kept_is_the_same_to_database_verifier_and_run(server: URL, old: Database) -> None:
    assert set(KEPT) == erasures.KEPT
    with master(server, old) as connection:
        for kind in ("retention", "restore", "key", "agreement", "alarm", "intent", "log_read"):
            (kept,) = connection.execute("SELECT ledger.is_kept(%s)", [kind]).fetchone() or (None,)
            assert kept == (kind in KEPT)


YOUNG = """
INSERT INTO hub.partner (id, name) VALUES ('vhs', 'VHS');
INSERT INTO hub.agreement (id, version, digest, body, status) VALUES ('E3', '1.0.0', 'd', '{}', 'active');
INSERT INTO hub.submission (id, agreement, agreement_version, sender, sha256, bytes)
    VALUES ('s1', 'E3', '1.0.0', 'vhs', '', 1);
INSERT INTO hub.receipt VALUES ('s1', 'received', 't', 0, clock_timestamp());
INSERT INTO hub.person (id, space) VALUES ('x', 'vhs');
INSERT INTO hub.person_number VALUES ('vhs', 'y', 'x');
INSERT INTO hub.consent_scope (template, recipient, purpose, fields) VALUES ('t', 'r', 'p', '{}');
INSERT INTO hub.consent (collector, reference_mac, person_id, scope_id, language, form, given_at,
        withdrawn_at)
    SELECT 'vhs', 'z', 'x', id, 'de', 'paper', clock_timestamp(), clock_timestamp() FROM hub.consent_scope;
INSERT INTO hub.staff (name, alias, role) VALUES ('weber', 'M-1', 'steward');
UPDATE hub.staff SET active = false;
INSERT INTO hub.parcel (id, submission, recipient, attempt, name, sha256, bytes, rows, intent_index)
    VALUES ('p', 's1', 'vhs', 1, 'n', '', 1, 1, 0);
INSERT INTO hub.delivered_rows (parcel, agreement, rows, wrapped_key) VALUES ('p', 'E3', 1, '')
"""


def test_nothing_else_ends_before_its_year_whoever_asks(old: Database) -> None:
    with old.transaction() as session:
        for statement in YOUNG.split(";"):
            session.execute(text(statement))
    rules = {
        "hub.receipt": "receipt_stands",
        "hub.consent": "consent_stands",
        "hub.staff": "staff_stands",
        "hub.person_number": "person_stands",
        "hub.person": "person_stands",
        "hub.delivered_rows": "delivered_stands",
    }
    for table, rule in rules.items():
        for door in (old.transaction, lambda: as_owner(old)):
            with pytest.raises(Corrupt, match=rule), door() as session:
                session.execute(text(f"DELETE FROM {table}"))  # noqa: S608 -- constants
    with pytest.raises(Corrupt, match="42501"), old.transaction() as session:
        session.execute(text("UPDATE hub.staff SET ended_at = now() - interval '9 years'"))
