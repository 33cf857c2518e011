"""The transfer log and its journal under stress: many writers, a clock that jumps, processes that die.

HUB_TEST_ENTRIES=100000 writes that many entries.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hub import logbook, standing
from hub.case import now
from hub.database.embedded import EmbeddedPostgres
from hub.database.session import address
from hub.errors import Transient
from hub.ledger import store
from hub.ledger.entry import Actor, Entry
from hub.ledger.verify import verify_database
from hub.office import Office
from hub.runtime import open_office
from hub.settings import Settings
from tests.integration.desk import carried, hand_in, open_desk, states

WRITERS = 8
ENTRIES = int(os.environ.get("HUB_TEST_ENTRIES", "1600"))
BATCHES = (1, 1, 1, 2, 5, 20)
WRITER = Actor(role="hub", id="writer")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with open_desk(tmp_path_factory.mktemp("stress") / "home") as found:
        yield found


def proved(office: Office) -> None:
    with office.database.audit() as session:
        found = verify_database(
            session.connection(),
            log_key=office.ring.log_public(),
            receipt_key=office.ring.receipt_public(),
            origin=office.settings.origin,
        )
    assert found.ok, found.findings


def write(office: Office, writer: str, first: int, count: int) -> list[int]:
    with office.database.transaction() as session:
        at = now(session)
        entries = [
            Entry(kind="alarm", time=at, actor=WRITER, reason="stress", details={"by": writer, "number": n})
            for n in range(first, first + count)
        ]
        return [told.index for told in logbook.append(session, office, entries)]


def _writer(home: str, writer: int, most: int, out: str) -> None:
    said: dict[str, int] = {}
    with open_office(Settings(home=Path(home))) as office:
        turn = number = 0
        while number < most:
            count = min(BATCHES[(turn + writer) % len(BATCHES)], most - number)
            indices = write(office, f"w{writer}", number, count)
            said |= {str(index): number + at for at, index in enumerate(indices)}
            number, turn = number + count, turn + 1
    Path(out).write_text(json.dumps(said), encoding="ascii")


def _everything(office: Office, first: int) -> dict[int, tuple[str, int]]:
    with office.database.audit() as session:
        stored = [
            (one.index, json.loads(one.body or b"{}")) for one in store.entries(session, first, 1 << 40)
        ]
    return {index: (body["details"]["by"], body["details"]["number"]) for index, body in stored}


def test_eight_processes_at_once_lose_no_entry_and_write_none_twice(
    office: Office, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, each = standing.look(office).size, ENTRIES // WRITERS
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hub.runtime"])
    home = str(office.settings.root)
    files = [tmp_path / f"{writer}.json" for writer in range(WRITERS)]
    began = time.monotonic()
    processes = [
        context.Process(target=_writer, args=(home, writer, each, str(file)))
        for writer, file in enumerate(files)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    seconds = time.monotonic() - began
    assert [process.exitcode for process in processes] == [0] * WRITERS
    told = {
        int(index): (f"w{writer}", number)
        for writer, file in enumerate(files)
        for index, number in json.loads(file.read_text(encoding="ascii")).items()
    }
    assert len(told) == each * WRITERS
    assert told == _everything(office, first)
    with capsys.disabled():
        print(f"\n{len(told)} entries by {WRITERS} processes in {seconds:.1f} s")  # noqa: T201
    proved(office)
    _journal_is_whole(office)


def _journal_is_whole(office: Office) -> None:
    """Hold the journal against the log: every entry once, byte for byte, in order."""
    bodies = [
        entry[0]
        for record in office.journal.records()
        if record.kind == "log"
        for entry in record.content["entries"]
    ]
    with office.database.audit() as session:
        assert bodies == [(one.body or b"").decode() for one in store.entries(session, 0, 1 << 40)]
    assert office.journal.tip().size == len(bodies)


def test_a_clock_that_was_set_back_is_told_once_and_stops_nothing(office: Office) -> None:
    write(office, "before", 0, 1)
    size = standing.look(office).size
    settings = office.settings
    server = EmbeddedPostgres(settings.postgres, settings.run, office.ring.database_secret("superuser"))
    with psycopg.connect(address(server.url(database="hub")), autocommit=True) as connection:
        # As if it had been recorded before the clock was set back by an hour.
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE ledger.entry SET recorded_at = recorded_at + interval '1 hour' WHERE index = %s",
            [size - 1],
        )
    indices = write(office, "after", 0, 2)
    assert indices == [size + 1, size + 2], "the alarm comes first"
    assert write(office, "after", 2, 1) == [size + 3], "once"
    with office.database.audit() as session:
        (alarm,) = store.entries(session, size, size)
    told = json.loads(alarm.body or b"{}")
    assert (told["kind"], told["reason"]) == ("alarm", "clock.behind")
    assert told["details"]["entry"] == size - 1
    assert 3500 < told["details"]["seconds"] <= 3600
    submission = hand_in(office)
    carried(office, [submission])
    assert states(office, [submission]) == ["acknowledged"]
    proved(office)
    _journal_is_whole(office)


def test_a_database_that_restarts_in_the_middle_loses_nothing_that_was_told(office: Office) -> None:
    settings = office.settings
    server = EmbeddedPostgres(settings.postgres, settings.run, office.ring.database_secret("superuser"))
    first = standing.look(office).size
    told: dict[int, tuple[str, int]] = {}
    codes = set()
    for number in range(40):
        if number % 10 == 5:
            with psycopg.connect(address(server.url()), autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'hub_%'"
                )
        try:
            (index,) = write(office, "restart", number, 1)
        except Transient as error:
            codes.add(error.code)
            (index,) = write(office, "restart", number, 1)
        told[index] = ("restart", number)
    assert codes <= {"ledger.unavailable", "database.away"}
    found = _everything(office, first)
    assert told.items() <= found.items()
    proved(office)
    _journal_is_whole(office)


def test_a_journal_that_was_left_behind_is_caught_up_with(office: Office) -> None:
    size = standing.look(office).size
    signer, origin = office.ring.log_signer(), office.settings.origin
    with office.database.transaction() as session:  # as a process that died right after its commit
        told = Entry(kind="alarm", time=now(session), actor=WRITER, reason="stress")
        store.append(session, signer, origin, [told])
    assert office.journal.tip().size == size
    assert standing.look(office).open
    assert office.journal.tip().size == size + 1
    _journal_is_whole(office)


def test_a_half_written_record_of_the_journal_is_taken_away(office: Office) -> None:
    tip = office.journal.tip()
    with office.journal.path.open("ab") as sink:
        sink.write(b'{"n": 99999, "kind": "lo')
    assert office.journal.tip() == tip
    write(office, "torn", 0, 1)
    assert office.journal.tip().number == tip.number + 1
    _journal_is_whole(office)


def test_a_journal_written_anew_knows_what_the_database_knows_and_no_more(office: Office) -> None:
    carried(office, [hand_in(office)])
    known = office.journal.tip()
    stale = office.journal.folder / "delivered" / "P-gone.sealed"
    stale.write_bytes(b"of a parcel whose rows were deleted at the end of their period")
    standing.renew(office)
    assert office.journal.tip().floor == known.floor
    assert not stale.exists()
    write(office, "renewed", 0, 1)
    _journal_is_whole(office)
    assert [record.kind for record in office.journal.records()][-1] == "log"


def test_a_hub_whose_journal_is_not_there_writes_nothing(office: Office) -> None:
    away = office.journal.folder.with_name("elsewhere")
    size = standing.look(office).size
    office.journal.folder.rename(away)
    try:
        with pytest.raises(Transient) as caught:
            write(office, "away", 0, 1)
        assert caught.value.code == "journal.away"
        assert standing.look(office).flaw is not None
    finally:
        away.rename(office.journal.folder)
    assert standing.look(office).open
    assert standing.look(office).size == size
