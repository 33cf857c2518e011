"""The transfer log in PostgreSQL: appending under one lock, reading, proving.

The application's role may only select and insert here. An append writes entries, the perfect subtrees that
they complete, and one signed checkpoint in the caller's transaction: all of it becomes durable with the
caller's commit, or none of it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Connection
from sqlalchemy import select, tuple_
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from hub.database.models import LedgerCheckpoint, LedgerEntry, LedgerNode
from hub.database.session import raw
from hub.errors import Corrupt, Refused, Transient
from hub.ledger import tree
from hub.ledger.checkpoint import sign_checkpoint
from hub.ledger.entry import Entry
from hub.ledger.proof import Proof
from hub.ledger.turn import LOCK, VERIFY, Floor, Page, checkpoint_of, grow, take_turn, write

__all__ = [
    "LOCK",
    "Floor",
    "Following",
    "Recorded",
    "Stored",
    "append",
    "entries",
    "latest_checkpoint",
    "nodes",
    "prove",
    "prove_consistency",
]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where an entry stands in the log once the caller commits, and its leaf hash."""

    index: int
    leaf_hash: bytes


Following = Callable[[Sequence[Recorded], str], Entry]
"""Makes one more entry from where others will stand, and from a checkpoint that covers them."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as it lies in the log; ``body`` is None once it has been erased (its leaf hash stays)."""

    index: int
    body: bytes | None
    leaf_hash: bytes
    recorded_at: datetime


def append(
    session: Session,
    signer: Ed25519PrivateKey,
    origin: str,
    entries: Sequence[Entry],
    *,
    following: Following | None = None,
    floor: Floor | None = None,
) -> list[Recorded]:
    """Append entries in the caller's transaction, without gaps, and sign a checkpoint over the new size.

    Writers queue on an advisory lock until the transaction ends, so append late and commit soon. The
    transaction must be READ COMMITTED: an older snapshot would not see what the writer before has committed.
    Appending the same event twice is for the caller to prevent. Where the database's clock is behind the
    entry before, an alarm entry that says so comes first; it is not among the returned ones.

    Args:
        session: in whose transaction it is done.
        signer: the log's key.
        origin: the log's name.
        entries: what has happened, in order.
        following: makes one more entry out of where these stand and a checkpoint that covers them (a receipt
            quotes both); it is written with them.
        floor: size and root that the log is known to have had.

    Raises:
        Corrupt: the stored log does not fit its newest checkpoint; nothing is written or signed on top of it.
        Transient: the database is away or full, the transaction's snapshot is too old, or the log is not
            the one that ``floor`` tells of (``hub.closed``).
    """
    if not entries:
        return []
    session.flush()  # what the caller has pending fails under its own name, not under the log's
    pages = [Page.of(entry) for entry in entries]
    with _speaking(session) as connection:
        tip = take_turn(connection, floor)
        if (alarm := tip.alarm()) is not None:
            pages.insert(0, Page.of(alarm))
        hashes = dict(tip.nodes)
        layers = grow(tip.size, pages, hashes)
        checkpoint = checkpoint_of(origin, tip.size + len(pages), hashes)
        told = [Recorded(index, page.leaf) for index, page in enumerate(pages, tip.size)][-len(entries) :]
        if following is not None:
            pages.append(Page.of(following(told, sign_checkpoint(checkpoint, signer))))
            layers += grow(checkpoint.size, pages[-1:], hashes)
            checkpoint = checkpoint_of(origin, checkpoint.size + 1, hashes)
        write(connection, tip.size, pages, layers, [(checkpoint, sign_checkpoint(checkpoint, signer))])
    return told


def latest_checkpoint(session: Session) -> str:
    """Return the newest checkpoint as a signed note. Raises `Refused` while nothing has been logged yet."""
    note = session.scalar(select(LedgerCheckpoint.note).order_by(LedgerCheckpoint.size.desc()).limit(1))
    if note is None:
        message = "expected at least one entry in the transfer log, found none"
        raise Refused(code="ledger.empty", message=message, remedy="Submit a file first.")
    return note


def entries(session: Session, first: int, last: int) -> Iterator[Stored]:
    """Stream the entries from ``first`` to ``last``, both included, in the order of the log."""
    table = LedgerEntry
    chosen = select(table.index, table.body, table.leaf_hash, table.recorded_at)
    ordered = chosen.where(table.index.between(first, last)).order_by(table.index)
    for row in session.execute(ordered.execution_options(yield_per=1000)):
        yield Stored(*row)


def nodes(session: Session) -> tree.Nodes:
    """Look up complete nodes of the stored tree, one query each: for proofs, which need a handful."""

    def node(level: int, index: int) -> bytes:
        return _load(session, [(level, index)])[level, index]

    return node


def prove(session: Session, index: int) -> Proof:
    """Prove that entry ``index`` is in the log, by its newest checkpoint. Raises `Refused` when it is not."""
    newest = (
        select(LedgerCheckpoint.size, LedgerCheckpoint.note).order_by(LedgerCheckpoint.size.desc()).limit(1)
    )
    found = session.execute(newest).one_or_none()
    if found is None or not 0 <= index < found.size:
        message = f"expected an index below {found.size if found else 0}, got {index}"
        raise Refused(code="ledger.index", message=message, remedy="Ask for an entry that the log holds.")
    return Proof(index, tuple(tree.inclusion_proof(index, found.size, nodes(session))), found.note)


def prove_consistency(session: Session, old: int, new: int) -> list[bytes]:
    """Prove that the log of size ``old`` is the beginning of the log of size ``new``."""
    return tree.consistency_proof(old, new, nodes(session))


@contextmanager
def _speaking(session: Session) -> Iterator[Connection]:
    """Speak to the database directly; its errors quote statements, so none of them goes on."""
    try:
        held = session.connection()
        connection = raw(session)
    except DBAPIError as error:
        raise _away(error) from None
    try:
        yield connection
    except psycopg.IntegrityError:
        raise _behind() from None
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if connection.closed:
            held.invalidate()  # or the session would fail once more, at its rollback
        raise _away(error) from None


def _load(session: Session, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    leaves = [index for level, index in places if level == 0]
    inner = [place for place in places if place[0] > 0]
    found: dict[tuple[int, int], bytes] = {}
    if leaves:
        rows = session.execute(
            select(LedgerEntry.index, LedgerEntry.leaf_hash).where(LedgerEntry.index.in_(leaves))
        )
        found |= {(0, index): leaf for index, leaf in rows}
    if inner:
        wanted = tuple_(LedgerNode.level, LedgerNode.index).in_(inner)
        stored = session.execute(select(LedgerNode.level, LedgerNode.index, LedgerNode.hash).where(wanted))
        found |= {(level, index): node for level, index, node in stored}
    missing = sorted(set(places) - found.keys())
    if missing:
        message = f"the stored tree lacks node {missing[0][1]} of level {missing[0][0]}"
        raise Corrupt(code="ledger.node", message=message, remedy=VERIFY)
    return found


def _behind() -> Transient:
    message = "another writer has extended the log since this transaction took its snapshot"
    return Transient(
        code="ledger.snapshot", message=message, remedy="Repeat the transaction, READ COMMITTED."
    )


def _away(error: psycopg.Error | DBAPIError) -> Transient:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.errors.DiskFull):
        return Transient(
            code="ledger.full",
            message="the transfer log could not be written: the database has no disk space left",
            remedy="Free some space; nothing is lost, and nothing is sent meanwhile.",
        )
    message = f"the transfer log could not be written ({type(cause).__name__})"
    return Transient(
        code="ledger.unavailable", message=message, remedy="Repeat once the database answers again."
    )
