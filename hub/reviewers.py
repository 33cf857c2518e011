"""Reviewers: who may decide on what is held back, on which grounds, and how they prove who they are."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from hub import dual_control, sshsig, staff
from hub.database.models import Staff
from hub.dual_control import Matter
from hub.errors import Refused
from hub.office import Office
from hub.roles import GROUNDS, MAY_DECIDE, Method, Verdict

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_LONGEST_SESSION = 1000


@dataclass(frozen=True)
class Word:
    """What one person says: the verdict, on which grounds, and how the person proves to be the one."""

    verdict: Verdict
    approver: str
    method: Method
    evidence: str
    grounds: str


def grounds(verdict: Verdict, code: str | None) -> str:
    """Give the code of the grounds, the usual one if none is named.

    Raises:
        Refused: ``review.grounds``.
    """
    known = GROUNDS[verdict]
    if code is not None and code not in known:
        raise Refused("review.grounds", f"expected one of {', '.join(known)}", "name one of these codes")
    return code or known[0]


def entitled(session: Session, approver: str) -> Staff:
    """Give the person who wants to decide.

    Raises:
        Refused: ``staff.unknown``, ``review.role``.
    """
    person = session.get(Staff, approver)
    if person is None or not person.active:
        raise staff.unknown(approver)
    if person.role not in MAY_DECIDE:
        raise Refused(
            "review.role",
            f"expected a steward or data protection officer, got the role {person.role}",
            "let somebody decide whose role it is: hub staff list",
        )
    return person


def proved(office: Office, person: Staff, held: "DataclassInstance", word: Word) -> tuple[str, str]:
    """Hold a word against its proof; gives the mark of key or session, and the evidence to keep.

    Raises:
        Refused: ``review.session``, ``review.no_key``, ``review.signature``.
    """
    said = dual_control.statement(held, word.verdict, word.approver, word.grounds)
    if word.method == "login":
        if not 0 < len(word.evidence) <= _LONGEST_SESSION:
            raise Refused("review.session", "expected what names the login session", "log in again")
        mark = "login:" + hashlib.sha256(word.evidence.encode()).hexdigest()
        return mark, dual_control.seal_login(office, said, mark)
    if person.public_key is None or person.fingerprint is None:
        raise Refused(
            "review.no_key",
            f"{person.name} has no key registered",
            "register it: hub staff add NAME --role ROLE --public-key FILE",
        )
    if not sshsig.holds(person.public_key, dual_control.NAMESPACE, said, word.evidence):
        raise Refused(
            "review.signature",
            f"expected a signature of {person.name}'s registered key over this very matter, found another",
            "sign with your own key; if the matter has changed meanwhile, look at it again: hub review show",
        )
    return person.fingerprint, word.evidence


def must_be_another(session: Session, held: Matter, person: Staff, mark: str) -> None:
    """Let nobody decide twice on one matter, and no key or session for two people.

    Raises:
        Refused: ``review.same_person``, ``review.same_proof``.
    """
    for earlier, _ in dual_control.of_round(session, held.submission, held.round):
        if earlier.approver == person.name:
            raise Refused(
                "review.same_person",
                f"{person.name} has decided on this already",
                "let a second person decide: hub staff list",
            )
        if earlier.fingerprint == mark:
            raise Refused(
                "review.same_proof",
                "this key or login session has decided on this already, under another name",
                "decide with a key or login of your own",
            )
