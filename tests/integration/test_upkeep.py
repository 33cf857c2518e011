"""Upkeep: what was overheard is told again, and what nobody released in time ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import text

from hub import lease, lots, staging, upkeep
from hub.database.embedded import EmbeddedPostgres
from hub.database.session import address
from hub.errors import Corrupt, Transient
from hub.ledger.verify import verify_database
from hub.office import Office
from hub.overview import of_submission
from hub.runtime import database_url
from tests.integration.desk import (
    STEPS,
    carried,
    change,
    entries,
    gone,
    hand_in,
    history,
    open_desk,
    row,
    states,
)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with open_desk(tmp_path_factory.mktemp("upkeep") / "home") as found:
        yield found


@contextmanager
def superuser(office: Office) -> Iterator[psycopg.Connection]:
    """Be the database's superuser, whom no trigger stops."""
    settings = office.settings
    server = EmbeddedPostgres(settings.postgres, settings.run, office.ring.database_secret("superuser"))
    with psycopg.connect(address(server.url(database="hub")), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


def quarantined(office: Office, days: int = 0) -> str:
    """A submission that has rested in quarantine for so many days: its agreement ended before it was sent."""
    submission = hand_in(office)
    for step in STEPS[:4]:
        lots.take(office, step, [submission])
    with office.database.transaction() as session:
        session.execute(text("UPDATE hub.agreement SET status = 'suspended' WHERE id = 'E7'"))
    lots.take(office, "deliver", [submission])
    with office.database.transaction() as session:
        session.execute(text("UPDATE hub.agreement SET status = 'active' WHERE id = 'E7'"))
    assert states(office, [submission]) == ["quarantined"]
    with superuser(office) as connection:
        connection.execute(
            "UPDATE hub.submission_history SET at = at - make_interval(days => %s) WHERE submission = %s",
            [days, submission],
        )
    return submission


def is_proved(office: Office) -> bool:
    with office.database.audit() as session:
        return verify_database(
            session.connection(),
            log_key=office.ring.log_public(),
            receipt_key=office.ring.receipt_public(),
            origin=office.settings.origin,
        ).ok


def test_what_waits_unnoticed_is_told_again(office: Office) -> None:
    where = address(database_url(office.settings, "application"))
    submission = hand_in(office)
    with psycopg.connect(where, autocommit=True) as listener:
        listener.execute(f"LISTEN {lots.CHANNEL}")
        assert upkeep.reconcile(office).woken == (), "what has just come is not unnoticed"
        change(office, submission, "changed_at = clock_timestamp() - interval '10 minutes'")
        assert upkeep.reconcile(office).woken == ("E7",)
        assert [told.payload for told in listener.notifies(timeout=20, stop_after=1)] == ["E7" + lots.AGAIN]
    carried(office, [submission])
    assert upkeep.reconcile(office).woken == ()


def test_a_submission_that_a_dead_process_left_is_told_of(office: Office) -> None:
    submission = hand_in(office)
    assert upkeep.reconcile(office).abandoned == ()
    change(
        office, submission, f"lease_holder = '{gone()}', lease_until = clock_timestamp() + interval '1 hour'"
    )
    assert upkeep.reconcile(office).abandoned == (submission,)
    carried(office, [submission])
    assert upkeep.reconcile(office).abandoned == ()


def test_a_parcel_announced_and_never_sent_is_told_of(office: Office) -> None:
    submission = hand_in(office)
    for step in STEPS[:4]:
        lots.take(office, step, [submission])
    outbox = office.settings.data / "outbox"
    staging.make_folder(outbox)
    aside = outbox.rename(outbox.with_name("outbox aside"))
    outbox.write_text("in the way", encoding="utf-8")
    with pytest.raises(Transient):
        lots.take(office, "deliver", [submission])
    outbox.unlink()
    aside.rename(outbox)
    assert upkeep.reconcile(office).unsettled == (), "not yet"
    assert upkeep.reconcile(office, unsettled_after=timedelta()).unsettled == (f"P-{submission}-1",)
    carried(office, [submission])
    assert upkeep.reconcile(office, unsettled_after=timedelta()).unsettled == ()


def test_what_nobody_released_in_time_is_refused_with_receipt_and_log_entry(office: Office) -> None:
    in_time, late = quarantined(office, days=13), quarantined(office, days=14)
    assert upkeep.expire(office) == [late]
    assert upkeep.expire(office) == []
    assert states(office, [in_time, late]) == ["quarantined", "refused"]
    told = of_submission(office, late)
    assert told["reason"] == upkeep.NOT_RELEASED
    assert (told["rows"]["refused"], told["rows"]["quarantined"]) == (told["rows"]["received"], 0)
    assert [receipt["kind"] for receipt in told["receipts"]] == ["received", "quarantined", "refused"]
    assert entries(office, late, "intent") == 0
    assert not (office.inbox / f"{late}.sealed").exists()
    assert (office.inbox / f"{in_time}.sealed").exists()
    assert row(office, late).lease_holder is None
    assert is_proved(office)


def test_what_only_one_person_approved_ends_as_well(office: Office) -> None:
    late = quarantined(office, days=20)
    change(office, late, "state = 'awaiting_review'")
    assert upkeep.expire(office) == [late]
    assert history(office, late)[-3:] == ["quarantined", "awaiting_review", "refused"]


def test_what_somebody_works_on_is_left_for_the_next_time(office: Office) -> None:
    late = quarantined(office, days=20)
    with office.database.transaction() as session:
        held = lease.claim(session, late, 60)
    assert upkeep.expire(office) == []
    with office.database.transaction() as session:
        lease.release(session, held)
    assert upkeep.expire(office) == [late]


def test_one_that_cannot_be_ended_stops_no_other(office: Office) -> None:
    first, second = sorted([quarantined(office, days=20), quarantined(office, days=20)])
    with superuser(office) as connection:
        key = connection.execute("SELECT wrapped FROM hub.payload_key WHERE submission = %s", [first])
        (wrapped,) = key.fetchall()
        connection.execute("DELETE FROM hub.payload_key WHERE submission = %s", [first])
    with pytest.raises(Corrupt, match=rf"upkeep\.expiry: could not end {first} \(submission\.expired\)"):
        upkeep.expire(office)
    assert states(office, [first, second]) == ["quarantined", "refused"]
    with superuser(office) as connection:
        connection.execute("INSERT INTO hub.payload_key VALUES (%s, %s)", [first, wrapped[0]])
    assert upkeep.expire(office) == [first]
