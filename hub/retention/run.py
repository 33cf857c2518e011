"""The run over everything that ends: batch by batch, each announced in the log in its own transaction.

Killed at any moment, the next run goes on where this one stopped: what was deleted is gone and announced,
what was not is still there, and files without a key are swept. Counts are all that is told.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub import logbook, staging, standing
from hub.case import now
from hub.errors import Refused
from hub.ledger.entry import Actor, Entry, Span
from hub.office import Office
from hub.retention.bodies import Bodies
from hub.retention.ending import Announce, Counts, Ending
from hub.retention.logs import ServiceLogs
from hub.retention.macs import Macs
from hub.retention.payloads import Payloads
from hub.retention.rows import Rows
from schemas import retention
from schemas.retention import Record, Rule, Schedule

LOCK: Final = 0x72657461696E  # "retain": one batch at a time
ACTOR: Final = Actor(role="hub", id="retention")
JOURNALLED: Final = frozenset({"log_bodies", "delivered_rows"})
"""What the journal holds as well: it is written anew once these have ended."""


@dataclass(frozen=True)
class Due:
    """One kind of record: its rule, the instant before which its events lie, and what is over, by count.

    ``before`` is None where every agreement has its own period.
    """

    rule: Rule
    before: datetime | None
    waiting: Counts


def schedule(office: Office) -> Schedule:
    """Read the rules that are in force.

    Raises:
        Refused: ``retention.file`` for a file of HUB_RETENTION that is none.
    """
    file = office.settings.retention
    try:
        return retention.load(file) if file is not None else retention.load()
    except (OSError, ValueError, TypeError) as error:
        raise Refused(
            "retention.file",
            f"expected a rule for each kind of record in {file}, found {_wrong(error)}",
            "copy schemas/retention.yaml and change its periods and grounds only",
        ) from None


def show(office: Office) -> dict[Record, Due]:
    """Tell every rule and what is over and still there; nothing is changed."""
    found: dict[Record, Due] = {}
    for record, rule in schedule(office).items():
        with office.database.transaction() as session:
            at = now(session)
            before = None if rule.period.by_agreement else rule.period.cutoff(at)
            found[record] = Due(rule, before, dict(_ending(office, record).waiting(session, rule, at)))
    return found


def run(office: Office, told: Callable[[str], None] = lambda _step: None) -> Mapping[Record, Counts]:
    """End everything that is over; returns what was ended, by kind of record and count.

    Raises:
        Refused: ``retention.file``.
        Corrupt: PostgreSQL refuses an erasure, such as that of a body that does not fit its leaf hash.
        Transient: as the database and the disk tell; run again.
    """
    done: dict[Record, Counts] = {}
    for record, rule in schedule(office).items():
        told(record)
        ending, counts = _ending(office, record), Counter[str]()
        if record in JOURNALLED:
            _owe(office, ending, rule)
        while batch := _end(office, ending, rule):
            ending.sweep(office)
            counts.update(batch)
            told(f"{record} {sum(counts.values())}")
        ending.sweep(office)
        if counts:
            done[record] = dict(counts)
    _renew_journal(office)
    return done


def _owe(office: Office, ending: Ending, rule: Rule) -> None:
    """Note down, before anything ends, that the journal has to be written anew, whoever dies meanwhile."""
    with office.database.transaction() as session:
        waiting = ending.waiting(session, rule, now(session))
    if any(waiting.values()):
        staging.replace(_owed(office), b"")


def _renew_journal(office: Office) -> None:
    """End in the journal, too, what has ended here, by this run or by one that died."""
    kept = (office.journal.folder / "delivered").glob("*.sealed")
    if _owed(office).exists() or any(not (office.delivered / file.name).exists() for file in kept):
        standing.renew(office)
        staging.discard(_owed(office))


def _owed(office: Office) -> Path:
    return office.settings.data / "journal.owed"


def _ending(office: Office, record: Record) -> Ending:
    match record:
        case "log_bodies":
            return Bodies()
        case "payloads_collected" | "payloads_uncollected" | "payloads_undelivered":
            return Payloads(record)
        case "delivered_rows":
            return Macs(office)
        case "service_logs":
            return ServiceLogs(office)
        case _:
            return Rows(record)


def _end(office: Office, ending: Ending, rule: Rule) -> Counts:
    with office.database.transaction() as session:
        session.execute(select(func.pg_advisory_xact_lock(LOCK)))
        at = now(session)
        return ending.end(session, rule, at, _announcing(session, office, rule, at))


def _announcing(session: Session, office: Office, rule: Rule, at: datetime) -> Announce:
    def announce(counts: Counts, span: Span | None = None) -> int:
        details: dict[str, str | int] = {"action": rule.action}
        if not rule.period.by_agreement:
            details["before"] = rule.period.cutoff(at).astimezone(UTC).isoformat(timespec="seconds")
        entry = Entry(
            kind="retention",
            time=at,
            actor=ACTOR,
            reason=rule.record,
            counts=dict(counts),
            span=span,
            details=details,
        )
        (recorded,) = logbook.append(session, office, [entry])
        return recorded.index

    return announce


def _wrong(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, part['loc'])) or 'a rule'}: {part['msg']}"
            for part in error.errors(include_input=False)
        )
    return type(error).__name__ if isinstance(error, OSError) else str(error)
