"""Replies to a sender: signed receipts and the validation report, as files."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sqlalchemy import select

from hub import overview, reports, settlement, staging
from hub.case import now, open_results
from hub.database.models import PayloadKey, Receipt, StepResult, Submission
from hub.errors import Refused
from hub.office import Office
from hub.reports import Report
from hub.states import FINAL, RESTING, State

if TYPE_CHECKING:
    from hub.report_words import Outcome


@dataclass(frozen=True)
class Posted:
    """What lies ready for the sender of one submission: its receipts by kind, oldest first.

    ``name`` is the sender's own name of the file (None if it gave none, or once the payload has expired).
    """

    submission: str
    name: str | None
    tokens: Mapping[str, str]
    at: datetime

    @property
    def settled(self) -> str | None:
        """The outcome that was told last; None while the submission is under way."""
        outcomes = [kind for kind in self.tokens if kind != "received"]
        return outcomes[-1] if outcomes else None


def posted(office: Office, sender: str, since: timedelta) -> list[Posted]:
    """List what lies ready for a sender, of its submissions with a receipt of the last time, newest first."""
    with office.database.transaction() as session:
        recent = (
            select(Receipt.submission)
            .join(Submission, Submission.id == Receipt.submission)
            .where(Submission.sender == sender, Receipt.issued_at >= now(session) - since)
        )
        receipts = session.scalars(
            select(Receipt).where(Receipt.submission.in_(recent)).order_by(Receipt.log_index.desc())
        ).all()
        named = session.execute(
            select(PayloadKey.submission, PayloadKey.wrapped, StepResult.facts)
            .join(StepResult, StepResult.submission == PayloadKey.submission)
            .where(StepResult.step == "intake", PayloadKey.submission.in_(recent))
        ).all()
    names = {
        row.submission: staging.open_text(
            office.ring.unwrap(row.wrapped, f"payload/{row.submission}"), row.facts["name"]
        )
        for row in named
        if row.facts.get("name")
    }
    found: dict[str, list[Receipt]] = {}
    for row in receipts:
        found.setdefault(row.submission, []).insert(0, row)
    return [
        Posted(identity, names.get(identity), {row.kind: row.token for row in rows}, rows[-1].issued_at)
        for identity, rows in found.items()
    ]


def receipt_files(tokens: Mapping[str, str]) -> dict[str, bytes]:
    """Write receipts, by the ends of their files' names."""
    return {f"{kind}.jwt": f"{token}\n".encode("ascii") for kind, token in tokens.items()}


def report_files(office: Office, submission: str) -> dict[str, bytes]:
    """Write the report of a submission (German, English, JSON), by the ends of the files' names.

    Nothing in them is a value of a row. Raises Refused as ``report`` does.
    """
    told = report(office, submission)
    return {
        "bericht.txt": reports.text("de", told),
        "report.txt": reports.text("en", told),
        "report.json": reports.as_json(told),
    }


def save(office: Office, submission: str, folder: Path) -> list[Path]:
    """Write a submission's receipts (one ``.jwt`` each) and its report (German, English, JSON) into a folder.

    Returns the files.

    Raises:
        Refused: ``submission.unknown``; ``report.not_yet`` while it is under way, with the receipts written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = _save(submission, folder, receipt_files(overview.receipts(office, submission)))
    return written + _save(submission, folder, report_files(office, submission))


def _save(submission: str, folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    files = {folder / f"{submission}.{end}": content for end, content in contents.items()}
    for file, content in files.items():
        file.write_bytes(content)
    return list(files)


def report(office: Office, submission: str) -> Report:
    """Gather what the sender is told about a submission that has come to rest."""
    answer = overview.of_submission(office, submission)
    outcomes = [kind for kind in overview.receipts(office, submission) if kind != "received"]
    at_rest = State(answer["state"]) in FINAL | RESTING
    case = open_results(office, submission) if at_rest else None
    if case is None or not outcomes:
        raise Refused(
            "report.not_yet",
            f"{submission} is still under way",
            f"take it on with: hub submission retry {submission}",
        )
    facts = settlement.reading(case)
    return Report(
        submission=submission,
        outcome=cast("Outcome", outcomes[-1]),
        agreement=case.agreement,
        sha256=case.sha256,
        received_at=case.created_at,
        counts=answer["rows"],
        findings=settlement.findings(case),
        reason=answer["reason"],
        notices=answer["notices"],
        sheet=facts.get("sheet"),
        columns=facts.get("columns") or {},
        reasons=answer["reasons"],
    )
