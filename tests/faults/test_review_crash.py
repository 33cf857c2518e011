"""A decision is made whole or not at all, at whatever write its process dies."""

import io
import itertools
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import select

from hub import exchange, intake, overview, review, staff
from hub.database.models import LedgerEntry, ReviewDecision
from hub.ledger import verify
from hub.office import Office
from hub.roles import Role
from hub.runtime import initialise, open_office
from hub.settings import Settings
from schemas.agreement import load_agreement
from schemas.samples import csv_bytes, sample
from tests.faults import runner
from tests.faults.tracer import Mode

pytestmark = pytest.mark.slow
ROWS = 6


@dataclass
class Room:
    """A hub whose submissions all wait for people, and the keys of two who may decide."""

    home: Path
    office: Office
    keys: dict[str, Path]
    waiting: Iterator[str]
    runs: Iterator[int] = field(default_factory=itertools.count)

    def run(self, verdict: str, submission: str, name: str, mode: Mode = "trace", at: int = 0) -> runner.Run:
        """Run ``hub review`` in a process of its own, to its end."""
        folder = self.home.parent / f"run-{next(self.runs)}"
        folder.mkdir()
        words = ["review", verdict, submission, "--as", name, "--key", str(self.keys[name])]
        run = runner.start(self.home, words, folder, mode, at)
        run.wait()
        return run


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    home = tmp_path_factory.mktemp("room") / "home"
    settings = Settings(home=home)
    initialise(settings)
    with open_office(settings) as office:
        keys = {name: _key(office, home.parent / name, name) for name in ("weber", "yilmaz")}
        yield Room(home, office, keys, _held(office))


def _key(office: Office, path: Path, name: str) -> Path:
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    staff.ensure(office, name, Role.STEWARD, public)
    return path


def _held(office: Office) -> Iterator[str]:
    """Take in files of which every row is refused, one whenever one is asked for."""
    agreement = load_agreement(Path(__file__).parents[2] / "schemas" / "agreements" / "e2.yaml")
    for seed in itertools.count(1):
        good = sample(agreement, ROWS, seed)
        text = csv_bytes(good).decode().replace("2026", "2996").replace("2025", "2995")
        submission = intake.accept(office, io.BytesIO(text.encode()), "E2", intake.Totals())
        assert exchange.carry(office, submission) == "quarantined"
        yield submission


def _whole(room: Room, submission: str, words: int) -> None:
    """Look at everything that a decision writes: as many words in the table as in the log."""
    with room.office.database.transaction() as session:
        found = select(ReviewDecision).where(ReviewDecision.submission == submission)
        assert len(session.scalars(found).all()) == words
        told = select(LedgerEntry).where(LedgerEntry.submission == submission, LedgerEntry.kind == "review")
        assert len(session.scalars(told).all()) == words


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_decision_is_made_once_wherever_its_process_dies(room: Room, verdict: str) -> None:
    traced = next(room.waiting)
    assert review.sign_and_decide(room.office, traced, "approve", "yilmaz", room.keys["yilmaz"])
    points = room.run(verdict, traced, "weber").trace()
    assert points["gaps"] == []
    assert len([point for point in points["points"] if point == "commit"]) == 1, "one transaction"
    last = "validated" if verdict == "approve" else "refused"
    count = len(points["points"])
    deaths: list[tuple[Mode, int]] = [("before", at) for at in range(1, count + 1)]
    for mode, at in [*deaths, ("after", count)]:  # after one write is before the next
        place = f"{mode} {at} ({points['points'][at - 1]})"
        submission = next(room.waiting)
        review.sign_and_decide(room.office, submission, "approve", "yilmaz", room.keys["yilmaz"])
        died = room.run(verdict, submission, "weber", mode, at)
        assert died.process.exitcode == -signal.SIGKILL, f"{place}: {died.said()}"
        state = exchange.state_of(room.office, submission)
        assert state in ("awaiting_review", last), place
        _whole(room, submission, 1 if state == "awaiting_review" else 2)
        if state == "awaiting_review":
            again = room.run(verdict, submission, "weber")
            assert again.process.exitcode == 0, f"{place}: {again.said()}"
        assert exchange.state_of(room.office, submission) == last, place
        _whole(room, submission, 2)
        if last == "refused":
            intake.sweep(room.office)
            assert not list((room.home / "data" / "staging").glob(f"{submission}*")), place
            assert not list((room.home / "data" / "inbox").glob(f"{submission}*")), place
        else:
            assert exchange.carry(room.office, submission) == "acknowledged", place
        rows = overview.of_submission(room.office, submission)["rows"]
        assert rows["received"] == sum(rows[fate] for fate in rows if fate != "received") == ROWS, place
    with room.office.database.audit() as session:
        found = verify.verify_database(
            session.connection(),
            log_key=room.office.ring.log_public(),
            receipt_key=room.office.ring.receipt_public(),
            origin=room.office.settings.origin,
        )
    assert found.ok, found.findings
