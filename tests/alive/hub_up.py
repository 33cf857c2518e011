"""A hub that is up: `hub up` as a process of its own, partners with OpenSSH's client, its database."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
from sqlalchemy import func, select

from hub import registry
from hub.database.models import LedgerEntry, Parcel, Submission, SubmissionHistory
from hub.demo.cast import Cast, assemble
from hub.errors import HubError
from hub.ledger.verify import verify_database
from hub.office import Office
from hub.registry import SHIPPED
from hub.runtime import initialise, open_office
from hub.settings import Settings
from schemas.agreement import Agreement, load_agreement
from schemas.samples import csv_bytes, sample

PROJECT = Path(__file__).parents[2]
PARTNERS = 20
HUB = (sys.executable, "-c", "from hub.cli import main; main()")
T = TypeVar("T")


FIGURES: list[str] = []


def say(line: str) -> None:
    """Keep a figure, to be told at the end of the run."""
    FIGURES.append(line)


def agreements_for(folder: Path, partners: int = PARTNERS) -> Path:
    """The shipped agreements, and E7 once more for each of so many employers: L01, L02 and so on."""
    folder.mkdir(parents=True)
    for path in SHIPPED.glob("*.yaml"):
        shutil.copy(path, folder)
    text = (SHIPPED / "e7.yaml").read_text(encoding="utf-8")
    for number in range(1, partners + 1):
        own = text.replace("id: E7\n", f"id: L{number:02d}\n").replace(
            "{id: muster-metallbau, name: Muster Metallbau GmbH (Beispielbetrieb)}",
            f"{{id: betrieb-{number:02d}, name: Betrieb {number:02d}}}",
        )
        (folder / f"l{number:02d}.yaml").write_text(own, encoding="utf-8")
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found: Callable[[], T | None], seconds: float, what: str) -> T:
    """Wait until something is found; a test fails that waits in vain."""
    end, last = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        try:
            value = found()
        except HubError as error:  # the database is away: it was killed
            value, last = None, f" ({error})"
        if value:
            return value
        time.sleep(0.25)
    message = f"waited {seconds:.0f} s in vain for: {what}{last}"
    raise AssertionError(message)


@dataclass
class Alive:
    """A hub of its own ports and home, its partners, and the process that supervises it."""

    settings: Settings
    office: Office
    cast: Cast
    desk: Path
    process: subprocess.Popen[bytes] | None = None
    files: int = 0
    agreements: dict[str, Agreement] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HUB_HOME": str(self.settings.root),
            "HUB_AGREEMENTS": str(self.settings.agreements),
            "HUB_DROP_PORT": str(self.settings.drop_port),
            "HUB_WEB_PORT": str(self.settings.web_port),
        }

    def start(self) -> float:
        """Start `hub up` and wait until it says that it is; gives the seconds that it took."""
        began = time.monotonic()
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()  # of one that was killed
        log = (self.desk / "hub-up.log").open("ab")
        self.process = subprocess.Popen(
            [*HUB, "up", "--json"], env=self.environment(), cwd=PROJECT, stdout=subprocess.PIPE, stderr=log
        )
        log.close()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.desk / "hub-up.log").read_text(encoding="utf-8")[-2000:]
        return time.monotonic() - began

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(90)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def pid_of(self, component: str) -> int:
        """The process of a component, as the supervisor has recorded it."""
        if component == "database":
            return int((self.settings.postgres / "postmaster.pid").read_text().split()[0])
        record = json.loads((self.settings.run / "service.json").read_bytes())
        return next(int(one["pid"]) for one in record["processes"] if one["component"] == component)

    def worker(self) -> psutil.Process | None:
        """A process below the scheduler that has a task at work below itself."""
        try:
            children = psutil.Process(self.pid_of("scheduler")).children()
            return next((child for child in children if child.children()), None)
        except psutil.NoSuchProcess:
            return None

    def processes(self) -> list[psutil.Process]:
        """Every process that carries this hub's home in its environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("HUB_HOME") == str(self.settings.root):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def drop_file(self, agreement: str, rows: int = 5) -> Path:
        """Write a good file that no other is like."""
        self.files += 1
        made = sample(self.agreements[agreement], rows, 100_000 + self.files)
        path = self.desk / f"{agreement}-{self.files:05d}.csv"
        path.write_bytes(csv_bytes(made))
        return path

    def drop(self, agreement: str, paths: Sequence[Path]) -> None:
        """Drop files in one visit, as their sender; a partner whose visit fails comes again."""
        client = self.cast.clients[self.agreements[agreement].sender.id]
        puts = [f'put "{path}" "inbox/{agreement}/{path.name}"' for path in paths]

        def visit() -> bool:
            client.do(*puts)
            return True

        until(visit, 90, f"a visit of {client.partner}")

    def drop_at_once(self, lots: Iterable[tuple[str, Sequence[Path]]]) -> None:
        work = list(lots)
        with ThreadPoolExecutor(len(work)) as partners:
            list(partners.map(lambda lot: self.drop(*lot), work))

    def since(self) -> int:
        """A mark before which nothing counts: the newest change of state."""
        with self.office.database.transaction() as session:
            return session.scalar(select(func.coalesce(func.max(SubmissionHistory.id), 0))) or 0

    def changes(self, mark: int) -> int:
        """How many changes of state steps have made after a mark; arrivals do not count."""
        with self.office.database.transaction() as session:
            counted = select(func.count()).where(
                SubmissionHistory.id > mark, SubmissionHistory.source.is_not(None)
            )
            return session.scalar(counted) or 0

    def submissions(self, mark: int) -> dict[str, str]:
        """State by submission, of those that came after a mark."""
        began = select(SubmissionHistory.submission).where(
            SubmissionHistory.id > mark, SubmissionHistory.source.is_(None)
        )
        with self.office.database.transaction() as session:
            rows = session.execute(select(Submission.id, Submission.state).where(Submission.id.in_(began)))
            return {row.id: row.state for row in rows}

    def all_done(self, mark: int, count: int, seconds: float) -> dict[str, str]:
        """Wait until so many submissions came after a mark and all are acknowledged."""

        def done() -> dict[str, str] | None:
            found = self.submissions(mark)
            finished = Counter(found.values())
            return found if len(found) == count and finished["acknowledged"] == count else None

        try:
            return until(done, seconds, f"{count} submissions acknowledged")
        except AssertionError as waited:
            found = Counter(self.submissions(mark).values())
            message = f"{waited}; found {dict(found)}"
            raise AssertionError(message) from None

    def each_delivered_once(self, submissions: Iterable[str]) -> None:
        """One sent parcel, one intent, one outcome for each; rows conserved; the log verified."""
        names = list(submissions)
        with self.office.database.transaction() as session:
            parcels = Counter(
                session.scalars(
                    select(Parcel.submission).where(Parcel.submission.in_(names), Parcel.state == "sent")
                )
            )
            told = Counter(
                (kind, submission)
                for kind, submission in session.execute(
                    select(LedgerEntry.kind, LedgerEntry.submission).where(LedgerEntry.submission.in_(names))
                )
            )
            rows = session.scalars(select(Submission).where(Submission.id.in_(names))).all()
            for row in rows:
                fates = (row.delivered, row.already_delivered, row.refused, row.withheld, row.quarantined)
                assert row.received == sum(fate or 0 for fate in fates)
        assert parcels == Counter(names)
        assert all(told[kind, name] == 1 for name in names for kind in ("intent", "outcome"))
        self.log_verifies()

    def log_verifies(self) -> None:
        with self.office.database.audit() as session:
            found = verify_database(
                session.connection(),
                log_key=self.office.ring.log_public(),
                receipt_key=self.office.ring.receipt_public(),
                origin=self.office.settings.origin,
                kept=[],
                receipts=[],
            )
        assert found.ok, found.findings[:3]


@contextmanager
def hub_up(folder: Path, **more: Any) -> Iterator[Alive]:
    """Set a hub up in a folder, start it, and end it."""
    settings = Settings(
        home=folder / "a home",
        agreements=agreements_for(folder / "agreements"),
        drop_port=free_port(),
        web_port=free_port(),
        **more,
    )
    initialise(settings)
    desk = folder / "desk"
    desk.mkdir()
    assert settings.agreements is not None
    agreements = {one.id: one for one in map(load_agreement, sorted(settings.agreements.glob("*.yaml")))}
    with open_office(settings) as office:
        cast = assemble(office, registry.read_agreements([settings.agreements]))
        alive = Alive(settings, office, cast, desk, agreements=agreements)
        try:
            say(f"hub up after {alive.start():.1f} s")
            yield alive
        finally:
            alive.stop()
