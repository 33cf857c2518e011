"""Readings: who reads the transfer log, told by the log itself before anything is shown.

An entry opens a reading: reader, purpose, what was asked for, and what is shown first. What the same reader
reads for the same purpose, asking the same, within `WINDOW` is counted beside the log, as durably, and told
by one closing entry. So paging floods nothing, and reading about readings feeds nothing: two entries at most
for each reader, purpose, question and window.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import rfc8785
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub import logbook
from hub.case import now
from hub.database.models import LogReading
from hub.ledger.entry import Actor, Entry
from hub.office import Office

WINDOW: Final = timedelta(minutes=5)
LOCK: Final = 0x72656164696E67  # "reading": whoever notes a reading holds it until that is durable
LONGEST: Final = 500
"""Signs of a list of indexes that an entry takes; of a longer one it tells the first, the last, how many."""

Spans = list[tuple[int, int]]
"""Indexes as runs without gaps: first and last of each, rising."""


def note(office: Office, reader: Actor, purpose: str, asked: Mapping[str, str], seen: Sequence[int]) -> None:
    """Note a reading, durable on return; whoever reads calls this before anything is shown.

    Args:
        office: whose log is read.
        reader: who reads, by role and staff pseudonym.
        purpose: what the entries are read for: ``entries``, ``search``, ``proof`` and the like.
        asked: by which words; nothing may stand here that the log does not hold already.
        seen: the indexes of the entries that are about to be shown.
    """
    question = rfc8785.dumps(dict(asked)).decode()
    with office.database.transaction() as session:
        session.execute(select(func.pg_advisory_xact_lock(LOCK)))
        at = now(session)
        _close(session, office, at - WINDOW, at)
        row = session.scalar(
            select(LogReading).where(
                LogReading.role == reader.role,
                LogReading.reader == reader.id,
                LogReading.purpose == purpose,
                LogReading.asked == question,
            )
        )
        if row is None:
            details: dict[str, str | int] = {**asked}
            details |= {"first": min(seen), "last": max(seen)} if seen else {}
            told = Entry(kind="log_read", time=at, actor=reader, reason=purpose, details=details or None)
            (recorded,) = logbook.append(session, office, [told])
            row = LogReading(role=reader.role, reader=reader.id, purpose=purpose, asked=question)
            row.readings, row.seen, row.log_index, row.opened_at = 0, "[]", recorded.index, at
            session.add(row)
        row.readings += 1
        row.seen = json.dumps(joined([*json.loads(row.seen), *((index, index) for index in seen)]))
        row.last_at = at


def close(office: Office, older_than: timedelta = WINDOW) -> int:
    """Tell the log of the readings whose window is over; returns how many. Again, it does nothing."""
    with office.database.transaction() as session:
        session.execute(select(func.pg_advisory_xact_lock(LOCK)))
        at = now(session)
        return _close(session, office, at - older_than, at)


def joined(spans: Iterable[Sequence[int]]) -> Spans:
    """Join runs of indexes that touch or overlap."""
    runs: Spans = []
    for first, last in sorted((first, last) for first, last in spans):
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], max(last, runs[-1][1]))
        else:
            runs.append((first, last))
    return runs


def _close(session: Session, office: Office, opened_until: datetime, at: datetime) -> int:
    over = session.scalars(
        select(LogReading).where(LogReading.opened_at <= opened_until).order_by(LogReading.id)
    ).all()
    told = [_closing(row, at) for row in over if row.readings > 1]  # of a single one the log has told all
    if told:
        logbook.append(session, office, told)
    for row in over:
        session.delete(row)
    return len(over)


def _closing(row: LogReading, at: datetime) -> Entry:
    """Tell of a whole reading: where it was opened, how often it went on, and which entries it showed."""
    spans: Spans = [(first, last) for first, last in json.loads(row.seen)]
    details: dict[str, str | int] = {
        **json.loads(row.asked),
        "opened": row.log_index,
        "readings": row.readings,
        "until": row.last_at.isoformat(timespec="seconds"),
        "entries": sum(last - first + 1 for first, last in spans),
    }
    if spans:
        details |= {"first": spans[0][0], "last": spans[-1][1]}
        places = " ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in spans)
        details |= {"seen": places} if len(places) <= LONGEST else {}
    return Entry(
        kind="log_read",
        time=at,
        actor=Actor(role=row.role, id=row.reader),
        reason=row.purpose,
        details=details,
    )
