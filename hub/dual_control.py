"""Dual control (Vier-Augen-Prinzip): what was ever quarantined is sent only on the word of two people.

This is the whole rule, for an auditor to read in one sitting. `require` is asked before a parcel is intended,
and once more within the transaction that sends it. Nothing that was concluded earlier counts there: the
newest quarantine is read from the history, which only a trigger can write; each approval is held anew against
that very quarantine, against its signature, and against the person as the person is registered now.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

import rfc8785
from sqlalchemy import select
from sqlalchemy.orm import Session

from hub import sshsig
from hub.case import Case
from hub.database.models import ReviewDecision, Staff, Submission, SubmissionHistory
from hub.errors import Corrupt
from hub.office import Office
from hub.roles import MAY_DECIDE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NAMESPACE: Final = "review@hub"
"""The namespace under which decisions are signed (``ssh-keygen -Y verify -n``)."""


@dataclass(frozen=True)
class Quarantine:
    """One time that a submission was quarantined: how many times it was then, and the fence of that time."""

    round: int
    fence: int


@dataclass(frozen=True)
class Matter:
    """What people decide on: one quarantine of one file under one agreement, for one reason.

    By round and fence no word can be carried over to a later quarantine, or to one restored from a backup.
    """

    submission: str
    sha256: str
    agreement: str
    agreement_version: str
    agreement_digest: str
    held_for: str
    round: int
    fence: int

    @property
    def canonical(self) -> bytes:
        """The matter as canonical JSON (RFC 8785)."""
        return rfc8785.dumps({"format": 1, "matter": asdict(self)})

    @property
    def digest(self) -> str:
        """The SHA-256 of its canonical form, in hex: what people compare."""
        return hashlib.sha256(self.canonical).hexdigest()


def statement(matter: "DataclassInstance", verdict: str, approver: str, grounds: str) -> bytes:
    """Write what one person says on a matter, as canonical JSON: the bytes that are signed."""
    word = {"verdict": verdict, "approver": approver, "grounds": grounds}
    return rfc8785.dumps({"format": 1, "matter": asdict(matter), "decision": word})


def quarantines(session: Session, submission: str) -> list[Quarantine]:
    """Find every time that a submission was quarantined, the first one first."""
    entered = (SubmissionHistory.submission == submission, SubmissionHistory.target == "quarantined")
    fences = session.scalars(select(SubmissionHistory.fence).where(*entered).order_by(SubmissionHistory.id))
    return [Quarantine(number, fence) for number, fence in enumerate(fences, start=1)]


def newest(session: Session, submission: str) -> Quarantine | None:
    """Find a submission's newest quarantine; None if it was never quarantined."""
    found = quarantines(session, submission)
    return found[-1] if found else None


def matter_of(row: Submission, agreement_digest: str, held_for: str, quarantine: Quarantine) -> Matter:
    """Put together what is decided on."""
    agreement = (row.agreement, row.agreement_version, agreement_digest)
    return Matter(row.id, row.sha256, *agreement, held_for, quarantine.round, quarantine.fence)


def of_round(session: Session, submission: str, number: int) -> Sequence[tuple[ReviewDecision, Staff]]:
    """Give the decisions of one round, each with its person, in the order in which they came."""
    found = (
        select(ReviewDecision, Staff)
        .join(Staff, Staff.name == ReviewDecision.approver)
        .where(ReviewDecision.submission == submission, ReviewDecision.round == number)
        .order_by(ReviewDecision.log_index)
    )
    return [(decision, person) for decision, person in session.execute(found)]


def valid(office: Office, matter: Matter, decision: ReviewDecision, person: Staff) -> bool:
    """Tell whether a decision is this person's word on this matter, and the person's to give."""
    if not person.active or person.role not in MAY_DECIDE or decision.matter != matter.digest:
        return False
    said = statement(matter, decision.verdict, person.name, decision.grounds)
    return proves(office, person, said, decision.method, decision.fingerprint, decision.evidence)


def proves(office: Office, person: Staff, said: bytes, method: str, mark: str, evidence: str) -> bool:
    """Tell whether evidence shows that a person said this, by the registered key or in a login session."""
    if method == "key":
        registered = person.public_key is not None and person.fingerprint == mark
        return registered and sshsig.holds(person.public_key or "", NAMESPACE, said, evidence)
    return method == "login" and login_holds(office, said, mark, evidence)


def seal_login(office: Office, said: bytes, session_mark: str) -> str:
    """Seal what a person said in a login, so that the database alone cannot claim it; gives the evidence."""
    return base64.b64encode(office.ring.wrap(session_mark.encode(), _context(said))).decode("ascii")


def login_holds(office: Office, said: bytes, session_mark: str, evidence: str) -> bool:
    """Tell whether the hub sealed these words for this login session."""
    try:
        return office.ring.unwrap(base64.b64decode(evidence, validate=True), _context(said)) == (
            session_mark.encode()
        )
    except (Corrupt, ValueError, binascii.Error):
        return False


def two_people(approvals: Iterable[tuple[str, str]]) -> bool:
    """Tell whether approvals (person, key or session) hold two that share neither person nor proof."""
    pairs = combinations(set(approvals), 2)
    return any(one[0] != other[0] and one[1] != other[1] for one, other in pairs)


def released(
    session: Session, office: Office, row: Submission, agreement_digest: str, quarantine: Quarantine
) -> bool:
    """Tell whether two people have approved after this quarantine, and nobody has rejected."""
    approvals = []
    for decision, person in of_round(session, row.id, quarantine.round):
        if decision.verdict != "approve":
            return False
        if valid(office, matter_of(row, agreement_digest, decision.held_for, quarantine), decision, person):
            approvals.append((decision.approver, decision.fingerprint))
    return two_people(approvals)


def require(session: Session, case: Case) -> None:
    """Let a submission be sent if it was never quarantined, or if two people have released it.

    Raises:
        Corrupt: ``review.missing``; nothing of it may leave.
    """
    quarantine = newest(session, case.submission)
    if quarantine is None:
        return
    row = session.get_one(Submission, case.submission)
    if not released(session, case.office, row, case.agreement.digest, quarantine):
        raise Corrupt(
            "review.missing",
            f"expected the valid approvals of two people for {case.submission}, found fewer",
            "let two people decide on it: hub review show; find out who moved it on without them",
        )


def _context(said: bytes) -> str:
    return "review/" + hashlib.sha256(said).hexdigest()
