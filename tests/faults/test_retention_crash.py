"""Wherever a run of retention dies: what is gone is announced, what is not is there, the next goes on."""

import itertools
import json
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from hub import collection, exchange
from hub.database.embedded import EmbeddedPostgres
from hub.database.session import address
from hub.ledger import verify
from hub.office import Office
from hub.retention import run as retention
from hub.runtime import initialise, open_office
from hub.settings import Settings
from tests.faults import runner
from tests.faults.tracer import Mode
from tests.integration.desk import hand_in

pytestmark = pytest.mark.slow

DAYS = 3 * 366
AGED = {
    "ledger.entry": "recorded_at",
    "hub.submission": "changed_at",
    "hub.parcel": "sent_at",
    "hub.receipt": "issued_at",
    "hub.row_seed": "made_at",
}
FOLDERS = ("inbox", "staging", "reports", "outbox")


@dataclass
class Attic:
    """A hub in which things become old."""

    home: Path
    office: Office
    runs: Iterator[int] = field(default_factory=itertools.count)

    def fill(self) -> str:
        """Let one submission be delivered, collected or not, and everything become old."""
        submission = hand_in(self.office, rows=3)
        assert exchange.carry(self.office, submission) == "acknowledged"
        parcel = next(one for one in collection.offered(self.office) if submission in one.id)
        if next(self.runs) % 2:
            collection.note(self.office, parcel)
        settings = self.office.settings
        secret = self.office.ring.database_secret("superuser")
        server = EmbeddedPostgres(settings.postgres, settings.run, secret).url(database="hub")
        with psycopg.connect(address(server), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for table, column in AGED.items():
                connection.execute(
                    f"UPDATE {table} SET {column} = {column} - make_interval(days => {DAYS})".encode()  # noqa: S608
                )
            connection.execute("UPDATE hub.parcel SET collected_at = sent_at WHERE collected_at IS NOT NULL")
        return submission

    def run(self, mode: Mode = "trace", at: int = 0) -> runner.Run:
        """Run ``hub retention run`` in a process of its own, to its end."""
        folder = self.home.parent / f"run-{next(self.runs)}"
        next(self.runs)
        folder.mkdir()
        run = runner.start(self.home, ["retention", "run"], folder, mode, at)
        run.wait()
        return run

    def told(self) -> Counter[str]:
        """Count everything that the log ever announced as ended, by what it was."""
        with self.office.database.audit() as session:
            bodies = session.scalars(text("SELECT body FROM ledger.entry WHERE kind = 'retention'"))
            found: Counter[str] = Counter()
            for entry in map(json.loads, bodies):
                family = "payloads" if entry["reason"].startswith("payloads") else entry["reason"]
                found.update({f"{family} {name}": count for name, count in entry["counts"].items()})
            return found

    def there(self) -> Counter[str]:
        """Count what is gone by what is left of it: keys, seeds, receipts and bodies."""
        gone = text(
            """SELECT
            (SELECT count(*) FROM hub.submission s WHERE NOT EXISTS
                (SELECT FROM hub.payload_key k WHERE k.submission = s.id)) AS "payloads submissions",
            (SELECT count(*) FROM hub.parcel p WHERE NOT EXISTS
                (SELECT FROM hub.row_seed r WHERE r.parcel = p.id)) AS "row_seeds row_seeds",
            (SELECT count(*) FROM hub.parcel p WHERE NOT EXISTS
                (SELECT FROM hub.delivered_rows d WHERE d.parcel = p.id)) AS "delivered_rows parcels",
            (SELECT count(*) * 2 FROM hub.submission s WHERE NOT EXISTS
                (SELECT FROM hub.receipt r WHERE r.submission = s.id)) AS "receipts receipts",
            (SELECT count(*) FROM ledger.entry WHERE body IS NULL) AS "log_bodies"
            """
        )
        with self.office.database.transaction() as session:
            return Counter(dict(session.execute(gone).mappings().one()))

    def agrees(self, place: str) -> None:
        """Hold what the log says against what is there, and the log against itself."""
        told = self.told()
        bodies = sum(count for name, count in told.items() if name.startswith("log_bodies"))
        there = self.there()
        assert bodies == there.pop("log_bodies"), place
        assert {name: told[name] for name in there} == there, place
        with self.office.database.audit() as session:
            found = verify.verify_database(
                session.connection(),
                log_key=self.office.ring.log_public(),
                origin=self.office.settings.origin,
            )
        assert found.ok, (place, found.findings)

    def files(self, submission: str) -> list[Path]:
        """List what still lies of a submission."""
        data = self.home / "data"
        return [path for name in FOLDERS for path in (data / name).rglob(f"*{submission}*")]


@pytest.fixture(scope="module")
def attic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attic]:
    home = tmp_path_factory.mktemp("attic") / "home"
    settings = Settings(home=home)
    initialise(settings)
    with open_office(settings) as office:
        yield Attic(home, office)


def test_a_run_killed_at_any_write_is_finished_by_the_next(
    attic: Attic, capsys: pytest.CaptureFixture[str]
) -> None:
    first = attic.fill()
    before = attic.told()
    traced = attic.run()
    assert traced.process.exitcode == 0, traced.said()
    trace = traced.trace()
    assert trace["gaps"] == []
    attic.agrees("undisturbed")
    assert attic.files(first) == []
    share = attic.told() - before
    points = trace["points"]
    commits = [at for at, point in enumerate(points, start=1) if point == "commit"]
    assert len(commits) >= 6
    deaths: list[tuple[Mode, int]] = [("before", at) for at in range(1, len(points) + 1)]
    deaths += [("after", len(points)), ("failed", commits[0]), ("failed", commits[2])]
    for mode, at in deaths:
        place = f"{mode} {at} ({points[at - 1]})"
        submission, before = attic.fill(), attic.told()
        died = attic.run(mode, at)
        assert died.process.exitcode == (1 if mode == "failed" else -signal.SIGKILL), (
            f"{place}: {died.said()}"
        )
        attic.agrees(place)
        retention.run(attic.office)
        attic.agrees(place)
        assert attic.files(submission) == [], place
        assert abs((attic.told() - before).total() - share.total()) <= 1, place  # collected or not: one entry
    with capsys.disabled():
        print(f"\nretention: {len(points)} points, each survived")  # noqa: T201 -- the figure is asked for
