"""Replies to a sender: signed receipts and the validation report, as files."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from hub import overview, reports, settlement
from hub.case import open_results
from hub.errors import Refused
from hub.office import Office
from hub.reports import Report
from hub.states import FINAL, RESTING, State

if TYPE_CHECKING:
    from hub.report_words import Outcome


def save(office: Office, submission: str, folder: Path) -> list[Path]:
    """Write a submission's receipts (one ``.jwt`` each) and its report (German, English, JSON) into a folder.

    Nothing in them is a value of a row. Returns the files.

    Raises:
        Refused: ``submission.unknown``; ``report.not_yet`` while it is under way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokens = overview.receipts(office, submission)
    written = []
    for kind, token in tokens.items():
        file = folder / f"{submission}.{kind}.jwt"
        file.write_text(token + "\n", encoding="ascii")
        written.append(file)
    told = report(office, submission)
    for name, content in (
        ("bericht.txt", reports.text("de", told)),
        ("report.txt", reports.text("en", told)),
        ("report.json", reports.as_json(told)),
    ):
        file = folder / f"{submission}.{name}"
        file.write_bytes(content)
        written.append(file)
    return written


def report(office: Office, submission: str) -> Report:
    """Gather what the sender is told about a submission that has come to rest."""
    answer = overview.of_submission(office, submission)
    outcomes = [kind for kind in overview.receipts(office, submission) if kind != "received"]
    if not outcomes or State(answer["state"]) not in FINAL | RESTING:
        raise Refused(
            "report.not_yet",
            f"{submission} is still under way",
            f"take it on with: hub submission retry {submission}",
        )
    case = open_results(office, submission)
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
