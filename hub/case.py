"""A case (Akte): one submission in the hands of one step, under its lease."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hub import lease as leases
from hub import registry, staging
from hub.database.models import PayloadKey, StepResult, Submission
from hub.errors import Corrupt, Refused
from hub.lease import Lease
from hub.office import Office
from schemas.agreement import Agreement


@dataclass(frozen=True)
class Result:
    """What an earlier step left."""

    folder: Path
    parts: int
    facts: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Case:
    """What a step knows of its submission; ``key`` opens the submission's sealed files."""

    office: Office
    lease: Lease
    agreement: Agreement
    key: bytes = field(repr=False)
    sha256: str
    bytes: int
    created_at: datetime
    results: Mapping[str, Result] = field(repr=False)  # as they were left when the case was opened

    @property
    def submission(self) -> str:
        """The submission's id."""
        return self.lease.submission

    @property
    def inbox_file(self) -> Path:
        """The sealed file as it arrived."""
        return self.office.inbox / f"{self.submission}.sealed"

    def result(self, step: str) -> Result:
        """Give what a finished step of this submission left."""
        found = self.results.get(step)
        if found is None:
            raise Corrupt(
                "step.missing",
                f"{self.submission} is past the step {step}, which left no result",
                "restore the database and HUB_HOME/data from the same moment",
            )
        return found

    def parts(
        self, result: Result, kind: str, span: range | None = None, columns: list[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """Open a step's sealed parts one by one: all of them or a span of their numbers (from 1)."""
        for number in span or range(1, result.parts + 1):
            yield self.part(result, kind, number, columns)

    def part(self, result: Result, kind: str, number: int, columns: list[str] | None = None) -> pl.DataFrame:
        """Open one of a step's sealed parts, by its number (from 1)."""
        return staging.read_frame(result.folder / part_name(number, kind), self.key, columns)


class Step:
    """A step at work: it writes sealed parts into a folder of its own, and its result with its commit."""

    def __init__(self, case: Case, name: str) -> None:
        self.case = case
        self.name = name
        self.folder = folder_of(case.office, case.submission) / f"{name}-{case.lease.fence}"
        self.parts = 0
        self._began = self._renewed = time.monotonic()

    def write(self, **frames: pl.DataFrame) -> None:
        """Seal the frames of the next part, each under its kind, and keep the lease alive."""
        self.parts += 1
        for kind, frame in frames.items():
            staging.write_frame(self.folder / part_name(self.parts, kind), self.case.key, frame)
        seconds = self.case.office.settings.lease_seconds
        if time.monotonic() - self._renewed > seconds / 3:
            with self.case.office.database.transaction() as session:
                leases.renew(session, self.case.lease, seconds)
            self._renewed = time.monotonic()

    def finish(self, session: Session, facts: Mapping[str, Any]) -> Submission:
        """Lock the submission under the lease, note the step's result, and give the lease back.

        The caller commits.
        """
        row = leases.hold(session, self.case.lease)
        values = {
            "fence": self.case.lease.fence,
            "parts": self.parts,
            "facts": dict(facts),
            "seconds": round(time.monotonic() - self._began, 3),
            "finished_at": func.clock_timestamp(),
        }
        session.execute(
            insert(StepResult)
            .values(submission=self.case.submission, step=self.name, **values)
            .on_conflict_do_update(index_elements=["submission", "step"], set_=values)
        )
        leases.give_back(row)  # after the insert, to be written together with what the caller changes
        return row


@contextmanager
def at_work(case: Case, name: str) -> Iterator[Step]:
    """Give a step a folder of its own; what a dead attempt left in another goes with its submission's end."""
    step = Step(case, name)
    staging.make_folder(step.folder.parent)
    staging.make_folder(step.folder)
    yield step


def open_case(office: Office, lease: Lease) -> Case:
    """Open the case of a leased submission: its agreement as filed, and its key."""
    with office.database.transaction() as session:
        return case_of(session, office, leases.hold(session, lease))


def open_results(office: Office, submission: str) -> Case:
    """Open the case of a submission to read what its steps left; nothing can be written without a lease."""
    with office.database.transaction() as session:
        return case_of(session, office, session.get_one(Submission, submission))


def case_of(session: Session, office: Office, row: Submission) -> Case:
    """Open the case of a submission whose row the caller has read, and locked if it is to be changed.

    Raises:
        Refused: ``submission.expired``.
    """
    agreement = registry.version(session, row.agreement, row.agreement_version)
    wrapped = session.get(PayloadKey, row.id)
    if wrapped is None:
        raise Refused(
            "submission.expired",
            f"the payload of {row.id} has been deleted at the end of its retention",
            "nothing can be done; the transfer log keeps what happened",
        )
    key = office.ring.unwrap(wrapped.wrapped, f"payload/{row.id}")
    root = folder_of(office, row.id)
    left = session.execute(
        select(
            StepResult.step, StepResult.fence, StepResult.parts, StepResult.facts, StepResult.seconds
        ).where(StepResult.submission == row.id)
    )
    results = {step: Result(root / f"{step}-{fence}", *rest) for step, fence, *rest in left}
    lease = Lease(row.id, row.fence)
    return Case(office, lease, agreement, key, row.sha256, row.bytes, row.created_at, results)


def known(session: Session, submission: str) -> Submission:
    """Read a submission's row.

    Raises:
        Refused: ``submission.unknown``.
    """
    row = session.get(Submission, submission)
    if row is None:
        raise Refused(
            "submission.unknown", f"no submission is named {submission!r}", "see: hub submission list"
        )
    return row


def folder_of(office: Office, submission: str) -> Path:
    """Name the folder of a submission's staged parts."""
    return office.staging / submission


def part_name(number: int, kind: str) -> str:
    """Name a sealed part."""
    return f"{number:05d}.{kind}"


def now(session: Session) -> datetime:
    """Give the database's clock: the one clock that all processes share."""
    instant: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    return instant.astimezone(UTC)
