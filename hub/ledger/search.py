"""Searching the transfer log: by period, kind, submission, and by what entries say (``ledger.terms``).

What an entry can be found by, the database computes from its body with one function and keeps in one index
(revision 0004). Values are found whole; a purpose also by what follows its ``#``, a legal basis also by its
kind and each of its paragraphs or templates. Bodies that were erased are found by period and kind alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Row, Select, Text, func, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from hub.database.models import LedgerEntry
from hub.ledger.entry import Kind

# Criteria that entries are found by, and what they are called in the index.
TERMS: Final[Mapping[str, str]] = {
    "partner": "partner",
    "agreement": "agreement",
    "purpose": "purpose",
    "legal_basis": "basis",
    "reason": "reason",
    "actor": "actor",
}
Found = Row[int, datetime, bytes | None, str]
"""An entry that was found: index, time of recording, body (None once erased), kind."""

UNKNOWN: Final = "unknown"
NEAR: Final = 2_000  # entries whose words are computed in less than a tenth of a second


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What is looked for; everything that is given must hold. ``until`` is the first instant after."""

    since: datetime | None = None
    until: datetime | None = None
    kind: Kind | None = None
    submission: str | None = None
    partner: str | None = None
    agreement: str | None = None
    purpose: str | None = None
    legal_basis: str | None = None
    reason: str | None = None
    actor: str | None = None

    @property
    def terms(self) -> list[str]:
        """What the entries' terms must hold."""
        given = {name: getattr(self, name) for name in TERMS}
        return [f"{TERMS[name]}:{value}" for name, value in given.items() if value is not None]


def find(session: Session, criteria: Criteria, upto: int | None, limit: int) -> Sequence[Found]:
    """Find the newest entries from index ``upto`` down: index, time of recording, body, kind.

    Words are looked for among the newest entries first, and then through their index alone: a planner that
    guessed wrong would compute the words of every entry, for seconds.
    """
    if not criteria.terms:
        return session.execute(_query(criteria, upto).limit(limit)).all()
    top = upto if upto is not None else session.scalar(select(func.max(LedgerEntry.index)))
    near = _query(criteria, upto).where(LedgerEntry.index > (top or 0) - NEAR).limit(limit)
    found = session.execute(near).all()
    if len(found) < limit:
        with _by_words(session):
            found = session.execute(_query(criteria, upto).limit(limit)).all()
    return found


@contextmanager
def _by_words(session: Session) -> Iterator[None]:
    for name in ("enable_indexscan", "enable_seqscan"):
        session.execute(text(f"SET LOCAL {name} = off"))
    yield
    for name in ("enable_indexscan", "enable_seqscan"):
        session.execute(text(f"SET LOCAL {name} = on"))


def _query(criteria: Criteria, upto: int | None) -> Select[int, datetime, bytes | None, str]:
    table = LedgerEntry
    asked = select(table.index, table.recorded_at, table.body, table.kind).order_by(table.index.desc())
    if upto is not None:
        asked = asked.where(table.index <= upto)
    if criteria.since is not None:
        asked = asked.where(table.recorded_at >= criteria.since)
    if criteria.until is not None:
        asked = asked.where(table.recorded_at < criteria.until)
    exact = {"kind": criteria.kind, "submission": criteria.submission}
    asked = asked.filter_by(**{name: value for name, value in exact.items() if value is not None})
    return asked.where(_holds(criteria.terms)) if criteria.terms else asked


def told(session: Session, criteria: Criteria) -> dict[str, str]:
    """Say what was looked for, for the log itself.

    A word that no entry holds is told as ``unknown``: whoever searches for a name brings none into the log.
    """
    said: dict[str, str] = {}
    for field in fields(criteria):
        value = getattr(criteria, field.name)
        if isinstance(value, datetime):
            said[f"of_{field.name}"] = value.isoformat(timespec="seconds")
        elif value is not None:
            known = field.name == "kind" or _occurs(session, field.name, value)
            said[f"of_{field.name}"] = value if known else UNKNOWN
    return said


def _occurs(session: Session, name: str, value: str) -> bool:
    if name == "submission":
        return bool(session.scalar(select(select(LedgerEntry.index).filter_by(submission=value).exists())))
    with _by_words(session):
        found = select(LedgerEntry.index).where(_holds([f"{TERMS[name]}:{value}"])).limit(1)
        return session.scalar(found) is not None


def _holds(terms: list[str]) -> ColumnElement[bool]:
    of_entry = func.ledger.terms(LedgerEntry.body, type_=ARRAY(Text))
    return of_entry.contains(literal(terms, ARRAY(Text)))
