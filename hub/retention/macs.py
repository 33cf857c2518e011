"""MACs of delivered rows: the key goes with its row, the file an hour later at the earliest.

A step that has read the register's rows opens their files a moment later; it must find them.
"""

import os
import time
from contextlib import suppress
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from hub import delivered, staging
from hub.database.models import DeliveredRows, Parcel, Submission
from hub.office import Office
from hub.retention.ending import ENDED, Announce, Counts
from schemas.retention import Rule

MOST: Final = 500  # parcels a transaction
GRACE: Final = 3600  # seconds


class Macs:
    """Shreds what is remembered of the rows of old parcels."""

    def __init__(self, office: Office, most: int = MOST) -> None:
        self._office, self._most = office, most

    def waiting(self, session: Session, rule: Rule, at: datetime) -> Counts:
        """Count the parcels whose rows are remembered for too long."""
        old = select(func.count()).select_from(DeliveredRows).join(Parcel, Parcel.id == DeliveredRows.parcel)
        count = session.scalars(old.where(Parcel.sent_at < rule.period.cutoff(at))).one()
        return {"parcels": count} if count else {}

    def end(self, session: Session, rule: Rule, at: datetime, announce: Announce) -> Counts:
        """Delete the keys of some parcels' MACs; the grace of their files begins."""
        old = (
            select(DeliveredRows.parcel, DeliveredRows.wrapped_key, DeliveredRows.rows)
            .join(Parcel, Parcel.id == DeliveredRows.parcel)
            .where(Parcel.sent_at < rule.period.cutoff(at))
        )
        found = session.execute(old.order_by(DeliveredRows.position).limit(self._most)).all()
        if not found:
            return {}
        for parcel, wrapped, _ in found:
            with suppress(FileNotFoundError):
                os.utime(delivered.file_of(self._office, parcel, wrapped))
        session.execute(delete(DeliveredRows).where(DeliveredRows.parcel.in_([one.parcel for one in found])))
        counts = {"parcels": len(found), "rows": sum(one.rows for one in found)}
        announce(counts)
        return counts

    def sweep(self, office: Office) -> None:
        """Remove the files without a row of submissions that are done, once their grace is over."""
        files = list(office.delivered.glob("*.sealed")) if office.delivered.is_dir() else []
        old = {file: file.stem.rpartition("-")[0] for file in files if _age(file.stat().st_mtime) > GRACE}
        if not old:
            return
        with office.database.transaction() as session:
            done = (
                select(Parcel.id)
                .join(Submission, Submission.id == Parcel.submission)
                .where(Parcel.id.in_(old.values()), Submission.state.in_(ENDED))
            )
            over = set(session.scalars(done))
            kept = {
                delivered.file_of(office, row.parcel, row.wrapped_key)
                for row in session.scalars(select(DeliveredRows).where(DeliveredRows.parcel.in_(over)))
            }
        for file, parcel in old.items():
            if parcel in over and file not in kept:
                staging.discard(file)


def _age(changed: float) -> float:
    return time.time() - changed
