"""Bodies of the transfer log: erased span by span, each announced in the log before it is gone.

PostgreSQL holds each erasure against its announcement (revision 0006), and refuses what is younger than a
year, belongs to a submission under way, or does not fit its leaf hash any more. Hash, kind and time stay.
"""

from collections import Counter
from datetime import datetime
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from hub.ledger.entry import Span
from hub.retention.ending import ENDED, Announce, Counts, InTables
from schemas.retention import Rule

KEPT: Final = ("retention", "restore", "key", "agreement")
"""What explains the log itself stays whole: what was erased or lost, which keys and agreements held."""

MOST: Final = 5_000  # bodies a transaction, which holds the log's lock

_DUE = """e.recorded_at < :before AND NOT EXISTS (
    SELECT FROM hub.submission s WHERE s.id = e.submission AND s.state <> ALL (:ended))"""
_WAITING = text(
    f"""SELECT e.kind, count(*) AS entries FROM ledger.entry e
    WHERE e.body IS NOT NULL AND e.kind <> ALL (:kept) AND {_DUE} GROUP BY e.kind"""  # noqa: S608 -- a constant
)
_FIRST = text(
    f"""SELECT e.index FROM ledger.entry e
    WHERE e.index >= :start AND e.body IS NOT NULL AND e.kind <> ALL (:kept) AND {_DUE}
    ORDER BY e.index LIMIT 1"""  # noqa: S608 -- a constant
)
_FOLLOWING = text(
    f"""SELECT e.index, e.kind, e.kind = ANY (:kept) AS kept, e.body IS NOT NULL AND {_DUE} AS due
    FROM ledger.entry e WHERE e.index >= :start ORDER BY e.index LIMIT :most"""  # noqa: S608 -- a constant
)


class Bodies(InTables):
    """Erases bodies in the order of the log; ``most`` of them a transaction."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._start = 0  # before this, the present run has found nothing more to erase

    def waiting(self, session: Session, rule: Rule, at: datetime) -> Counts:
        """Count the bodies that are over, by kind of entry."""
        return {row.kind: row.entries for row in session.execute(_WAITING, self._asked(rule, at))}

    def end(self, session: Session, rule: Rule, at: datetime, announce: Announce) -> Counts:
        """Erase the next span: entries in a row that are all over, but for those that are kept."""
        asked = self._asked(rule, at)
        first = session.scalar(_FIRST, asked | {"start": self._start})
        if first is None:
            return {}
        kinds: Counter[str] = Counter()
        last = first
        following = session.execute(_FOLLOWING, asked | {"start": first, "most": self._most})
        for offset, row in enumerate(following):
            if row.index != first + offset or not (row.kept or row.due):
                break
            if not row.kept:
                kinds[row.kind] += 1
                last = row.index
        told = announce(kinds, Span(first=first, last=last))
        session.execute(select(func.ledger.erase_bodies(told, asked["before"])))
        self._start = last + 1
        return kinds

    @staticmethod
    def _asked(rule: Rule, at: datetime) -> dict[str, object]:
        return {"before": rule.period.cutoff(at), "kept": list(KEPT), "ended": ENDED}
