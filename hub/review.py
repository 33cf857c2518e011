"""Review: people decide on what is held back, each for themselves; two release it, one rejects it.

Each decision is one transaction: the word itself, its entry in the transfer log, and what follows from it.
Nobody waits inside a run: the release sets the submission back to ``validated``, by which PostgreSQL wakes
the exchange, and every later step is taken anew. Whether two people have released it is asked of
`hub.dual_control`, here and again in the moment of sending.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sqlalchemy.orm import Session

from hub import dual_control, lease, logbook, registry, reviewers, settlement, sshsig
from hub.case import Case, case_of, now
from hub.database.models import (
    ReviewDecision,
    Staff,
    Submission,
)
from hub.dual_control import NAMESPACE
from hub.errors import Refused
from hub.held_back import held, matter, shown, to_sign, waiting
from hub.ledger.entry import Actor
from hub.office import Office
from hub.reviewers import Word
from hub.roles import Method, Verdict
from hub.states import State

__all__ = ["NAMESPACE", "Decided", "decide", "matter", "shown", "sign_and_decide", "to_sign", "waiting"]

REJECTED: Final = "review.rejected"


@dataclass(frozen=True)
class Decided:
    """What became of a decision: ``effect`` is awaiting_second, released or refused."""

    submission: str
    verdict: Verdict
    approver: str
    effect: Literal["awaiting_second", "released", "refused"]
    state: State
    matter: str
    log_index: int


def sign_and_decide(
    office: Office,
    submission: str,
    verdict: Verdict,
    approver: str,
    key: Path,
    grounds: str | None = None,
) -> Decided:
    """Decide with a key that lies at hand, as `hub review approve --key` does; raises as `decide` does."""
    said = to_sign(office, submission, verdict, approver, grounds)
    signature = sshsig.sign(sshsig.read_key(key), NAMESPACE, said)
    return decide(office, submission, verdict, approver, "key", signature, grounds=grounds)


def decide(
    office: Office,
    submission: str,
    verdict: Verdict,
    approver: str,
    method: Method,
    evidence: str,
    *,
    grounds: str | None = None,
    seen: str | None = None,
) -> Decided:
    """Take one person's word on what is held back, and do what follows from it.

    Args:
        office: the hub.
        submission: what is held back.
        verdict: one rejection refuses it; the second approval releases it.
        approver: the user name of a steward or data protection officer.
        method: ``key`` or ``login``.
        evidence: for ``key`` a signature over `to_sign`; for ``login`` whatever names that login session and
            nobody can guess (the caller has authenticated it); only its digest is kept.
        grounds: one of `hub.roles.GROUNDS`.
        seen: the digest of the matter that the person was shown; another one is refused.

    Raises:
        Refused: ``submission.unknown``, ``staff.unknown``, ``review.role``, ``review.not_waiting``,
            ``review.changed``, ``review.same_person``, ``review.same_proof``, ``review.no_key``,
            ``review.signature``, ``review.grounds``, ``review.session``, ``agreement.inactive``.
        Transient: ``lease.held`` while another process works on it.
    """
    word = Word(verdict, approver, method, evidence, reviewers.grounds(verdict, grounds))
    with office.database.transaction() as session:
        held_lease = lease.claim(session, submission, office.settings.lease_seconds)
        row = lease.hold(session, held_lease)
        session.refresh(row)
        person = reviewers.entitled(session, approver)
        waits = held(session, row)
        if seen not in (None, waits.digest):
            raise _changed(submission)
        case = case_of(session, office, row)
        if verdict == "approve":
            _must_be_in_force(session, case)
        mark, proof = reviewers.proved(office, person, waits, word)
        reviewers.must_be_another(session, waits, person, mark)
        decision = ReviewDecision(
            submission=submission,
            round=waits.round,
            approver=person.name,
            role=person.role,
            verdict=verdict,
            grounds=word.grounds,
            held_for=waits.held_for,
            matter=waits.digest,
            method=method,
            fingerprint=mark,
            evidence=proof,
        )
        decided = _enact(session, case, row, decision, person)
        lease.release(session, held_lease)
    if decided.effect == "refused":
        settlement.clear_away(case)
    return decided


def _enact(session: Session, case: Case, row: Submission, decision: ReviewDecision, person: Staff) -> Decided:
    """Write the decision down, in the table and in the log, and let its effect happen."""
    decision.at = now(session)
    told = logbook.entry(
        "review",
        decision.at,
        row.id,
        case.agreement,
        reason=decision.verdict,
        details={
            "round": decision.round,
            "matter": decision.matter,
            "held_for": decision.held_for,
            "grounds": decision.grounds,
            "method": decision.method,
            "fingerprint": decision.fingerprint,
            "evidence": decision.evidence,
        },
    ).model_copy(update={"actor": Actor(role=person.role, id=person.alias)})
    (recorded,) = logbook.append(session, case.office, [told])
    decision.log_index = recorded.index
    session.add(decision)
    session.flush()
    effect: Literal["awaiting_second", "released", "refused"] = "awaiting_second"
    if decision.verdict == "reject":
        settlement.turn_away(session, case, row, REJECTED)
        effect = "refused"
    else:
        row.state = State.AWAITING_REVIEW.value
        session.flush()
        if _released(session, case, row):
            settlement.reopen(session, row)
            effect = "released"
    return Decided(
        row.id,
        "reject" if effect == "refused" else "approve",
        person.name,
        effect,
        State(row.state),
        decision.matter,
        decision.log_index,
    )


def _released(session: Session, case: Case, row: Submission) -> bool:
    quarantine = dual_control.newest(session, row.id)
    return quarantine is not None and dual_control.released(
        session, case.office, row, case.agreement.digest, quarantine
    )


def _must_be_in_force(session: Session, case: Case) -> None:
    if not registry.still_active(session, case.agreement):
        raise Refused(
            "agreement.inactive",
            f"{case.agreement.id} {case.agreement.version} is no longer in force",
            "reject it, and let the sender submit under the version that is in force",
        )


def _changed(submission: str) -> Refused:
    return Refused(
        "review.changed",
        f"what is to be decided on {submission} is no longer what was shown",
        "look at it again: hub review show",
    )
