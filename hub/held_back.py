"""What is held back: what waits for people's word, what exactly they decide on, and what was decided."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub import dual_control, logbook, registry, reviewers
from hub.case import known
from hub.database.models import ReasonCount, StepResult, Submission, SubmissionHistory
from hub.dual_control import Matter
from hub.errors import Refused
from hub.office import Office
from hub.roles import Verdict
from hub.states import RESTING, State


def waiting(office: Office) -> list[dict[str, Any]]:
    """Tell what waits for people, what is nearest to its deadline first; ids, codes and counts only."""
    resting = [state.value for state in RESTING]
    with office.database.transaction() as session:
        rows = session.scalars(select(Submission).where(Submission.state.in_(resting))).all()
        lines = [_line(session, office, row) for row in rows]
    return sorted(lines, key=lambda line: (line["deadline"], line["submission"]))


def shown(office: Office, submission: str) -> dict[str, Any]:
    """Tell everything that has been and can be decided on a submission, with what proves it.

    ``decisions`` are of all rounds; each has the bytes that were signed (``statement``) and its ``evidence``.

    Raises:
        Refused: ``submission.unknown``.
    """
    with office.database.transaction() as session:
        row = known(session, submission)
        return _line(session, office, row) | {"decisions": _decisions(session, office, row, proofs=True)}


def matter(office: Office, submission: str) -> bytes:
    """Give what is to be decided on, as canonical JSON; its SHA-256 is what people compare.

    Raises:
        Refused: ``submission.unknown``, ``review.not_waiting``.
    """
    with office.database.transaction() as session:
        return held(session, known(session, submission)).canonical


def to_sign(
    office: Office, submission: str, verdict: Verdict, approver: str, grounds: str | None = None
) -> bytes:
    """Give the bytes that an approver signs in the namespace of `hub.dual_control`; raises as `matter`."""
    with office.database.transaction() as session:
        waits = held(session, known(session, submission))
    return dual_control.statement(waits, verdict, approver, reviewers.grounds(verdict, grounds))


def held(session: Session, row: Submission) -> Matter:
    """Give the matter of a submission that waits for people.

    Raises:
        Refused: ``review.not_waiting``.
    """
    quarantine = dual_control.newest(session, row.id)
    if State(row.state) not in RESTING or quarantine is None:
        raise Refused(
            "review.not_waiting",
            f"{row.id} is {row.state}: nobody has to decide on it",
            "see what waits: hub review list",
        )
    agreement = registry.version(session, row.agreement, row.agreement_version)
    return dual_control.matter_of(row, agreement.digest, row.reason or "", quarantine)


def _line(session: Session, office: Office, row: Submission) -> dict[str, Any]:
    agreement = registry.version(session, row.agreement, row.agreement_version)
    since = session.scalar(
        select(func.max(SubmissionHistory.at)).where(
            SubmissionHistory.submission == row.id, SubmissionHistory.target == State.QUARANTINED.value
        )
    )
    rests = State(row.state) in RESTING and since is not None
    waits = held(session, row) if rests else None
    judged = session.get(StepResult, (row.id, "validate"))
    counts = session.scalars(select(ReasonCount).where(ReasonCount.submission == row.id))
    deadline = since + timedelta(days=agreement.quarantine_days) if since and waits else None
    return {
        "submission": row.id,
        "agreement": agreement.id,
        "agreement_version": agreement.version,
        "in_force": registry.still_active(session, agreement),
        "sender": agreement.sender.id,
        "recipient": agreement.recipient.id,
        "state": row.state,
        "reason": row.reason,
        "rows": logbook.counts(row),
        "reasons": {count.code: count.rows for count in counts},
        "warnings": list(judged.facts.get("batch", [])) if judged else [],
        "found": _found(judged),
        "since": since.isoformat(timespec="seconds") if since else None,
        "deadline": deadline.isoformat(timespec="seconds") if deadline else None,
        "round": waits.round if waits else None,
        "matter": waits.digest if waits else None,
        "decisions": _decisions(session, office, row, proofs=False),
    }


def _found(judged: StepResult | None) -> dict[str, int]:
    """Count what validation found on the rows themselves: what people need to know to decide."""
    found = judged.facts.get("reasons", []) if judged else []
    return {str(code): int(rows) for _, code, rows in found}


def _decisions(session: Session, office: Office, row: Submission, *, proofs: bool) -> list[dict[str, Any]]:
    digest = registry.version(session, row.agreement, row.agreement_version).digest
    told = []
    for at in dual_control.quarantines(session, row.id):
        for decision, person in dual_control.of_round(session, row.id, at.round):
            about = dual_control.matter_of(row, digest, decision.held_for, at)
            said = dual_control.statement(about, decision.verdict, decision.approver, decision.grounds)
            line = {
                "round": decision.round,
                "approver": decision.approver,
                "role": decision.role,
                "verdict": decision.verdict,
                "grounds": decision.grounds,
                "held_for": decision.held_for,
                "method": decision.method,
                "fingerprint": decision.fingerprint,
                "at": decision.at.isoformat(timespec="seconds"),
                "log_index": decision.log_index,
                "valid": dual_control.valid(office, about, decision, person),
            }
            proof = {"statement": said.decode(), "evidence": decision.evidence} if proofs else {}
            told.append(line | proof)
    return told
