"""A step's lease on a submission, with a fence.

Every taker raises the submission's fence by one and names it in each of its commits; a slow orphan that
wakes up beside its retry finds a higher fence and can write nothing more. A lease ends by time, or at once
when its holder was a process of this very machine that is gone.
"""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from hub.database.models import Submission
from hub.errors import Refused, Transient

_EXTEND = text(
    """
    UPDATE hub.submission SET lease_until = clock_timestamp() + make_interval(secs => :s) WHERE id = :id
    """
)


@dataclass(frozen=True)
class Lease:
    """The right to work on one submission until the fence is raised, or it is given back."""

    submission: str
    fence: int


def give_back(row: Submission) -> None:
    """Give the lease back with the very change that it was taken for; the caller has locked the row."""
    row.lease_holder, row.lease_until = None, None


@cache
def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def _started(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def holder() -> str:
    """Name this process: machine boot, process-id space, process id and start."""
    return f"{_place()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(name: str) -> bool:
    """Tell whether a holder was a process of this machine that no longer lives."""
    place, pid, started = name.rsplit("/", 2)
    return place == _place() and _started(int(pid)) != started


def is_abandoned(row: Submission, now: datetime) -> bool:
    """Tell whether a lease was never given back: its time is over, or its holder gone."""
    if row.lease_holder is None or row.lease_until is None:
        return False
    return row.lease_until <= now or is_gone(row.lease_holder)


def claim(session: Session, submission: str, seconds: float) -> Lease:
    """Take the lease on a submission, raising its fence; raises as `claim_row` does."""
    return claim_row(session, submission, seconds)[0]


def claim_row(session: Session, submission: str, seconds: float) -> tuple[Lease, Submission]:
    """Take the lease on a submission, raising its fence, and give the submission as well.

    Raises:
        Refused: ``submission.unknown``.
        Transient: ``lease.held`` while another process works on it.
    """
    asked = select(Submission, func.clock_timestamp()).where(Submission.id == submission)
    found = session.execute(asked.with_for_update(of=Submission)).one_or_none()
    if found is None:
        raise Refused(
            "submission.unknown", f"no submission is named {submission!r}", "see: hub submission list"
        )
    row, now = found
    if row.lease_holder is not None and row.lease_until is not None and not is_abandoned(row, now):
        raise Transient(
            "lease.held",
            f"another process works on {submission} until {row.lease_until:%H:%M:%S} UTC at most",
            "wait for it, or try again later",
        )
    row.fence += 1
    row.lease_holder = holder()
    row.lease_until = now + timedelta(seconds=seconds)
    session.flush()
    return Lease(submission, row.fence), row


def hold(session: Session, lease: Lease) -> Submission:
    """Lock the submission for this transaction and make sure that the lease is still ours.

    Raises:
        Transient: ``lease.lost`` when another process has taken over.
    """
    row = session.scalar(select(Submission).where(Submission.id == lease.submission).with_for_update())
    if row is None or row.fence != lease.fence:
        raise Transient(
            "lease.lost",
            f"another process has taken over {lease.submission}",
            "nothing to do: the other one goes on",
        )
    return row


def renew(session: Session, lease: Lease, seconds: float) -> None:
    """Say that the holder still works; long steps do so after every part."""
    hold(session, lease)
    session.execute(
        _EXTEND,
        {"s": seconds, "id": lease.submission},
    )


def release(session: Session, lease: Lease) -> None:
    """Give the lease back, if it is still ours."""
    session.execute(
        update(Submission)
        .where(Submission.id == lease.submission, Submission.fence == lease.fence)
        .values(lease_holder=None, lease_until=None)
    )
