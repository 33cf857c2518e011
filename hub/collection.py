"""Collection: a recipient fetches a parcel, decrypted for nobody else, and the log says so."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from hub import logbook, registry
from hub.case import now
from hub.database.models import Parcel, PayloadKey, Submission
from hub.errors import Refused
from hub.ledger.entry import Actor
from hub.ledger.entry import Parcel as ParcelDigest
from hub.office import Office
from hub.staging import SealedReader


@dataclass(frozen=True)
class Offered:
    """A parcel as its recipient sees it."""

    id: str
    name: str
    recipient: str
    agreement: str
    rows: int
    bytes: int
    sha256: str
    sent_at: datetime
    collected_at: datetime | None


def offered(office: Office, recipient: str | None = None, *, expired: bool = True) -> list[Offered]:
    """List the parcels that were sent, of one recipient or of all, newest first.

    One whose key was deleted at the end of its retention is left out unless ``expired`` ones are wanted.
    """
    query = (
        select(Parcel, Submission.agreement)
        .join(Submission, Submission.id == Parcel.submission)
        .where(Parcel.state == "sent")
        .order_by(Parcel.sent_at.desc())
    )
    if recipient is not None:
        query = query.where(Parcel.recipient == recipient)
    if not expired:
        query = query.join(PayloadKey, PayloadKey.submission == Parcel.submission)
    with office.database.transaction() as session:
        return [
            Offered(
                parcel.id,
                parcel.name,
                parcel.recipient,
                agreement,
                parcel.rows,
                parcel.bytes,
                parcel.sha256,
                parcel.sent_at,
                parcel.collected_at,
            )
            for parcel, agreement in session.execute(query)
            if parcel.sent_at is not None
        ]


def find(office: Office, parcel: str, recipient: str) -> Offered:
    """Give a recipient's parcel.

    Raises:
        Refused: ``parcel.unknown`` for a parcel that does not exist or is another recipient's.
    """
    for one in offered(office, recipient):
        if one.id == parcel:
            return one
    raise Refused("parcel.unknown", f"there is no parcel {parcel!r} for {recipient}", "see: hub parcel list")


def collect(office: Office, sealed: Path, parcel: Offered, target: Path) -> None:
    """Write a parcel in the clear to ``target`` for its authenticated recipient, and log the collection.

    Raises:
        Refused: ``parcel.target`` for a target that exists or lies under HUB_HOME, ``parcel.expired``.
    """
    if target.resolve().is_relative_to(office.settings.root.resolve()) or target.exists():
        raise Refused(
            "parcel.target",
            f"expected a new file outside of HUB_HOME, got {target}",
            "choose another folder with --out",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_content(office, sealed, parcel) as source, target.open("xb") as sink:
        target.chmod(0o600)
        while block := source.read(1 << 20):
            if not source.peek(1):
                note(office, parcel)
            sink.write(block)


def open_content(office: Office, sealed: Path, parcel: Offered) -> SealedReader:
    """Open a parcel's content, readable at any place; whoever hands out its end calls ``note`` before.

    Raises:
        Refused: ``parcel.expired`` when its key has been deleted.
    """
    with office.database.transaction() as session:
        submission = session.get_one(Parcel, parcel.id).submission
        wrapped = session.get(PayloadKey, submission)
    if wrapped is None:
        raise Refused("parcel.expired", f"{parcel.id} has expired", "ask the sender to send it again")
    return SealedReader(sealed, office.ring.unwrap(wrapped.wrapped, f"payload/{submission}"))


def note(office: Office, parcel: Offered, *, again: bool = True) -> None:
    """Log that the recipient collects a parcel; durable on return. Unless ``again``, only the first time.

    It is called before the last byte is handed out, not after: nobody ever holds a whole parcel of which the
    log does not say so. A recipient whose line breaks just then simply fetches the parcel once more.
    """
    with office.database.transaction() as session:
        row = session.get_one(Parcel, parcel.id, with_for_update=True)
        if row.collected_at is not None and not again:
            return
        submission = session.get_one(Submission, row.submission)
        at = now(session)
        agreement = registry.version(session, submission.agreement, submission.agreement_version)
        entry = logbook.entry(
            "collected",
            at,
            row.submission,
            agreement,
            parcel=ParcelDigest(name=row.name, sha256=row.sha256, bytes=row.bytes),
        ).model_copy(update={"actor": Actor(role="recipient", id=parcel.recipient)})
        logbook.append(session, office, [entry])
        row.collected_at = row.collected_at or at
