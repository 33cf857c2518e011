"""Lots: what one run of an exchange takes through the six steps together.

A lot is only a list of names. Which step a submission is due for is asked of the state machine each time, so
that a lot may be taken twice, late, or by two runs at once: what has been done is passed over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.orm import Session

from hub import exchange, lease
from hub.case import now
from hub.database.models import Parcel, Submission
from hub.errors import Corrupt, HubError, Refused, Transient, defect
from hub.office import Office
from hub.states import FINAL, RESTING

CHANNEL: Final = "hub_work"
"""The PostgreSQL channel on which new work is told, with the agreement's id (see the migrations)."""

AGAIN: Final = " again"
"""Follows the agreement's id where a look at old work is asked for."""

_DONE = [state.value for state in FINAL | RESTING]
_FIRST_WAIT, _LONGEST_WAIT = 5, 600  # seconds until a submission is tried again after a failure of the hub's


@dataclass(frozen=True)
class Lot:
    """Submissions of one agreement, oldest first, and whether more of them wait."""

    agreement: str
    submissions: tuple[str, ...]
    more: bool


@dataclass
class Taken:
    """What a step did with a lot: names of submissions it took on, passed over, or failed with (by code)."""

    step: str
    taken: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def waiting(office: Office, still_for: timedelta = timedelta()) -> list[str]:
    """Name the agreements of which submissions wait for the hub (not for people, not for a later time).

    With ``still_for``: only those with a submission in which nothing has changed for so long.
    """
    with office.database.transaction() as session:
        still = Submission.changed_at <= now(session) - still_for
        found = select(Submission.agreement).where(*_open(session), still).distinct()
        return list(session.scalars(found.order_by(Submission.agreement)))


def claim(office: Office, agreement: str) -> Lot:
    """Gather the next lot of an agreement, bounded in number and in bytes; at least one, if one waits.

    What failed before comes last, so that it takes no place from what may go well.
    """
    settings = office.settings
    with office.database.transaction() as session:
        found = session.execute(
            select(Submission.id, Submission.bytes)
            .where(Submission.agreement == agreement, *_open(session))
            .order_by(Submission.failures, Submission.created_at, Submission.id)
            .limit(settings.lot_submissions + 1)
        ).all()
        lot: list[str] = []
        size = 0
        for identity, length in found[: settings.lot_submissions]:
            size += length
            if lot and size > settings.lot_bytes:
                break
            lot.append(identity)
        claimed = update(Submission).where(Submission.id.in_(lot)).values(claimed_at=func.clock_timestamp())
        session.execute(claimed, execution_options={"synchronize_session": False})
    return Lot(agreement, tuple(lot), more=len(found) > len(lot))


def take(office: Office, step: str, lot: Sequence[str]) -> Taken:
    """Take each submission of a lot that is due for this step through it; a bad one never stops the others.

    A failure is noted with the submission, which is left alone for a while (Transient) or until a steward
    takes it on (all else). What failed before is tried last; what is held is passed over.

    Raises:
        Corrupt: ``lot.alarm`` once all were tried, if one of them met an alarm.
        Transient: ``lot.unfinished`` once all were tried, if one of them could not be taken now.
    """
    done = Taken(step)
    alarms, delays = [], []
    for row in _in_order(office, lot):
        identity, due = row.id, exchange.step_for(row)
        if row.held_by is not None or due is None or due.__name__ != step:
            done.passed.append(identity)
            continue
        try:
            exchange.take(office, identity, due)
        except Transient as delay:
            delays.append(identity)
            _note(office, identity, delay)
            done.failed[identity] = delay.code
        except (Corrupt, Refused) as alarm:
            alarms.append(identity)
            _note(office, identity, alarm)
            done.failed[identity] = alarm.code
        except Exception as error:  # noqa: BLE001 -- it may quote a row: only its place goes on
            alarms.append(identity)
            found = defect(error)
            _note(office, identity, found)
            done.failed[identity] = found.code
        else:
            if row.failures:
                _forget(office, identity)
            done.taken.append(identity)
    codes = ", ".join(sorted(set(done.failed.values())))
    if alarms:
        raise Corrupt("lot.alarm", f"{step} met {codes} in {_names(alarms)}", "see: hub submission show")
    if delays:
        raise Transient("lot.unfinished", f"{step} met {codes} in {_names(delays)}", "it is tried again")
    return done


def troubled(office: Office, lot: Sequence[str]) -> dict[str, str]:
    """Tell which of a lot the hub could not take on, each with the code that holds it, or ``later``."""
    with office.database.transaction() as session:
        found = select(Submission.id, Submission.held_by).where(
            Submission.id.in_(lot), Submission.state.not_in(_DONE), Submission.failures > 0
        )
        return {
            identity: held or "later" for identity, held in session.execute(found.order_by(Submission.id))
        }


def sent(office: Office, lot: Sequence[str]) -> list[str]:
    """Name the parcels of a lot that have gone out."""
    with office.database.transaction() as session:
        found = select(Parcel.id).where(Parcel.submission.in_(lot), Parcel.state == "sent")
        return list(session.scalars(found.order_by(Parcel.id)))


def wake(office: Office, agreement: str) -> None:
    """Ask whoever listens to look at an agreement's work again, new or old."""
    with office.database.transaction() as session:
        session.execute(
            text("SELECT pg_notify(:channel, :name)"), {"channel": CHANNEL, "name": agreement + AGAIN}
        )


def take_on(office: Office, submission: str) -> None:
    """Let go what holds a submission back after a failure, on a steward's word."""
    _forget(office, submission)


def _open(session: Session) -> tuple[ColumnElement[bool], ...]:
    """Say what waits: not done, not at rest, not for later, not held, and in no living process's hands."""
    at_work = Submission.state.not_in(_DONE)
    later = Submission.not_before.is_not(None) & (Submission.not_before > func.clock_timestamp())
    leased = Submission.lease_holder.is_not(None) & (Submission.lease_until > func.clock_timestamp())
    holders = session.scalars(select(Submission.lease_holder).where(at_work, leased).distinct())
    living = [holder for holder in holders if holder is not None and not lease.is_gone(holder)]
    return at_work, ~later, Submission.held_by.is_(None), ~(leased & Submission.lease_holder.in_(living))


def _in_order(office: Office, lot: Sequence[str]) -> list[Submission]:
    """Read a lot in the order of past failures.

    A lease that was never given back, though its time is over or its process gone, is a death over this
    submission. It counts as a failure, once, or a file that kills its readers would stand in others' way.
    """
    with office.database.transaction() as session:
        at = now(session)
        rows = session.scalars(
            select(Submission).where(Submission.id.in_(lot)).order_by(Submission.id).with_for_update()
        ).all()
        for row in rows:
            if lease.is_abandoned(row, at):
                row.lease_holder, row.lease_until = None, None
                _put_off(row, at)
    return sorted(rows, key=lambda row: (row.failures, lot.index(row.id)))


def _note(office: Office, identity: str, error: HubError) -> None:
    if error.code.startswith("lease."):
        return  # another process works on it: that is no failure
    try:
        with office.database.transaction() as session:
            row = session.get_one(Submission, identity, with_for_update=True)
            _put_off(row, now(session))
            if not isinstance(error, Transient):
                row.held_by = error.code
    except HubError:  # the database itself is away: nothing can be noted, and everything is tried again
        return


def _put_off(row: Submission, at: datetime) -> None:
    """Count a failure and let a while go by, longer each time, until the submission is looked at again."""
    row.claimed_at = None
    row.not_before = at + timedelta(seconds=min(_FIRST_WAIT * 2 ** min(row.failures, 10), _LONGEST_WAIT))
    row.failures += 1


def _forget(office: Office, identity: str) -> None:
    with office.database.transaction() as session:
        row = session.get_one(Submission, identity, with_for_update=True)
        row.failures, row.not_before, row.held_by, row.claimed_at = 0, None, None, None


def _names(identities: Iterable[str]) -> str:
    most = 5
    names = list(identities)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
