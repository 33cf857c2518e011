"""Delivery: gate, intent, a last look at consents, the sending; each durable before the next.

The moment of sending is one transaction. It holds back every change of consents, looks once more for
withdrawals and for other deliveries of the same agreement, brings the parcel to its recipient and notes that
it did; killed in between, the same parcel is sent again under the same name, which its route takes as done.
"""

import hashlib
from collections.abc import Iterator
from io import RawIOBase
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import polars as pl
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub import (
    authorisation,
    consent,
    delivered,
    dual_control,
    egress,
    lease,
    logbook,
    registry,
    salts,
    settlement,
    staging,
    standing,
)
from hub.case import Case, Result, Step, now
from hub.database.models import Clearance, DeliveredRows, Parcel
from hub.database.session import raw
from hub.errors import Corrupt
from hub.ledger import commitment
from hub.ledger.entry import Parcel as ParcelDigest
from hub.states import Fate, State

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Measured(RawIOBase):
    """A sink that takes the digest and size of what passes through it."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.bytes = 0

    def writable(self) -> bool:
        """Say that this can be written to."""
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Pass bytes on and measure them."""
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self.bytes += view.nbytes
        self._sink.write(view)
        return view.nbytes

    @property
    def sha256(self) -> str:
        """The digest in hex of everything written so far."""
        return self._hash.hexdigest()


def parcel_name(case: Case, attempt: int) -> str:
    """Name a parcel as its recipient sees it; nothing in it comes from the sender's file."""
    return f"{case.agreement.id}_{case.submission}_{attempt}.{case.office.formats.suffix(case.agreement)}"


def pass_people(case: Case) -> bool:
    """Let nothing be intended that people hold back; asked again in the moment of sending.

    Where the agreement is no longer in force the submission is quarantined, for people to decide: False.

    Raises:
        Corrupt: ``review.missing``.
    """
    with case.office.database.transaction() as session:
        if not registry.still_active(session, case.agreement):
            settlement.quarantine(session, case, lease.hold(session, case.lease), ["agreement.inactive"])
            return False
        dual_control.require(session, case)
        return True


def pass_gate(case: Case, made: Result, decided: Result) -> commitment.Rows:
    """Hold the finished bytes against the egress gate, and its reading against what protect wrote down.

    Returns the rows to commit to: those that the gate read, under a seed of their own.

    Raises:
        Corrupt: ``egress.*``; the parcel must not leave.
    """
    hidden, rows = case.agreement.identity == "pseudonym", commitment.Rows()
    with case.office.database.transaction() as session:
        name = parcel_name(case, _attempt(session, case.submission))
    with staging.open_sealed(made.folder / "parcel", case.key) as source:
        seen = egress.inspect(
            source,
            name=name,
            agreement=case.agreement,
            ring=case.office.ring,
            cleared=_cleared(case, decided) if hidden else None,
            rows=made.facts["rows"],
            withheld=_identifiers(case) if hidden else (),
            known=(case.submission,),
            witness=rows.add,
        )
    if seen.sha256 != made.facts["sha256"]:
        raise Corrupt(
            "egress.format", "expected the bytes that protect wrote, found others", "protect it anew"
        )
    return rows


def _cleared(case: Case, decided: Result) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    parts = [
        authorisation.person_ids(frame.filter(pl.col("fate") == Fate.DELIVERED.value))
        for frame in case.parts(decided, "decisions")
    ]
    return np.concatenate(parts) if parts else np.empty((0, 16), dtype=np.uint8)


def _identifiers(case: Case) -> Iterator[pl.DataFrame]:
    names = [field.name for field in case.agreement.identifiers]
    for step in ("receive", "validate"):
        yield from case.parts(case.result(step), "rows", columns=names)


def intend(case: Case, made: Result, rows: commitment.Rows) -> str:
    """Write the intent to the transfer log and wait until it is durable; returns the parcel's id.

    It commits to the rows, whose seed becomes durable along with it. A parcel that an earlier attempt
    intended and did not send is taken up again, with its seed: one intent per parcel.
    """
    with case.office.database.transaction() as session:
        row = lease.hold(session, case.lease)
        live = select(Parcel).where(Parcel.submission == row.id, Parcel.state != "stopped")
        parcel = session.scalar(live)
        if parcel is not None:
            return parcel.id
        attempt = _attempt(session, row.id)
        name = parcel_name(case, attempt)
        digest = ParcelDigest(name=name, sha256=made.facts["sha256"], bytes=made.facts["bytes"])
        intent = logbook.entry(
            "intent",
            now(session),
            row.id,
            case.agreement,
            counts=logbook.counts(row),
            columns=tuple(field.released_as or field.name for field in case.agreement.released),
            parcel=digest,
            attempt=attempt,
            key_versions={"pseudonym": 1} if case.agreement.identity == "pseudonym" else None,
            commitment=rows.commitment(),
            consent_policy_digest=consent.policy_digest(case.agreement),
        )
        decision = logbook.decision(session, row, case.agreement, clearance=made.facts["clearance"])
        _, told = logbook.append(session, case.office, [decision, intent])
        identity = f"P-{row.id}-{attempt}"
        session.add(
            Parcel(
                id=identity,
                submission=row.id,
                recipient=case.agreement.recipient.id,
                attempt=attempt,
                name=name,
                sha256=digest.sha256,
                bytes=digest.bytes,
                rows=made.facts["rows"],
                intent_index=told.index,
            )
        )
        session.flush()
        salts.keep(session, case.office, identity, rows.seed)
        return identity


def _attempt(session: Session, submission: str) -> int:
    """Number the parcel to be sent: one more than were stopped."""
    stopped = select(func.count()).where(Parcel.submission == submission, Parcel.state == "stopped")
    return session.scalars(stopped).one() + 1


def send(case: Case, step: Step, parcel_id: str, made: Result, decided: Result) -> None:
    """Send an intended parcel, or stop it and have the rows decided anew if a consent ended meanwhile."""
    macs = _delivered_macs(case, decided)
    wrapped = delivered.write(case.office, parcel_id, macs)
    with case.office.database.transaction() as session:
        consent.forbid_changes(raw(session))
        delivered.lock(raw(session), case.agreement.id)
        row = step.finish(session, {"parcel": parcel_id})
        parcel = session.get_one(Parcel, parcel_id)
        if parcel.sha256 != made.facts["sha256"] or _outdated(session, case, decided):
            settlement.stop_parcels(session, case, row)
            row.state = State.VALIDATED.value
            return
        dual_control.require(session, case)
        sealed = delivered.file_of(case.office, parcel_id, wrapped)
        standing.before_sending(session, case.office, row.id, sealed, wrapped)
        case.office.route.send(parcel.recipient, parcel.name, made.folder / "parcel")
        parcel.state = "sent"
        parcel.sent_at = now(session)
        session.add(
            DeliveredRows(parcel=parcel.id, agreement=case.agreement.id, rows=len(macs), wrapped_key=wrapped)
        )
        row.state = State.DELIVERED.value


def send_nothing(case: Case, step: Step, made: Result) -> None:
    """Note that no row was left to deliver: nothing is intended, nothing is sent, and the log says why."""
    with case.office.database.transaction() as session:
        row = step.finish(session, {"parcel": None})
        dual_control.require(session, case)
        decision = logbook.decision(session, row, case.agreement, clearance=made.facts["clearance"])
        logbook.append(session, case.office, [decision])
        row.state = State.DELIVERED.value


def _delivered_macs(case: Case, decided: Result) -> delivered.Macs:
    parts = [
        macs.filter(decisions["fate"] == Fate.DELIVERED.value).to_numpy(order="c").view(np.uint8)
        for decisions, macs in zip(case.parts(decided, "decisions"), case.parts(decided, "macs"), strict=True)
    ]
    return np.concatenate(parts).reshape(-1, 32)


def _outdated(session: Session, case: Case, decided: Result) -> bool:
    """Tell whether the ground of the decision has gone.

    A consent of a cleared person changed or ran out, another delivery of the agreement bore on these rows, or
    the agreement itself is no longer in force.
    """
    if not registry.still_active(session, case.agreement):
        return True
    since = decided.facts["register"]
    if delivered.position(session, case.agreement.id) != since and any(
        delivered.overtaken(case.office, session, case.agreement, since, macs)
        for macs in case.parts(decided, "macs")
    ):
        return True
    clearance = session.scalars(
        select(Clearance)
        .where(Clearance.submission == case.submission)
        .order_by(Clearance.fence.desc())
        .limit(1)
    ).one()
    changed = consent.changed_since(raw(session), case.agreement, clearance.watermark, clearance.decided_at)
    if not len(changed):
        return False
    cleared = {bytes(person) for person in _cleared(case, decided)}
    return any(bytes(person) in cleared for person in changed)
