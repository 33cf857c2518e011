"""Upkeep: what has to be looked after from time to time, whether or not files come in.

It finds work that nobody was woken for, and ends what people did not release in time. (`hub.public_log` lays
out the transfer log's checkpoint.) All of it may run at any moment, again, and beside itself.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub import intake, lease, logbook, lots, readings, registry, settlement
from hub.case import now, open_case
from hub.database.models import LedgerEntry, Parcel, Submission, SubmissionHistory
from hub.errors import Corrupt, HubError, Transient
from hub.office import Office
from hub.retention import run as retention
from hub.states import RESTING, State

NOT_RELEASED = "submission.not_released"
UNSETTLED_AFTER = timedelta(hours=1)
"""A parcel that was intended and neither sent nor stopped for so long is told to the operators."""

UNNOTICED_AFTER = timedelta(minutes=3)
"""What waits for the hub and has not changed for so long may have been overheard."""


@dataclass(frozen=True)
class Reconciled:
    """What reconciliation found: agreements woken, submissions left by dead processes, parcels unsettled."""

    woken: tuple[str, ...]
    abandoned: tuple[str, ...]
    unsettled: tuple[str, ...]


def reconcile(office: Office, unsettled_after: timedelta = UNSETTLED_AFTER) -> Reconciled:
    """Wake the exchanges for what waits unnoticed, clear away dead arrivals, and tell what should not be.

    Readings of the log whose window is over are told by the log. An abandoned lease needs no repair: whoever
    takes the submission next takes it over.
    """
    logbook.probe(office)  # a log that cannot be written is told, also where nothing is handed in
    intake.sweep(office)
    readings.close(office)
    woken = lots.waiting(office, UNNOTICED_AFTER)
    for agreement in woken:
        lots.wake(office, agreement)
    with office.database.transaction() as session:
        at = now(session)
        held = session.scalars(select(Submission).where(Submission.lease_holder.is_not(None))).all()
        abandoned = sorted(row.id for row in held if lease.is_abandoned(row, at))
        overdue = (
            select(Parcel.id)
            .join(LedgerEntry, LedgerEntry.index == Parcel.intent_index)
            .where(Parcel.state == "intended", LedgerEntry.recorded_at < at - unsettled_after)
            .order_by(Parcel.id)
        )
        return Reconciled(tuple(woken), tuple(abandoned), tuple(session.scalars(overdue)))


def expire(office: Office) -> list[str]:
    """Refuse what nobody released within its agreement's days of quarantine; returns the submissions.

    One that somebody works on at the moment is left for the next time; one that fails stops no other.

    Raises:
        Corrupt: ``upkeep.expiry`` once all were tried, if one could not be ended.
    """
    with office.database.transaction() as session:
        resting = select(Submission).where(Submission.state.in_(RESTING)).order_by(Submission.id)
        due = [row.id for row in session.scalars(resting).all() if _is_over(session, row)]
    ended: list[str] = []
    failed: dict[str, str] = {}
    for identity in due:
        try:
            if _expire(office, identity):
                ended.append(identity)
        except Transient:
            continue
        except HubError as error:
            failed[identity] = error.code
    if failed:
        told = ", ".join(f"{identity} ({code})" for identity, code in failed.items())
        raise Corrupt("upkeep.expiry", f"could not end {told}", "see: hub submission show")
    return ended


def retain(office: Office) -> dict[str, dict[str, int]]:
    """End whatever is over by the rules of retention; returns counts by kind of record."""
    return {record: dict(counts) for record, counts in retention.run(office).items()}


def _is_over(session: Session, row: Submission) -> bool:
    """Tell whether a submission's days of quarantine are over; they begin when it was last quarantined."""
    history = SubmissionHistory
    since = session.scalar(
        select(func.max(history.at)).where(
            history.submission == row.id, history.target == State.QUARANTINED.value
        )
    )
    days = registry.version(session, row.agreement, row.agreement_version).quarantine_days
    return since is not None and since + timedelta(days=days) <= now(session)


def _expire(office: Office, identity: str) -> bool:
    with office.database.transaction() as session:
        held = lease.claim(session, identity, office.settings.lease_seconds)
    try:
        case = open_case(office, held)
        with office.database.transaction() as session:
            row = lease.hold(session, held)
            if State(row.state) not in RESTING or not _is_over(session, row):
                return False  # people were quicker
            settlement.turn_away(session, case, row, NOT_RELEASED)
        settlement.clear_away(case)
    finally:
        with office.database.transaction() as session:
            lease.release(session, held)
    return True
