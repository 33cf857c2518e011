"""Payloads: whatever of a finished submission can be read, key first.

Once the key is gone with its transaction, no sealed file of the submission can be opened by anybody: neither
parcel nor report nor what came in. The files follow after the commit. The results of the steps go last, so
that a submission without a key that still has some is one whose files may still be there.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from hub import staging
from hub.case import folder_of
from hub.database.models import Parcel, PayloadKey, StepResult, Submission
from hub.office import Office
from hub.retention.ending import ENDED, Announce, Counts
from schemas.retention import Record, Rule

MOST: Final = 500  # submissions a transaction

_OVER: Final[dict[Record, str]] = {
    "payloads_collected": "p.collected_at + make_interval(days => (a.body->>'retention_days')::int) <= :at",
    "payloads_uncollected": "p.collected_at IS NULL AND p.sent_at < :before",
    "payloads_undelivered": "p.id IS NULL AND s.changed_at < :before",
}
_FROM = """FROM hub.submission s JOIN hub.payload_key k ON k.submission = s.id
    JOIN hub.agreement a ON (a.id, a.version) = (s.agreement, s.agreement_version)
    LEFT JOIN hub.parcel p ON p.submission = s.id AND p.state = 'sent'
    WHERE s.state = ANY (:ended) AND """


class Payloads:
    """Shreds the payloads of one family: collected, never collected, or never delivered."""

    def __init__(self, record: Record, most: int = MOST) -> None:
        self._most = most
        over = _FROM + _OVER[record]
        self._counted = text(f"SELECT count(*) {over}")
        self._chosen = text(f"SELECT s.id {over} ORDER BY s.id LIMIT :most")

    def waiting(self, session: Session, rule: Rule, at: datetime) -> Counts:
        """Count the submissions whose payload is over."""
        count = session.scalars(self._counted, _asked(rule, at)).one()
        return {"submissions": count} if count else {}

    def end(self, session: Session, rule: Rule, at: datetime, announce: Announce) -> Counts:
        """Delete the keys of some submissions."""
        found = session.scalars(self._chosen, _asked(rule, at) | {"most": self._most}).all()
        if not found:
            return {}
        session.execute(delete(PayloadKey).where(PayloadKey.submission.in_(found)))
        counts = {"submissions": len(found)}
        announce(counts)
        return counts

    def sweep(self, office: Office) -> None:
        """Remove every file of submissions without a key, and then what the steps noted."""
        while left := _keyless(office, self._most):
            for submission in left:
                _discard(office, submission)
            with office.database.transaction() as session:
                session.execute(delete(StepResult).where(StepResult.submission.in_(left)))


def _asked(rule: Rule, at: datetime) -> dict[str, object]:
    before = None if rule.period.by_agreement else rule.period.cutoff(at)
    return {"at": at, "before": before, "ended": ENDED}


def _keyless(office: Office, most: int) -> list[str]:
    with office.database.transaction() as session:
        keyless = (
            select(Submission.id)
            .where(Submission.state.in_(ENDED))
            .where(~select(PayloadKey.submission).where(PayloadKey.submission == Submission.id).exists())
            .where(select(StepResult.submission).where(StepResult.submission == Submission.id).exists())
        )
        return list(session.scalars(keyless.order_by(Submission.id).limit(most)))


def _discard(office: Office, submission: str) -> None:
    with office.database.transaction() as session:
        sent = session.execute(
            select(Parcel.recipient, Parcel.name).where(
                Parcel.submission == submission, Parcel.state == "sent"
            )
        ).all()
    for recipient, name in sent:
        office.route.take_back(recipient, name)
    for path in (
        folder_of(office, submission),
        office.inbox / f"{submission}.sealed",
        *office.reports.glob(f"{submission}-*.sealed"),
    ):
        staging.discard(path)
