"""Standing: whether the database is still the one that the hub has been working with.

Whoever puts an old backup back brings a log that lacks its newest entries: what was sent since would be sent
again, what was withdrawn would count again. So the log is held against the journal, and against the
checkpoint that was last laid out for the public: when a hub is opened, before each entry, before each
sending. Nothing is stored about being closed: a hub is closed as long as its log lacks what is known of it.

The order of writing makes every loss visible. Entries of the log go into the journal after their commit and
before the caller goes on: a log that is ahead of its journal was cut off in between and is caught up with, a
log that is behind has lost something. Withdrawals, and parcels about to leave, go into it before their
commit: one too many does no harm, one too few would.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from hub import disk, pictures
from hub.database.models import JournalBegun, LedgerCheckpoint
from hub.database.session import afterwards, raw
from hub.errors import Corrupt, HubError, Transient
from hub.ledger.checkpoint import open_checkpoint
from hub.ledger.journal import Journal, Pen, away
from hub.ledger.turn import Floor, closed
from hub.office import Office

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """How the database stands to what is known of it: sizes of the log there and here, and what is wrong."""

    size: int
    known: int
    flaw: HubError | None

    @property
    def open(self) -> bool:
        """Tell whether anything may be written and sent."""
        return self.flaw is None


def look(office: Office) -> Standing:
    """Look how the database stands, and bring a journal that a killed process left behind up to date.

    Raises:
        Transient: the database does not answer; ``disk.full``, ``disk.write``.
        Corrupt: ``journal.damaged``.
    """
    with office.database.transaction() as session:
        try:
            known = floor(session, office)
        except Transient as flaw:
            return Standing(_size(session), 0, flaw)
        found = _size(session)
        if known is None:
            return Standing(found, 0, None)
        at = select(LedgerCheckpoint.root).where(LedgerCheckpoint.size == known.size)
        if known.size and session.scalar(at) != known.root:
            return Standing(found, known.size, closed(found, known.size))
    keep_up(office, found)
    return Standing(found, known.size, None)


def say_so(office: Office) -> None:
    """Tell whoever runs a command, and the log files of services, that the hub is closed, if it is."""
    try:
        flaw = look(office).flaw
    except HubError as error:
        flaw = error
    if flaw is not None:
        _log.warning("%s: %s -> %s", flaw.code, flaw.message, flaw.remedy)


def floor(session: Session, office: Office) -> Floor | None:
    """Give what the log is known to have been; None for a hub whose journal has not been begun.

    It is asked before the log's lock is waited for: what others write meanwhile only makes the log longer.

    Raises:
        Transient: ``journal.away`` when the journal that belongs to this database is not there.
    """
    if not office.journal.exists():
        if session.scalar(select(exists().select_from(JournalBegun))):
            raise away(office.journal.folder)
        return None
    known = office.journal.tip().floor
    shown = _laid_out(office)
    return shown if shown is not None and shown.size > known.size else known


def follow(session: Session, office: Office, size: int) -> None:
    """Have the journal follow the log to this size as soon as the transaction is committed."""
    afterwards(session, "journal", lambda: keep_up(office, size))


def keep_up(office: Office, size: int) -> None:
    """Bring the journal up to what is committed, at least to this size of the log.

    Of several writers the one whose turn it is writes for all of them.

    Raises:
        Transient: ``disk.full``, ``disk.write``, and where the database does not answer.
    """
    if not office.journal.exists() or office.journal.tip().size >= size:
        return
    with office.journal.held() as pen:
        while pen.tip.size < size:
            with office.database.transaction() as session:
                news = pictures.news(raw(session), pen.tip.size)
            if news is None:
                return
            pen.write("log", news[0], floor=news[1])


def begin(office: Office) -> None:
    """Begin the journal of a hub that has none, with the whole log as it is; again it changes nothing.

    Raises:
        Transient: ``hub.closed`` when a journal of this hub knows more than the database.
    """
    with office.database.transaction() as session:
        if session.scalar(select(exists().select_from(JournalBegun))):
            return
    office.journal.begin()
    if (flaw := look(office).flaw) is not None:
        raise flaw
    remember_all(office)
    with office.database.transaction() as session:
        tip = office.journal.tip()
        name = f"{office.journal.folder.name}-{tip.number}"
        session.add(JournalBegun(id=name, log_size=tip.size))


def remember_all(office: Office) -> None:
    """Tell a new journal of all withdrawals, and of all that was sent, lest it be sent twice."""
    folder = office.journal.folder / "delivered"
    disk.make_folder(folder)
    for sealed in sorted(office.delivered.glob("*.sealed")):
        disk.keep_copy(sealed, folder / sealed.name)
    with office.database.transaction() as session:
        connection = raw(session)
        with office.journal.held() as pen:
            _remember(pen, "withdrawn", pictures.withdrawals(connection, -1))
            _remember(pen, "sent", pictures.of(connection, pictures.all_sent(connection)))


def renew(office: Office) -> None:
    """Write the journal anew from what the database still has, after bodies or row MACs were deleted there.

    Until the new one stands whole under its name the old one counts. No backup from before can be put back
    with it beyond what was deleted on purpose.

    Raises:
        Transient: ``hub.closed``, ``journal.away``, ``disk.full``, ``disk.write``.
    """
    if not office.journal.exists():
        return
    if (flaw := look(office).flaw) is not None:
        raise flaw
    fresh = Journal(office.journal.folder, office.ring, f"{office.journal.path.name}.new")
    with office.journal.held() as old:
        disk.discard(fresh.path)
        fresh.begin()
        with office.database.transaction() as session, fresh.held() as pen:
            connection = raw(session)
            while pen.tip.size < old.tip.size and (news := pictures.news(connection, pen.tip.size)):
                pen.write("log", news[0], floor=news[1])
            _remember(pen, "withdrawn", pictures.withdrawals(connection, -1))
            _remember(pen, "sent", pictures.of(connection, pictures.all_sent(connection)))
        disk.publish(fresh.path, office.journal.path)
    for kept in (office.journal.folder / "delivered").glob("*.sealed"):
        if not (office.delivered / kept.name).exists():
            disk.discard(kept)


def before_sending(session: Session, office: Office, submission: str, sealed: Path, wrapped: bytes) -> None:
    """Let a parcel leave only if the database stands, and make the sending unforgettable first.

    Args:
        session: the transaction of sending; the parcel is still ``intended`` in it.
        office: the hub.
        submission: whose parcel it is.
        sealed: the sealed file of its delivered rows, which the journal keeps as well.
        wrapped: the wrapped key of that file.

    Raises:
        Transient: ``hub.closed``, ``journal.away``, ``disk.full``, ``disk.write``; nothing has left.
    """
    known = floor(session, office)
    if known is None:
        return
    size = _size(session)
    at = select(LedgerCheckpoint.root).where(LedgerCheckpoint.size == known.size)
    if known.size and session.scalar(at) != known.root:
        raise closed(size, known.size)
    keep_up(office, size)
    folder = office.journal.folder / "delivered"
    disk.make_folder(folder)
    disk.keep_copy(sealed, folder / sealed.name)
    with office.journal.held() as pen:
        (image,) = pictures.of(raw(session), [submission])
        (parcel,) = [one for one in image["parcels"] if one["state"] == "intended"]
        rows = {"parcel": parcel["id"], "agreement": image["submission"]["agreement"]}
        rows |= {"rows": parcel["rows"], "wrapped_key": wrapped.hex()}
        pen.write("sending", image | {"delivered": [rows], "at": datetime.now(UTC).isoformat()})


def remember_withdrawals(session: Session, office: Office, since: int) -> None:
    """Make the withdrawals of this transaction unforgettable, before it is committed.

    ``since`` is the change number after which they came (`hub.consent.watermark`).

    Raises:
        Transient: ``journal.away``, ``disk.full``, ``disk.write``; the withdrawal is not made then.
    """
    if floor(session, office) is None:
        return
    with office.journal.held() as pen:
        _remember(pen, "withdrawn", pictures.withdrawals(raw(session), since))


def _remember(pen: Pen, kind: str, lines: Iterable[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for line in lines:
        batch.append(line)
        if len(batch) == pictures.AT_ONCE:
            pen.write(kind, {kind: batch})
            batch = []
    if batch:
        pen.write(kind, {kind: batch})


def _size(session: Session) -> int:
    newest = select(LedgerCheckpoint.size).order_by(LedgerCheckpoint.size.desc()).limit(1)
    return session.scalar(newest) or 0


def _laid_out(office: Office) -> Floor | None:
    """Read the newest checkpoint that was laid out for the public, perhaps with witnesses' signatures."""
    settings, key = office.settings, office.ring.log_public().public_bytes_raw()
    found: list[Floor] = []
    for file in (settings.public / "checkpoint", settings.public_log / "checkpoint"):
        with suppress(OSError):
            told = file.stat()
            shown = _opened(file, (told.st_ino, told.st_mtime_ns, told.st_size), settings.origin, key)
            found += [shown] if shown is not None else []
    return max(found, key=lambda one: one.size, default=None)


@lru_cache(maxsize=16)
def _opened(file: Path, _mark: tuple[int, int, int], origin: str, key: bytes) -> Floor | None:
    """Open a checkpoint once for as long as its file stays; one that this log did not sign says nothing."""
    try:
        note = file.read_text(encoding="utf-8")
        checkpoint = open_checkpoint(note, origin, Ed25519PublicKey.from_public_bytes(key))
    except (OSError, UnicodeDecodeError, Corrupt):
        return None
    return Floor(checkpoint.size, checkpoint.root)
