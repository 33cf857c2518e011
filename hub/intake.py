"""Intake: a file becomes a submission, sealed as it comes in; its sender gets the receipt ``received``."""

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from hub import logbook, registry, staging
from hub.case import Case, now
from hub.database.models import Partner, PayloadKey, StepResult, Submission
from hub.errors import Refused
from hub.office import Office
from hub.states import FINAL, RESTING, State
from schemas.agreement import Agreement

BLOCK = 1 << 20
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U to misread
ABANDONED = 24 * 3600  # seconds after which an arrival without a submission is nobody's
BERLIN = ZoneInfo("Europe/Berlin")


class Readable(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes:
        """Read up to ``size`` bytes, none at the end."""


@dataclass(frozen=True)
class Totals:
    """Control totals that a sender may give with a file, so that half a file is noticed."""

    sha256: str | None = None
    rows: int | None = None


def new_submission_id(at: datetime) -> str:
    """Make an id that people can read out: the day in Berlin and 50 random bits."""
    random = "".join(secrets.choice(ALPHABET) for _ in range(10))
    return f"S-{at.astimezone(BERLIN):%Y%m%d}-{random}"


def accept(
    office: Office,
    source: Readable,
    agreement_id: str,
    totals: Totals,
    name: str | None = None,
    identity: str | None = None,
) -> str:
    """Seal a file, record it as a submission and issue the receipt ``received``; returns its id.

    ``name`` is the sender's own name of the file; it may bear a person's name, so it is kept sealed.

    A file whose submission is still under way (a killed one, say) gives that submission again. ``identity``
    is the id that the submission shall have; accepted again under it, it is given again, whatever its state.

    Raises:
        Refused: ``file.agreement``, ``file.too_large``, ``partner.suspended``; nothing is kept then.
    """
    with office.database.transaction() as session:
        if identity is not None and session.get(Submission, identity) is not None:
            return identity
        agreement = registry.active(session, agreement_id)
        _check_sender(session, agreement)
        identity = identity or new_submission_id(now(session))
    key = os.urandom(32)
    staging.make_folder(office.inbox)
    temp = office.inbox / f"{identity}.part"
    final = office.inbox / f"{identity}.sealed"
    if temp.exists():  # a killed attempt under the same id
        staging.discard(temp)
    digest, size = hashlib.sha256(), 0
    with staging.create_sealed(temp, key) as sink:  # removes the file again if anything is raised in here
        while block := source.read(BLOCK):
            digest.update(block)
            size += len(block)
            if size > agreement.intake.max_bytes:
                raise _too_large(agreement)
            sink.write(block)
    staging.publish(temp, final)
    with office.database.transaction() as session:
        taken = _record(session, office, agreement, (identity, digest.hexdigest(), size), key, totals, name)
    if taken != identity:
        staging.discard(final)
    return taken


def _record(
    session: Session,
    office: Office,
    agreement: Agreement,
    file: tuple[str, str, int],
    key: bytes,
    totals: Totals,
    name: str | None,
) -> str:
    identity, sha256, size = file
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"{agreement.id}/{sha256}"}
    )
    open_one = select(Submission.id).where(
        Submission.agreement == agreement.id,
        Submission.sha256 == sha256,
        Submission.state.not_in([state.value for state in FINAL | RESTING]),
    )
    earlier = session.scalar(open_one.order_by(Submission.created_at.desc()).limit(1))
    if earlier is not None:
        return earlier
    at = now(session)
    seen = select(Submission.id).where(Submission.agreement == agreement.id, Submission.sha256 == sha256)
    row = Submission(
        id=identity,
        agreement=agreement.id,
        agreement_version=agreement.version,
        sender=agreement.sender.id,
        sha256=sha256,
        bytes=size,
        notices=["file.seen_before"] if session.scalar(seen.limit(1)) else [],
        created_at=at,
    )
    session.add(row)
    session.flush()
    session.add(PayloadKey(submission=identity, wrapped=office.ring.wrap(key, f"payload/{identity}")))
    sealed = staging.seal_text(key, name) if name else None
    facts = {"sha256": totals.sha256, "rows": totals.rows, "name": sealed}
    session.add(StepResult(submission=identity, step="intake", fence=0, parts=0, facts=facts, seconds=0))
    session.flush()
    details: dict[str, str | int] = {"sha256": sha256, "bytes": size}
    told = logbook.entry("submission", at, identity, agreement, details=details)
    logbook.append_with_receipt(session, office, row, told, kind="received", at=at, reasons={})
    return identity


def _check_sender(session: Session, agreement: Agreement) -> None:
    partner = session.get(Partner, agreement.sender.id)
    if partner is None or partner.status != "active":
        raise Refused(
            "partner.suspended",
            f"{agreement.sender.id} may not send at present",
            "speak with the data stewards",
        )


def _too_large(agreement: Agreement) -> Refused:
    most = agreement.intake.max_bytes
    return Refused(
        "file.too_large",
        f"expected at most {most} bytes, found more",
        "split the file, or ask for a larger limit",
    )


def prove_whole(case: Case) -> None:
    """Hold the sealed file against the digest taken on arrival and the sender's control totals.

    Raises:
        Refused: ``file.digest`` when the sender announced another digest.
    """
    announced = case.result("intake").facts.get("sha256")
    if announced is not None and str(announced).lower() != case.sha256:
        raise Refused(
            "file.digest",
            "expected the SHA-256 that was announced with the file, found another",
            "send the file again: it was changed or cut on its way",
        )


def check_row_total(case: Case, rows: int) -> None:
    """Hold the number of rows read against the total that the sender announced.

    Raises:
        Refused: ``file.row_total``.
    """
    announced = case.result("intake").facts.get("rows")
    if announced is not None and int(announced) != rows:
        raise Refused(
            "file.row_total",
            f"expected the announced {announced} rows, found {rows}",
            "send the whole list: a row limit may have cut it",
        )


def sweep(office: Office) -> None:
    """Remove what dead attempts left behind: abandoned arrivals, and files of submissions that are done."""
    arrivals = list(office.inbox.iterdir()) if office.inbox.is_dir() else []
    folders = list(office.staging.iterdir()) if office.staging.is_dir() else []
    names = {path.stem for path in (*arrivals, *folders)}
    if not names:
        return
    with office.database.transaction() as session:
        found = session.execute(select(Submission.id, Submission.state).where(Submission.id.in_(names)))
        states = {identity: State(state) for identity, state in found}
    for path in (*arrivals, *folders):
        state = states.get(path.stem)
        abandoned = state is None and time.time() - path.stat().st_mtime > ABANDONED
        if abandoned or state in FINAL:
            staging.discard(path)
