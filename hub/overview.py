"""The overview of a submission: what became of it, in ids, codes and counts only."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hub import logbook
from hub.database.models import Parcel, ReasonCount, Receipt, StepResult, Submission
from hub.errors import Refused
from hub.office import Office

STEPS = ("receive", "validate", "authorise", "protect", "deliver", "acknowledge")


def of_submission(office: Office, submission: str) -> dict[str, Any]:
    """Tell everything about one submission that is no value of a row.

    Raises:
        Refused: ``submission.unknown``.
    """
    with office.database.transaction() as session:
        row = session.get(Submission, submission)
        if row is None:
            raise Refused(
                "submission.unknown", f"no submission is named {submission!r}", "see: hub submission list"
            )
        parcels = session.scalars(
            select(Parcel).where(Parcel.submission == submission).order_by(Parcel.attempt)
        ).all()
        receipts = session.scalars(
            select(Receipt).where(Receipt.submission == submission).order_by(Receipt.log_index)
        ).all()
        sent = [parcel for parcel in parcels if parcel.state == "sent"]
        return {
            **_line(row),
            "sha256": row.sha256,
            "notices": row.notices,
            "warnings": _warnings(session, submission),
            "reasons": _reasons(session, submission),
            "transfer": sent[0].id if sent else None,
            "log_index": receipts[-1].log_index if receipts else None,
            "parcels": [
                {
                    "id": parcel.id,
                    "name": parcel.name,
                    "state": parcel.state,
                    "recipient": parcel.recipient,
                    "rows": parcel.rows,
                    "bytes": parcel.bytes,
                    "sha256": parcel.sha256,
                    "intent_index": parcel.intent_index,
                    "outcome_index": parcel.outcome_index,
                }
                for parcel in parcels
            ],
            "receipts": [{"kind": receipt.kind, "log_index": receipt.log_index} for receipt in receipts],
            "seconds": _seconds(session, submission),
        }


def listed(office: Office, *, state: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """List submissions, newest first."""
    query = select(Submission).order_by(Submission.created_at.desc()).limit(limit)
    if state is not None:
        query = query.where(Submission.state == state)
    with office.database.transaction() as session:
        return [_line(row) for row in session.scalars(query)]


def receipts(office: Office, submission: str) -> dict[str, str]:
    """Give the signed receipts of a submission, by kind."""
    with office.database.transaction() as session:
        rows = session.scalars(
            select(Receipt).where(Receipt.submission == submission).order_by(Receipt.log_index)
        )
        return {row.kind: row.token for row in rows}


def _line(row: Submission) -> dict[str, Any]:
    return {
        "submission": row.id,
        "agreement": row.agreement,
        "agreement_version": row.agreement_version,
        "sender": row.sender,
        "state": row.state,
        "reason": row.reason,
        "rows": logbook.counts(row),
        "created_at": row.created_at.isoformat(timespec="seconds"),
    }


def _reasons(session: Session, submission: str) -> dict[str, int]:
    rows = session.execute(
        select(ReasonCount.code, ReasonCount.rows)
        .where(ReasonCount.submission == submission)
        .order_by(ReasonCount.code)
    )
    reasons: dict[str, int] = {}
    for code, count in rows:
        reasons[code] = reasons.get(code, 0) + count
    return reasons


def _warnings(session: Session, submission: str) -> list[str]:
    """Name the batch expectations that did not hold, grave or not."""
    judged = session.get(StepResult, (submission, "validate"))
    return list(judged.facts.get("batch", [])) if judged else []


def _seconds(session: Session, submission: str) -> dict[str, float]:
    rows = session.execute(
        select(StepResult.step, StepResult.seconds).where(StepResult.submission == submission)
    )
    found = {row.step: row.seconds for row in rows}
    return {step: found[step] for step in STEPS if step in found}
