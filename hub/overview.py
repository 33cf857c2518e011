"""The overview of a submission: what became of it, in ids, codes and counts only."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from hub import logbook
from hub.case import known
from hub.database.models import (
    AgreementVersion,
    Parcel,
    ReasonCount,
    Receipt,
    ReviewDecision,
    StepResult,
    Submission,
    SubmissionHistory,
)
from hub.office import Office

STEPS = ("receive", "validate", "authorise", "protect", "deliver", "acknowledge")


def of_submission(office: Office, submission: str) -> dict[str, Any]:
    """Tell everything about one submission that is no value of a row.

    Raises:
        Refused: ``submission.unknown``.
    """
    with office.database.transaction() as session:
        row = known(session, submission)
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
                    "collected_at": parcel.collected_at and parcel.collected_at.isoformat(timespec="seconds"),
                }
                for parcel in parcels
            ],
            "reviews": _reviews(session, submission),
            "receipts": [{"kind": receipt.kind, "log_index": receipt.log_index} for receipt in receipts],
            "seconds": _seconds(session, submission),
        }


def listed(
    office: Office,
    *,
    state: str | None = None,
    agreement: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """List submissions, newest first; ``before`` names the submission behind which the list goes on."""
    place = (Submission.created_at, Submission.id)
    query = select(Submission).order_by(*(column.desc() for column in place)).limit(limit)
    if state is not None:
        query = query.where(Submission.state == state)
    if agreement is not None:
        query = query.where(Submission.agreement == agreement)
    if before is not None:
        last = select(*place).where(Submission.id == before).subquery()
        query = query.where(tuple_(*place) < select(last).scalar_subquery())
    with office.database.transaction() as session:
        return [_line(row) for row in session.scalars(query)]


def reasons_of(office: Office, submissions: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the rows by reason code, for each of some submissions that has any."""
    query = (
        select(ReasonCount.submission, ReasonCount.code, func.sum(ReasonCount.rows))
        .where(ReasonCount.submission.in_(submissions))
        .group_by(ReasonCount.submission, ReasonCount.code)
        .order_by(func.sum(ReasonCount.rows).desc(), ReasonCount.code)
    )
    found: dict[str, dict[str, int]] = {}
    with office.database.transaction() as session:
        for submission, code, rows in session.execute(query):
            found.setdefault(submission, {})[code] = int(rows)
    return found


def states(office: Office, *, agreement: str | None = None) -> dict[str, int]:
    """Count the submissions in each state that any is in."""
    query = select(Submission.state, func.count().label("submissions")).group_by(Submission.state)
    if agreement is not None:
        query = query.where(Submission.agreement == agreement)
    with office.database.transaction() as session:
        return {row.state: row.submissions for row in session.execute(query)}


def routes(office: Office) -> dict[tuple[str, str], dict[str, Any]]:
    """Tell title (by language), sender's and recipient's name of every filed agreement, by id and version."""
    body = AgreementVersion.body
    query = select(
        AgreementVersion.id,
        AgreementVersion.version,
        body["title"],
        body["sender"]["name"].astext,
        body["recipient"]["name"].astext,
    )
    with office.database.transaction() as session:
        return {
            (id_, version): {"title": title, "sender": sender, "recipient": recipient}
            for id_, version, title, sender, recipient in session.execute(query)
        }


def history(office: Office, submission: str) -> list[dict[str, Any]]:
    """Tell every change of a submission's state, in the order in which they came."""
    query = (
        select(SubmissionHistory.target, SubmissionHistory.at)
        .where(SubmissionHistory.submission == submission)
        .order_by(SubmissionHistory.id)
    )
    with office.database.transaction() as session:
        return [
            {"state": state, "at": at.isoformat(timespec="seconds")} for state, at in session.execute(query)
        ]


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
        "held_by": row.held_by,
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


def _reviews(session: Session, submission: str) -> list[dict[str, Any]]:
    """Tell who decided what while the submission was held back."""
    found = select(ReviewDecision).where(ReviewDecision.submission == submission)
    return [
        {
            "round": word.round,
            "verdict": word.verdict,
            "grounds": word.grounds,
            "approver": word.approver,
            "role": word.role,
            "method": word.method,
            "log_index": word.log_index,
        }
        for word in session.scalars(found.order_by(ReviewDecision.log_index))
    ]


def _seconds(session: Session, submission: str) -> dict[str, float]:
    rows = session.execute(
        select(StepResult.step, StepResult.seconds).where(StepResult.submission == submission)
    )
    found = {row.step: row.seconds for row in rows}
    return {step: found[step] for step in STEPS if step in found}
