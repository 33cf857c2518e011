"""Two people let the hub open again after an old backup was put back; then everything happens at once.

What they approve is one database and one journal, by size and root of the log in each: nobody's word can be
used for another gap. Words are kept beside the journal, because the database is what was put back.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from hub import disk, dual_control, logbook, reviewers, standing
from hub.case import now
from hub.consent import allow_change
from hub.database.models import JournalBegun, Staff
from hub.database.session import raw
from hub.errors import Refused
from hub.ledger.entry import Actor, Entry, Span
from hub.ledger.journal import Journal
from hub.office import Office
from hub.restoring import gap as gaps
from hub.restoring import put_back, settle
from hub.restoring.gap import Gap
from hub.restoring.refill import refill
from hub.reviewers import Word
from hub.roles import Method

WORDS: Final = "words.jsonl"
GROUNDS: Final = "restore"
ACTOR: Final = Actor(role="administrator", id="hub-restore")


@dataclass(frozen=True)
class Matter:
    """What two people decide on: this database, and what the journal knows beyond it."""

    log: str
    database_size: int
    database_root: str
    journal_size: int
    journal_root: str
    journal_is_lost: bool

    @property
    def digest(self) -> str:
        """What people compare: a digest over all of it."""
        return hashlib.sha256(dual_control.statement(self, "", "", "")).hexdigest()


@dataclass(frozen=True)
class Approved:
    """What became of an approval: still closed, or open again, and then what was put back and settled."""

    matter: str
    approvers: tuple[str, ...]
    open: bool
    done: dict[str, int]


def matter_of(office: Office, gap: Gap) -> Matter:
    """Put together what is decided on."""
    base, known = gap.base, gap.known
    roots = (base.size, base.root.hex(), known.size, known.root.hex())
    return Matter(office.settings.origin, *roots, gap.lost_journal)


def shown(office: Office) -> dict[str, Any]:
    """Tell what is missing and who has approved; an open hub says so."""
    stand = standing.look(office)
    if stand.flaw is None:
        return {"open": True, "entries": {"here": stand.size, "known": stand.known}}
    gap = gaps.find(office)
    matter = matter_of(office, gap)
    words = [word["approver"] for word in _words(office, matter)]
    lacks = gap.told() | {"journal_is_lost": gap.lost_journal}
    return {"open": False, "code": stand.flaw.code, "matter": matter.digest, "approved_by": words} | lacks


def to_sign(office: Office, approver: str) -> bytes:
    """Give the very bytes that a person signs to approve."""
    matter = matter_of(office, gaps.find(office))
    return dual_control.statement(matter, "approve", approver, GROUNDS)


def approve(
    office: Office, approver: str, method: Method, evidence: str, *, seen: str | None = None
) -> Approved:
    """Take one person's approval; with the second, by another person, all is put back and the hub opens.

    Args:
        office: the hub.
        approver: the user name of a steward or data protection officer.
        method: ``key`` or ``login``.
        evidence: a signature over `to_sign`, or what names the login session.
        seen: the digest of the matter that the person was shown; another one is refused.

    Raises:
        Refused: ``restore.nothing``, ``restore.changed``, ``restore.agreement``, ``staff.unknown``,
            ``review.role``, ``review.same_person``, ``review.same_proof``, ``review.no_key``,
            ``review.signature``, ``review.session``.
        Corrupt: ``journal.damaged``.
    """
    gap = gaps.find(office)
    matter = matter_of(office, gap)
    if seen not in (None, matter.digest):
        raise _changed()
    word = Word("approve", approver, method, evidence, GROUNDS)
    with office.database.transaction() as session:
        person = _entitled(session, gap, approver)
        mark, proof = reviewers.proved(office, person, matter, word)
    given = _words(office, matter)
    if _are_two(given):  # whoever was second died over it
        return _opened(office, gap, matter, given)
    _must_be_another(given, approver, mark)
    told = {"matter": matter.digest, "approver": approver, "alias": person.alias, "role": person.role}
    told |= {"method": method, "fingerprint": mark, "evidence": proof}
    journal = _file(office)
    journal.begin()
    with journal.held() as pen:
        pen.write("word", told)
    if not _are_two([*given, told]):
        return Approved(matter.digest, tuple(one["approver"] for one in (*given, told)), open=False, done={})
    return _opened(office, gap, matter, [*given, told])


def _are_two(words: list[dict[str, str]]) -> bool:
    return dual_control.two_people((one["approver"], one["fingerprint"]) for one in words)


def _opened(office: Office, gap: Gap, matter: Matter, words: list[dict[str, str]]) -> Approved:
    done = _open_again(office, gap, words)
    return Approved(matter.digest, tuple(one["approver"] for one in words), open=True, done=done)


def _open_again(office: Office, gap: Gap, words: list[dict[str, str]]) -> dict[str, int]:
    if not gap.lost_journal:
        return _put_all_back(office, gap, words)
    office.journal.begin()
    try:
        done = _put_all_back(office, gap, words)
    except BaseException:
        disk.discard(office.journal.path)  # without a journal the hub stays closed
        raise
    standing.remember_all(office)
    return done


def _put_all_back(office: Office, gap: Gap, words: list[dict[str, str]]) -> dict[str, int]:
    """Do everything in one transaction: killed in it, the hub is closed as before."""
    with office.database.restoring() as session:
        connection = raw(session)
        allow_change(connection)
        size = refill(connection, office, gap.base, gap.records)
        done = {"entries": size - gap.base.size, "withdrawals": put_back.withdrawals(session, gap)}
        put_back.suspensions(session, gap)
        put_back.pictures(session, office, gap)
        done["submissions"] = len(gap.pictures)
        put_back.collections(session, gap)
        put_back.fences(session)
        if gap.lost_journal:
            identity = hashlib.sha256(words[0]["evidence"].encode()).hexdigest()[:16]
            session.add(JournalBegun(id=identity, log_size=gap.base.size))
        logbook.append(session, office, [_entry(session, gap, words)])
        return done | settle.settle(session, office, gap)


def _entry(session: Session, gap: Gap, words: list[dict[str, str]]) -> Entry:
    details: dict[str, str | int] = {"matter": words[0]["matter"], "database_size": gap.base.size}
    for number, word in enumerate(words, 1):
        for name in ("alias", "role", "method", "fingerprint", "evidence"):
            details[f"{name}_{number}"] = word[name]
    last = gap.known.size - 1
    span = Span(first=gap.base.size, last=last) if last >= gap.base.size else None
    reason = "journal_lost" if gap.lost_journal else "replayed"
    return Entry(kind="restore", time=now(session), actor=ACTOR, reason=reason, span=span, details=details)


def _entitled(session: Session, gap: Gap, approver: str) -> Staff:
    """Give the person, who has not been suspended in what the database has forgotten."""
    person = reviewers.entitled(session, approver)
    suspended = {entry["details"]["staff"] for _, entry in gap.of_kind("key", "staff_suspended")}
    if person.alias in suspended:
        raise Refused(
            "review.role",
            f"{approver} was suspended after this backup was made",
            "let somebody decide whose role it is: hub staff list",
        )
    return person


def _must_be_another(given: list[dict[str, str]], approver: str, mark: str) -> None:
    if any(one["approver"] == approver for one in given):
        raise Refused(
            "review.same_person",
            f"{approver} has approved this already",
            "let a second person approve: hub staff list",
        )
    if any(one["fingerprint"] == mark for one in given):
        raise Refused(
            "review.same_proof",
            "this key or login session has approved this already, under another name",
            "approve with a key or login of your own",
        )


def _words(office: Office, matter: Matter) -> list[dict[str, str]]:
    """Give the approvals of this very matter, each held once more against its person and proof."""
    journal = _file(office)
    if not journal.exists():
        return []
    found = [record.content for record in journal.records() if record.content["matter"] == matter.digest]
    with office.database.transaction() as session:
        return [word for word in found if _holds(session, office, matter, word)]


def _holds(session: Session, office: Office, matter: Matter, word: dict[str, str]) -> bool:
    person = session.scalar(select(Staff).where(Staff.name == word["approver"], Staff.active))
    if person is None:
        return False
    said = dual_control.statement(matter, "approve", word["approver"], GROUNDS)
    return dual_control.proves(office, person, said, word["method"], word["fingerprint"], word["evidence"])


def _file(office: Office) -> Journal:
    return Journal(office.journal.folder, office.ring, WORDS)


def _changed() -> Refused:
    return Refused(
        "restore.changed", "what is missing is no longer what was shown", "look again: hub restore show"
    )
