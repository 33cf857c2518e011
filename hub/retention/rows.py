"""What ends as rows of tables alone: one statement each that deletes a batch and counts it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from hub import consent
from hub.database.session import raw
from hub.retention.ending import ENDED, Announce, Counts, InTables
from schemas.retention import Record, Rule

MOST: Final = 5_000

_OVER_WITH_ITS_SUBMISSION = """EXISTS (
    SELECT FROM hub.submission s WHERE s.id = t.submission AND s.state = ANY (:ended))"""


@dataclass(frozen=True)
class Kind:
    """A table, its key, and the condition (on ``t``) under which a row of it is over."""

    table: str
    key: str
    over: str
    consents: bool = False
    """Whether sending must wait meanwhile, as it does for every change of consents."""
    besides: str = ""
    """Further statements of the same moment, on what is ``gone`` (or, before it, ``chosen``)."""


KINDS: Final[dict[Record, Kind]] = {
    "row_seeds": Kind(
        "hub.row_seed",
        "parcel",
        """t.made_at < :before AND EXISTS (SELECT FROM hub.parcel p JOIN hub.submission s
            ON s.id = p.submission WHERE p.id = t.parcel AND s.state = ANY (:ended))""",
    ),
    "receipts": Kind(
        "hub.receipt", "submission, kind", f"t.issued_at < :before AND {_OVER_WITH_ITS_SUBMISSION}"
    ),
    "review_decisions": Kind(
        "hub.review_decision",
        "submission, round, approver",
        f"t.at < :before AND {_OVER_WITH_ITS_SUBMISSION}",
    ),
    "staff": Kind(
        "hub.staff",
        "name",
        """NOT t.active AND t.ended_at < :before
            AND NOT EXISTS (SELECT FROM hub.review_decision d WHERE d.approver = t.name)""",
    ),
    "consents": Kind(
        "hub.consent",
        "id",
        "least(t.withdrawn_at, t.valid_until) < :before",
        consents=True,
        # Of a withdrawn one the reference is remembered, so that an old file does not bring it back.
        besides=""", remembered AS (INSERT INTO hub.ended_consent (collector, reference_mac)
            SELECT collector, reference_mac FROM gone WHERE withdrawn_at IS NOT NULL
            ON CONFLICT DO NOTHING)""",
    ),
    "persons": Kind(
        "hub.person",
        "id",
        "t.created_at < :before AND NOT EXISTS (SELECT FROM hub.consent c WHERE c.person_id = t.id)",
        consents=True,
        besides=""", numbers AS (DELETE FROM hub.person_number n USING chosen
            WHERE n.person_id = chosen.id RETURNING 1)""",
    ),
}


class Rows(InTables):
    """Deletes the rows of one kind that are over."""

    def __init__(self, record: Record, most: int = MOST) -> None:
        kind = KINDS[record]
        self._record, self._kind, self._most = record, kind, most
        self._counted = text(f"SELECT count(*) FROM {kind.table} t WHERE {kind.over}")  # noqa: S608 -- constants
        self._ended = text(
            f"""WITH chosen AS MATERIALIZED (
                SELECT {kind.key} FROM {kind.table} t WHERE {kind.over} ORDER BY {kind.key} LIMIT :most
            ), gone AS (
                DELETE FROM {kind.table} WHERE ({kind.key}) IN (SELECT {kind.key} FROM chosen) RETURNING *
            ){kind.besides} SELECT count(*) FROM gone"""  # noqa: S608 -- constants
        )

    def waiting(self, session: Session, rule: Rule, at: datetime) -> Counts:
        """Count the rows that are over."""
        count = session.scalars(self._counted, self._asked(rule, at)).one()
        return _told(self._record, count)

    def end(self, session: Session, rule: Rule, at: datetime, announce: Announce) -> Counts:
        """Delete some rows."""
        if self._kind.consents:
            consent.allow_change(raw(session))
        count = session.scalars(self._ended, self._asked(rule, at) | {"most": self._most}).one()
        if counts := _told(self._record, count):
            announce(counts)
        return counts

    @staticmethod
    def _asked(rule: Rule, at: datetime) -> dict[str, object]:
        return {"before": rule.period.cutoff(at), "ended": ENDED}


def _told(what: str, count: int) -> Counts:
    return {what: count} if count else {}
