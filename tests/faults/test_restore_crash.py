"""Whatever dies at whatever write of log, journal or restoration: nothing is lost, and the hub goes on."""

import itertools
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from connectors.consents import read_consents
from hub import consent_register, exchange, standing
from hub.database.embedded import EmbeddedPostgres
from hub.database.session import address
from hub.ledger import store
from hub.ledger.verify import verify_database
from hub.office import Office
from hub.runtime import initialise, open_office
from hub.settings import Settings
from schemas import samples
from tests.e2e.hub import COLLECTOR, agreement, make_key
from tests.faults import runner
from tests.faults.tracer import Mode
from tests.integration.desk import hand_in

pytestmark = pytest.mark.slow
MODES: tuple[Mode, ...] = ("before", "failed", "refused")


@dataclass
class Room:
    """A hub that can be set back to yesterday, as often as one likes."""

    home: Path
    office: Office
    keys: dict[str, Path]
    numbers: list[str]
    log: list[bytes] = field(default_factory=list)
    runs: Iterator[int] = field(default_factory=itertools.count)

    def run(self, *words: str, mode: Mode = "trace", at: int = 0) -> runner.Run:
        """Run ``hub`` in a process of its own, to its end, its data and journal traced."""
        folder = self.home.parent / f"run-{next(self.runs)}"
        folder.mkdir()
        run = runner.start(self.home, [*words], folder, mode, at, journal=True)
        run.wait()
        return run

    def bodies(self) -> list[bytes]:
        with self.office.database.audit() as session:
            return [one.body or b"" for one in store.entries(session, 0, 1 << 40)]

    def be(self, name: str, template: str) -> None:
        """Make a database the copy of another one."""
        self.office.database.close()
        server = EmbeddedPostgres(
            self.office.settings.postgres,
            self.office.settings.run,
            self.office.ring.database_secret("superuser"),
        )
        with psycopg.connect(address(server.url()), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)",
                [[name, template]],
            )
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER hub_owner")
            for role in ("hub_application", "hub_auditor"):
                connection.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {role}")

    def proved(self, place: str) -> None:
        with self.office.database.audit() as session:
            found = verify_database(
                session.connection(),
                log_key=self.office.ring.log_public(),
                receipt_key=self.office.ring.receipt_public(),
                origin=self.office.settings.origin,
            )
        assert found.ok, f"{place}: {found.findings}"
        assert standing.look(self.office).open, place
        kept = [
            entry[0].encode()
            for record in self.office.journal.records()
            if record.kind == "log"
            for entry in record.content["entries"]
        ]
        assert kept == self.bodies(), f"{place}: the journal is the log"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    home = tmp_path_factory.mktemp("room") / "home"
    settings = Settings(home=home)
    initialise(settings)
    with open_office(settings) as office:
        made = samples.sample(agreement("E3"), 60, 3)
        file = home.parent / "consents.csv"
        samples.write_consents(made, file)
        consent_register.bring_in(office, COLLECTOR, read_consents(file))
        numbers = made.frame["Teilnehmernummer"].unique(maintain_order=True).to_list()
        keys = {name: home.parent / name for name in ("weber", "yilmaz")}
        found = Room(home, office, keys, numbers)
        for name, path in keys.items():
            words = ("staff", "add", name, "--role", "steward", "--public-key", str(make_key(path)))
            assert found.run(*words).process.exitcode == 0
        yield found


def test_a_withdrawal_is_in_database_log_and_journal_or_was_not_promised(room: Room) -> None:
    people = iter(room.numbers)
    words = ("consent", "withdraw", "--collector", COLLECTOR, "--number")
    traced = room.run(*words, next(people)).trace()
    assert traced["gaps"] == []
    points = traced["points"]
    assert points.count("commit") == 1, "one transaction"
    assert len(points) >= 7, "the withdrawal in the journal, the commit, the entry in the journal"
    for mode, at in _deaths(points):
        place, number = f"{mode} {at} ({points[at - 1]})", next(people)
        run = room.run(*words, number, mode=mode, at=at)
        if mode in ("before", "after"):
            assert run.process.exitcode == -signal.SIGKILL, f"{place}: {run.said()}"
        elif run.process.exitcode != 0:
            assert "->" in run.said(), place
        if any(held.withdrawn_at is None for held in _held(room, number)):
            again = room.run(*words, number)
            assert again.process.exitcode == 0, f"{place}: {again.said()}"
        assert all(held.withdrawn_at is not None for held in _held(room, number)), place
        room.proved(place)


def _deaths(points: list[str]) -> list[tuple[Mode, int]]:
    """Die before each write and after the last (after one is before the next); be told that each failed.

    To open a file changes nothing yet: dying there is dying before the write.
    """
    telling = [at for at, point in enumerate(points, start=1) if not point.startswith("open")]
    every: list[tuple[Mode, int]] = [(mode, at) for mode in MODES for at in telling]
    return [*every, ("after", len(points))]


def _held(room: Room, number: str) -> list[consent_register.Held]:
    return consent_register.of_person(room.office, COLLECTOR, number)


def test_a_restoration_is_made_whole_wherever_it_dies(room: Room) -> None:
    office = room.office
    room.be("hub_yesterday", "hub")
    settled, lost = hand_in(office), hand_in(office)
    assert exchange.carry(office, settled) == "acknowledged"
    room.log = room.bodies()
    room.be("hub", "hub_yesterday")
    assert room.run(*_approval(room, "weber")).process.exitcode == 0
    saved = room.home.parent / "saved"
    shutil.copytree(office.settings.journal_folder, saved, copy_function=shutil.copyfile)
    traced = room.run(*_approval(room, "yilmaz"))
    assert traced.process.exitcode == 0, traced.said()
    points = traced.trace()["points"]
    assert traced.trace()["gaps"] == []
    assert points.count("commit") == 1, "all is put back in one transaction"
    _all_is_back(room, settled, lost, "traced")
    for mode, at in _deaths(points):
        place = f"{mode} {at} ({points[at - 1]})"
        _go_back(room, saved)
        died = room.run(*_approval(room, "yilmaz"), mode=mode, at=at)
        if mode in ("before", "after"):
            assert died.process.exitcode == -signal.SIGKILL, f"{place}: {died.said()}"
        if not standing.look(office).open:
            again = room.run(*_approval(room, "yilmaz"))
            assert again.process.exitcode == 0, f"{place}: {again.said()}"
        _all_is_back(room, settled, lost, place)


def _approval(room: Room, name: str) -> tuple[str, ...]:
    return ("restore", "approve", "--as", name, "--key", str(room.keys[name]))


def _go_back(room: Room, saved: Path) -> None:
    room.be("hub", "hub_yesterday")
    shutil.rmtree(room.office.settings.journal_folder)
    shutil.copytree(saved, room.office.settings.journal_folder, copy_function=shutil.copyfile)
    assert not standing.look(room.office).open


def _all_is_back(room: Room, settled: str, lost: str, place: str) -> None:
    office = room.office
    room.proved(place)
    now = room.bodies()
    assert now[: len(room.log)] == room.log, place
    more = b"".join(now[len(room.log) :])
    assert more.count(b'"kind":"restore"') == 1, place
    assert exchange.state_of(office, settled) == "acknowledged", place
    assert exchange.state_of(office, lost) == "refused", place
    with office.database.transaction() as session:
        parcels = session.connection().exec_driver_sql("SELECT count(*) FROM hub.parcel WHERE state = 'sent'")
        assert parcels.scalar() == 1, place
        rows = session.connection().exec_driver_sql("SELECT count(*) FROM hub.delivered_rows")
        assert rows.scalar() == 1, place
    fresh = hand_in(office, rows=2)
    assert exchange.state_of(office, fresh) == "received", place
