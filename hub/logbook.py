"""What the steps write into the transfer log, and the receipts that quote it."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub import consent, outage, receipts, reports, standing
from hub.case import now
from hub.database.models import ReasonCount, Receipt, Submission
from hub.database.session import afterwards
from hub.errors import Transient
from hub.keys import KeyRing
from hub.ledger import store
from hub.ledger.entry import Actor, Entry, Kind, ReceiptDigest
from hub.ledger.store import Following, Recorded
from hub.office import Office
from hub.states import Fate
from schemas.agreement import Agreement, Statute

HUB = Actor(role="hub", id="exchange")


def basis_text(agreement: Agreement) -> str:
    """Name the one legal basis of an agreement in one line."""
    basis = agreement.legal_basis
    if isinstance(basis, Statute):
        return "statute: " + ", ".join(basis.paragraphs)
    return "consent: " + ", ".join(basis.templates)


def entry(kind: Kind, at: datetime, submission: str, agreement: Agreement, **more: Any) -> Entry:
    """Write an entry about a submission, with everything of its agreement that an auditor asks for."""
    return Entry(
        kind=kind,
        time=at,
        actor=HUB,
        submission=submission,
        agreement=agreement.id,
        agreement_version=agreement.version,
        agreement_digest=agreement.digest,
        sender=agreement.sender.id,
        recipient=agreement.recipient.id,
        purpose=agreement.purpose,
        legal_basis=basis_text(agreement),
        **more,
    )


def decision(session: Session, row: Submission, agreement: Agreement, *, clearance: str) -> Entry:
    """Write the entry about what was decided on a submission's rows, and why; ``clearance`` is its digest.

    It is appended along with the intent that rests on it, so there are as many as there are decisions.
    """
    summed = select(ReasonCount.code, func.sum(ReasonCount.rows)).where(ReasonCount.submission == row.id)
    reasons = {code: int(rows) for code, rows in session.execute(summed.group_by(ReasonCount.code))}
    return entry(
        "decision",
        now(session),
        row.id,
        agreement,
        counts=counts(row),
        reasons=reasons or None,
        consent_policy_digest=consent.policy_digest(agreement),
        details={"clearance": clearance},
    )


def append(session: Session, office: Office, entries: list[Entry]) -> list[Recorded]:
    """Append to the transfer log within the caller's transaction."""
    return _append(session, office, entries)


def _append(
    session: Session, office: Office, entries: Sequence[Entry], following: Following | None = None
) -> list[Recorded]:
    """Append, if the hub stands and traffic does; the journal follows once all of it is committed."""
    if not entries:
        return []
    outage.require_traffic(office.settings)
    signer, origin = office.ring.log_signer(), office.settings.origin
    try:
        floor = standing.floor(session, office)
        told = store.append(session, signer, origin, entries, following=following, floor=floor)
    except Transient as error:
        outage.failed(office.settings, error)
        raise
    size = told[-1].index + (1 if following is None else 2)
    afterwards(session, "log", lambda: _committed(office, size))
    return told


def probe(office: Office) -> bool:
    """Find out whether the log and its journal can be written, without leaving anything in them.

    What fails is noted as an outage is, with its alarm in time; what is over is told in the log.
    """
    try:
        with suppress(_Undone), office.database.transaction() as session:
            told = Entry(kind="alarm", time=now(session), actor=HUB, reason="probe")
            signer, origin = office.ring.log_signer(), office.settings.origin
            store.append(session, signer, origin, [told], floor=standing.floor(session, office))
            raise _Undone
        if office.journal.exists():
            office.journal.probe()
        if outage.current(office.settings) is not None:
            _committed(office, 0)
    except Transient as error:
        outage.failed(office.settings, error)
        return False
    return True


class _Undone(Exception):  # noqa: N818 -- a way out of a transaction, not an error
    """Takes back what was written to see whether it can be written."""


def _committed(office: Office, size: int) -> None:
    """Have the journal follow what was written, and tell in the log of an outage that is over with it."""
    try:
        standing.keep_up(office, size)
    except Transient as error:
        outage.failed(office.settings, error)
        raise
    if (over := outage.ended(office.settings)) is not None:
        with office.database.transaction() as session:
            append(session, office, [_told(session, over)])


def _told(session: Session, over: outage.Outage) -> Entry:
    details: dict[str, str | int] = {
        "since": datetime.fromtimestamp(over.since, UTC).isoformat(timespec="seconds"),
        "seconds": int(over.last - over.since),
        "failures": over.failures,
        "code": over.code,
    }
    return Entry(kind="alarm", time=now(session), actor=HUB, reason="log.stopped", details=details)


def counts(row: Submission) -> dict[str, int]:
    """Give a submission's row counts by fate, with the rows received."""
    return {
        "received": row.received or 0,
        **{fate.value: getattr(row, fate.value) or 0 for fate in Fate},
    }


def append_with_receipt(
    session: Session,
    office: Office,
    row: Submission,
    entry: Entry,
    *,
    kind: receipts.Kind,
    at: datetime,
    reasons: Mapping[str, int],
) -> Recorded:
    """Append an entry and, in the same write, the digest of a receipt that quotes it; the sender gets that.

    Returns where the entry stands.
    """
    issued: list[Receipt] = []

    def following(told: Sequence[Recorded], checkpoint: str) -> Entry:
        (place,) = told
        token = receipts.issue(
            office.ring.receipt_signer(),
            key_name(office.ring),
            kind=kind,
            issuer=office.settings.origin.partition("/")[0],
            audience=row.sender,
            submission=row.id,
            agreement_id=row.agreement,
            agreement_version=row.agreement_version,
            sha256=row.sha256,
            counts=counts(row),
            reasons=reports.coarse(reasons),
            log=receipts.Place(index=place.index, leaf_hash=place.leaf_hash.hex(), checkpoint=checkpoint),
            issued_at=at,
            jti=f"{row.id}/{kind}",
        )
        issued.append(Receipt(submission=row.id, kind=kind, token=token, log_index=place.index, issued_at=at))
        return Entry(
            kind="receipt",
            time=at,
            actor=HUB,
            submission=row.id,
            agreement=row.agreement,
            sender=row.sender,
            receipt=ReceiptDigest(kind=kind, sha256=hashlib.sha256(token.encode()).hexdigest()),
        )

    (told,) = _append(session, office, [entry], following)
    session.add_all(issued)
    session.flush()
    return told


def key_name(ring: KeyRing) -> str:
    """Name the receipt key by the first bytes of its digest, as receipts carry it in ``kid``."""
    return "receipt-" + hashlib.sha256(ring.receipt_public().public_bytes_raw()).hexdigest()[:16]
