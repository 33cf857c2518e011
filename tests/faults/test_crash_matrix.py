"""Whatever dies at whatever write: each submission is delivered exactly once, and the log says so once.

The points are those that the tracer finds in one undisturbed run of ``hub submit``. Then, for every point
and every way of failing, a new file is submitted by a process that fails there; afterwards it is submitted
or retried as a user would, and everything that the hub promises is looked at.
"""

import hashlib
import itertools
import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from connectors.consents import read_consents
from hub import consent_register, overview, registry
from hub.database.models import LedgerEntry, Parcel, Submission
from hub.errors import Transient
from hub.ledger import entry, verify
from hub.office import Office
from hub.runtime import initialise, open_office
from hub.settings import Settings
from schemas import samples
from tests.faults import runner
from tests.faults.tracer import Mode

CANARY = "Zimtkanarie"
ROWS = 120
WORKERS = 2
FAILED_HINT = "the hub must say what went wrong"

pytestmark = pytest.mark.slow


@dataclass
class Bed:
    """A hub to be crashed: its office, its base file, and what an undisturbed run of it gives."""

    home: Path
    office: Office
    base: str
    courses: list[str]
    points: list[str]
    cold: list[str]
    reference: dict[str, Any]

    def file(self, number: int) -> Path:
        """Write the base file with other course numbers: other rows, the same released content."""
        text = self.base
        for place, course in enumerate(self.courses):
            text = text.replace(f";{course};", f";{10_000_000 + 1000 * number + place:08d};")
        path = self.home.parent / f"{number}.csv"
        path.write_text(text, encoding="utf-8")
        return path


_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def beds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Bed]]:
    with ExitStack() as stack:
        yield [_bed(stack, tmp_path_factory.mktemp("bed") / "home") for _ in range(WORKERS)]


def _bed(stack: ExitStack, home: Path) -> Bed:
    settings = Settings(home=home)
    initialise(settings)
    office = stack.enter_context(open_office(settings))
    (agreement,) = [a for a in registry.read_agreements([registry.SHIPPED]) if a.id == "E3"]
    made = samples.sample(agreement, ROWS, 7, errors=True, canary=CANARY)
    consents = home.parent / "consents.csv"
    samples.write_consents(made, consents)
    consent_register.bring_in(office, agreement.sender.id, read_consents(consents))
    base = samples.csv_bytes(made).decode()
    courses = [
        c for c in made.frame["Kursnummer"].unique().sort() if c.isascii() and len(c) == 8 and c.isdigit()
    ]
    bed = Bed(home, office, base, courses, [], [], {})
    _traced(bed)
    _empty_folders(bed)
    bed.cold, bed.points = _traced(bed), _traced(bed)  # only a first run makes the folders
    newest = overview.listed(office, limit=1)[0]["submission"]
    bed.reference = overview.of_submission(office, newest)
    assert bed.reference["rows"]["delivered"] == made.delivered
    return bed


def _traced(bed: Bed) -> list[str]:
    run = runner.start(
        bed.home, ["submit", str(bed.file(next(_NUMBERS))), "--agreement", "E3"], bed.home.parent
    )
    assert run.wait() == 0, run.said()
    assert run.trace()["gaps"] == [], "every write is made by a call that the tracer knows"
    return run.trace()["points"]


def _empty_folders(bed: Bed) -> None:
    """Make the data folder what it is before the first submission; only what was delivered is remembered."""
    for name in ("inbox", "staging", "outbox", "reports"):
        shutil.rmtree(bed.home / "data" / name, ignore_errors=True)


@pytest.mark.parametrize("mode", ["before", "after", "failed"])
def test_a_first_run_survives_as_well_where_it_makes_its_folders(beds: list[Bed], mode: Mode) -> None:
    places = [at for at, point in enumerate(beds[0].cold, start=1) if point.startswith("mkdir")]
    assert len(places) > len([point for point in beds[0].points if point.startswith("mkdir")])
    for at in places:
        _empty_folders(beds[0])
        _crash(beds[0], mode, at, next(_NUMBERS))
    _verify_logs(beds)


@pytest.mark.parametrize("mode", ["before", "after", "failed"])
def test_nothing_is_lost_or_sent_twice_wherever_a_process_dies(
    beds: list[Bed], mode: Mode, capsys: pytest.CaptureFixture[str]
) -> None:
    count = len(beds[0].points)
    assert len(beds[1].points) == count
    jobs = [(beds[at % WORKERS], mode, at, next(_NUMBERS)) for at in range(1, count + 1)]
    _run_all(jobs, _crash)
    with capsys.disabled():
        print(f"\n{mode}: {count} points, each survived")  # noqa: T201 -- the figure is asked for
    _verify_logs(beds)


def test_a_slow_orphan_changes_nothing_beside_its_retry(
    beds: list[Bed], capsys: pytest.CaptureFixture[str]
) -> None:
    telling = [
        at
        for at, point in enumerate(beds[0].points, start=1)
        if point.split()[0] in ("commit", "replace", "mkdir", "rmdir")
    ]
    mode: Mode = "paused"
    jobs = [(beds[turn % WORKERS], mode, at, next(_NUMBERS)) for turn, at in enumerate(telling)]
    _run_all(jobs, _orphan)
    with capsys.disabled():
        print(f"\norphan: {len(telling)} points, each survived")  # noqa: T201
    _verify_logs(beds)


def _run_all(jobs: list[tuple[Bed, Mode, int, int]], job: Any) -> None:
    """Run the jobs of each bed one after another, the beds beside each other."""
    with ThreadPoolExecutor(WORKERS) as pool:
        lanes = [[one for one in jobs if one[0] is bed] for bed in {id(j[0]): j[0] for j in jobs}.values()]
        for done in [pool.submit(lambda lane: [job(*one) for one in lane], lane) for lane in lanes]:
            done.result()


def _crash(bed: Bed, mode: Mode, at: int, number: int) -> None:
    path, folder = bed.file(number), _folder(bed, number)
    first = runner.start(bed.home, ["submit", str(path), "--agreement", "E3"], folder, mode, at)
    status = first.wait()
    if mode in ("before", "after"):
        assert status == -signal.SIGKILL, f"point {at} was not reached: {first.said()}"
    elif status != 0:
        assert "->" in first.said(), FAILED_HINT
    _bring_to_its_end(bed, path, folder, f"{mode} {at} ({bed.points[at - 1]})")


def _orphan(bed: Bed, mode: Mode, at: int, number: int) -> None:
    path, folder = bed.file(number), _folder(bed, number)
    orphan = runner.start(bed.home, ["submit", str(path), "--agreement", "E3"], folder, mode, at)
    pid = orphan.process.pid
    assert pid is not None
    _wait_until_stopped(pid)
    _let_leases_run_out(bed.office)
    retry = folder / "retry"
    retry.mkdir()
    second = runner.start(bed.home, ["submit", str(path), "--agreement", "E3"], retry)
    second.process.join(4)  # it may have to wait for a transaction that the orphan holds open
    os.kill(pid, signal.SIGCONT)
    orphan.wait()
    second.wait()
    _bring_to_its_end(bed, path, folder, f"orphan {at} ({bed.points[at - 1]})")


def _let_leases_run_out(office: Office) -> None:
    """Let the time of all leases pass; the orphan lives, so nothing but time frees its submission.

    Where the orphan stands within a transaction, its submission stays locked: the retry has to wait for it.
    """
    with suppress(Transient), office.database.transaction() as session:
        session.execute(text("SET LOCAL lock_timeout = '300ms'"))
        session.execute(
            text("UPDATE hub.submission SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")
        )


def _wait_until_stopped(pid: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        if stat.rpartition(")")[2].split()[0] == "T":
            return
        time.sleep(0.02)
    pytest.fail("the orphan did not reach its point")


def _folder(bed: Bed, number: int) -> Path:
    folder = bed.home.parent / f"run-{number}"
    folder.mkdir()
    return folder


def _bring_to_its_end(bed: Bed, path: Path, folder: Path, place: str) -> None:
    """Do what a user does after a failure, then look at everything that is promised."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if not _delivered(bed.office, sha256) or _unfinished(bed.office, sha256):
        again = folder / "again"
        again.mkdir()
        arguments = ["submit", str(path), "--agreement", "E3"]
        unfinished = _unfinished(bed.office, sha256)
        if unfinished and len(unfinished[0]) % 2:  # both ways that a user has
            arguments = ["submission", "retry", unfinished[0]]
        run = runner.start(bed.home, arguments, again)
        assert run.wait() == 0, f"{place}: {run.said()}"
    with bed.office.database.transaction() as session:
        ids = session.scalars(select(Submission.id).where(Submission.sha256 == sha256)).all()
        parcels = session.scalars(select(Parcel).where(Parcel.submission.in_(ids))).all()
        told = session.execute(
            select(LedgerEntry.kind, LedgerEntry.body).where(LedgerEntry.submission.in_(ids))
        ).all()
    sent = [parcel for parcel in parcels if parcel.state == "sent"]
    assert len(sent) == 1, f"{place}: sent {len(sent)} times"
    assert len(parcels) == 1, f"{place}: {len(parcels)} intended"
    assert sent[0].sha256 == bed.reference["parcels"][0]["sha256"], f"{place}: another content"
    kinds = [kind for kind, _ in told]
    assert kinds.count("intent") == 1, f"{place}: {kinds}"
    outcomes = [entry.read(body or b"") for kind, body in told if kind == "outcome"]
    assert len([one for one in outcomes if one.parcel is not None]) == 1, f"{place}: {kinds}"
    for identity in ids:
        answer = overview.of_submission(bed.office, identity)
        rows = answer["rows"]
        assert answer["state"] == "acknowledged", f"{place}: {answer['state']}"
        assert rows["received"] == sum(rows[fate] for fate in rows if fate != "received"), place
    of_parcel = overview.of_submission(bed.office, sent[0].submission)
    assert of_parcel["rows"] == bed.reference["rows"], place
    assert of_parcel["reasons"] == bed.reference["reasons"], place
    _nothing_is_plain(bed.home, place)


def _delivered(office: Office, sha256: str) -> bool:
    with office.database.transaction() as session:
        found = select(Parcel.id).join(Submission, Submission.id == Parcel.submission)
        return session.scalar(found.where(Submission.sha256 == sha256, Parcel.state == "sent")) is not None


def _unfinished(office: Office, sha256: str) -> list[str]:
    with office.database.transaction() as session:
        found = select(Submission.id).where(Submission.sha256 == sha256)
        return list(session.scalars(found.where(Submission.state != "acknowledged")))


def _nothing_is_plain(home: Path, place: str) -> None:
    for path in (home / "data").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert CANARY.encode() not in content, f"{place}: {path.name} is plain"
            assert b"Teilnehmernummer" not in content, f"{place}: {path.name} is plain"


def _verify_logs(beds: list[Bed]) -> None:
    for bed in beds:
        with bed.office.database.audit() as session:
            found = verify.verify_database(
                session.connection(),
                log_key=bed.office.ring.log_public(),
                receipt_key=bed.office.ring.receipt_public(),
                origin=bed.office.settings.origin,
            )
        assert found.ok, found.findings
