"""A hub of its own for tests of what carries submissions: real files in, states and parcels out."""

import io
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from sqlalchemy import func, select, text

from hub import exchange, intake, lots
from hub.database.models import LedgerEntry, Submission, SubmissionHistory
from hub.intake import Totals
from hub.office import Office
from hub.registry import SHIPPED
from hub.runtime import initialise, open_office
from hub.settings import Settings
from schemas.agreement import load_agreement
from schemas.samples import csv_bytes, sample

STEPS = ("receive", "validate", "authorise", "protect", "deliver", "acknowledge")
STRAIGHT = ["received", "validated", "authorised", "protected", "delivered", "acknowledged"]
_SEEDS = count(1)


@contextmanager
def open_desk(home: Path, **settings: object) -> Iterator[Office]:
    """Initialise a hub under a folder and keep it open."""
    chosen = Settings(home=home, **settings)  # type: ignore[arg-type]
    initialise(chosen)
    with open_office(chosen) as office:
        yield office


def hand_in(office: Office, rows: int = 5, agreement: str = "E7") -> str:
    """Hand in a good file that no other is like; E7 rests on a statute, so that all of it is delivered."""
    made = sample(load_agreement(SHIPPED / f"{agreement.lower()}.yaml"), rows, next(_SEEDS))
    return intake.accept(office, io.BytesIO(csv_bytes(made)), agreement, Totals())


def carried(office: Office, lot: Sequence[str]) -> None:
    """Take a lot through all steps, as the tasks of a run do."""
    for step in STEPS:
        lots.take(office, step, lot)


def damage(office: Office, submission: str) -> None:
    """Change one byte of the sealed file that came in."""
    path = office.inbox / f"{submission}.sealed"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def states(office: Office, submissions: Sequence[str]) -> list[str]:
    """Where submissions are, in the order asked."""
    return [exchange.state_of(office, one).value for one in submissions]


def history(office: Office, submission: str) -> list[str]:
    """Every state that a submission has been in."""
    with office.database.transaction() as session:
        table = SubmissionHistory
        found = select(table.target).where(table.submission == submission).order_by(table.id)
        return list(session.scalars(found))


def entries(office: Office, submission: str, kind: str) -> int:
    """How many log entries of a kind a submission has."""
    with office.database.transaction() as session:
        found = select(func.count()).where(LedgerEntry.submission == submission, LedgerEntry.kind == kind)
        return session.scalars(found).one()


def row(office: Office, submission: str) -> Submission:
    """A submission as the database has it."""
    with office.database.transaction() as session:
        return session.get_one(Submission, submission)


def change(office: Office, submission: str, what: str) -> None:
    """Change a column or two of a submission, as if time had gone by or a process had died."""
    with office.database.transaction() as session:
        session.execute(text(f"UPDATE hub.submission SET {what} WHERE id = :id"), {"id": submission})  # noqa: S608


def gone() -> str:
    """The name of a process that held a lease and lives no more."""
    code = "from hub import lease; print(lease.holder())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return told.stdout.strip()
