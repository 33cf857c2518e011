"""A disk that is really full, a log that cannot be written: traffic stops, people are told, it goes on."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub import logbook, lots, outage, standing
from hub.case import now
from hub.errors import Transient
from hub.ledger import store
from hub.ledger.entry import Actor, Entry
from hub.office import Office
from hub.service import watch
from hub.service.watch import watching
from tests.integration.desk import STEPS, carried, hand_in, open_desk, row, states
from tests.integration.test_log_stress import proved

pytestmark = [pytest.mark.needs("mount"), pytest.mark.slow]
FULL = ("ledger.full", "ledger.unavailable", "database.full", "database.away", "disk.full", "log.stopped")
PATIENCE = 0.6


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two small disks: one for the hub with its database, one for the journal."""
    place = tmp_path_factory.mktemp("disks")
    sizes = {"hub": "260m", "journal": "2m"}
    for name, size in sizes.items():
        (place / name).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place / name], check=True)  # noqa: S607
    yield place
    for name in sizes:
        subprocess.run(["umount", "-l", place / name], check=True)  # noqa: S607


@pytest.fixture(scope="module")
def office(disks: Path) -> Iterator[Office]:
    told = disks / "alarm.sh"
    told.write_text(f'#!/bin/sh\necho "$1" >> "{disks}/told"\n', encoding="utf-8")
    told.chmod(0o700)
    more = {"journal": disks / "journal" / "kept", "log_patience": PATIENCE, "alarm_command": told}
    with open_desk(disks / "hub" / "home", free_bytes=0, **more) as found:
        yield found


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Use up a disk to the last byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as sink:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    sink.write(bytes(size))
            except OSError:
                continue
    try:
        yield
    finally:
        filler.unlink()


def write(office: Office) -> int:
    with office.database.transaction() as session:
        told = Entry(kind="alarm", time=now(session), actor=Actor(role="hub", id="test"), reason="test")
        return logbook.append(session, office, [told])[0].index


def last(office: Office) -> dict[str, object]:
    with office.database.audit() as session:
        size = standing.look(office).size
        (entry,) = store.entries(session, size - 1, size - 1)
    told: dict[str, object] = json.loads(entry.body or b"{}")
    return told


def told_of(disks: Path) -> list[str]:
    return (disks / "told").read_text().split() if (disks / "told").exists() else []


def refusal(office: Office, most: int = 50) -> str:
    """Write until it is refused: what is left of a last page takes a record or two."""
    for _ in range(most):
        try:
            write(office)
        except Transient as error:
            return error.code
    return ""


def again(office: Office) -> None:
    """Do what somebody would do who tries again, until it goes."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        code = refusal(office, 1)
        if not code:
            return
        assert code in FULL
        time.sleep(0.2)
    pytest.fail("the hub did not go on")


def test_a_full_disk_stops_files_and_loses_none(office: Office, disks: Path) -> None:
    submission = hand_in(office)
    for step in STEPS[:4]:
        lots.take(office, step, [submission])
    codes = set()
    with full(disks / "hub"):
        for _ in range(400):  # until PostgreSQL has used up what room it holds ready
            try:
                hand_in(office)
            except Transient as error:
                codes.add(error.code)
                break
        assert codes <= set(FULL)
        assert codes
        with pytest.raises(Transient):
            lots.take(office, "deliver", [submission])
        assert states(office, [submission]) == ["protected"]
        assert not list((office.settings.data / "outbox").rglob(f"*{submission}*"))
    again(office)
    with office.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE hub.submission SET not_before = NULL, failures = 0")
    carried(office, [submission])
    assert states(office, [submission]) == ["acknowledged"]
    assert row(office, submission).delivered == 5
    proved(office)


def test_a_full_journal_stops_traffic_raises_an_alarm_once_and_it_goes_on(
    office: Office, disks: Path
) -> None:
    again(office)
    submission = hand_in(office)
    for step in STEPS[:4]:
        lots.take(office, step, [submission])
    before = len(told_of(disks))
    with full(disks / "journal"):
        codes = [refusal(office)]
        end = time.monotonic() + PATIENCE * 3
        while time.monotonic() < end:
            codes.append(refusal(office, 1))
            time.sleep(0.1)
        assert codes[0] == "disk.full"
        assert codes[-1] == "log.stopped"
        with pytest.raises(Transient):
            lots.take(office, "deliver", [submission])
        assert not list((office.settings.data / "outbox").rglob(f"*{submission}*")), "no journal, no sending"
        assert told_of(disks)[before:] == ["log.stopped"]
        known = outage.current(office.settings)
        assert known is not None
        assert known.alarmed
    time.sleep(outage.AGAIN)
    again(office)
    told = last(office)
    assert (told["kind"], told["reason"]) == ("alarm", "log.stopped")
    assert outage.current(office.settings) is None
    with office.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE hub.submission SET not_before = NULL, failures = 0")
    carried(office, [submission])
    assert states(office, [submission]) == ["acknowledged"]
    assert standing.look(office).open
    proved(office)


def test_a_hub_without_traffic_is_watched_as_well(office: Office, disks: Path) -> None:
    again(office)
    assert watch.look(office.settings) == ""
    said: list[str] = []
    before = len(told_of(disks))
    with watching(office.settings, said.append):
        with full(disks / "journal"):
            end = time.monotonic() + 30
            while told_of(disks)[before:] != ["log.stopped"] and time.monotonic() < end:
                time.sleep(0.1)
        assert told_of(disks)[before:] == ["log.stopped"]
        while outage.current(office.settings) is not None and time.monotonic() < end:
            time.sleep(0.1)
    assert outage.current(office.settings) is None
    assert last(office)["reason"] == "log.stopped"
    assert said[-1].endswith("can be written again")


def test_nothing_leaves_without_an_intent_that_is_durable_here_and_in_the_journal(office: Office) -> None:
    """Looked at in the moment in which the route is asked to send."""
    submission = hand_in(office)
    for step in STEPS[:4]:
        lots.take(office, step, [submission])
    seen: list[tuple[int, int]] = []
    send = office.route.send

    def look_and_send(recipient: str, name: str, sealed: Path) -> None:
        with office.database.audit() as session:  # another connection: only what is committed
            durable = [
                one
                for one in store.entries(session, 0, 1 << 40)
                if (said := json.loads(one.body or b"{}"))["kind"] == "intent"
                and said["parcel"]["name"] == name
            ]
        kept = [
            entry
            for record in office.journal.records()
            for entry in record.content.get("entries", [])
            if entry[2] == "intent" and name in entry[0]
        ]
        seen.append((len(durable), len(kept)))
        send(recipient, name, sealed)

    office.route.send = look_and_send  # type: ignore[method-assign]
    try:
        for step in STEPS[4:]:
            lots.take(office, step, [submission])
    finally:
        del office.route.send
    assert seen == [(1, 1)]
