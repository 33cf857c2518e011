"""The transfer log in PostgreSQL: appending under one lock, reading, proving.

The application's role may only select and insert here. An append writes entries, the perfect subtrees that
they complete, and one signed checkpoint in the caller's transaction: all of it becomes durable with the
caller's commit, or none of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, insert, select, tuple_
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from hub.database.models import LedgerCheckpoint, LedgerEntry, LedgerNode
from hub.errors import Corrupt, Refused, Transient
from hub.ledger import tree
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint
from hub.ledger.entry import Entry, canonical
from hub.ledger.proof import Proof

LOCK = 0x7472616E73666572  # "transfer": the advisory lock that every writer of the log holds until it commits
_VERIFY = "Stop sending, run `hub log verify`, and keep the database as it is for the auditor."


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where an entry stands in the log once the caller commits, and its leaf hash."""

    index: int
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as it lies in the log."""

    index: int
    body: bytes
    leaf_hash: bytes
    recorded_at: datetime


def append(
    session: Session, signer: Ed25519PrivateKey, origin: str, entries: Sequence[Entry]
) -> list[Recorded]:
    """Append entries in the caller's transaction, without gaps, and sign a checkpoint over the new size.

    Writers queue on an advisory lock until the transaction ends, so append late and commit soon. The
    transaction must be READ COMMITTED: an older snapshot would not see what the writer before has committed.
    Appending the same event twice is for the caller to prevent.

    Raises:
        Corrupt: the stored log does not fit its newest checkpoint; nothing is written or signed on top of it.
        Transient: the database is away, or the transaction's snapshot is too old.
    """
    if not entries:
        return []
    session.flush()  # what the caller has pending fails under its own name, not under the log's
    bodies = [canonical(entry) for entry in entries]
    leaves = [tree.leaf_hash(body) for body in bodies]
    try:
        session.execute(select(func.pg_advisory_xact_lock(LOCK)))
        old, hashes = _tip(session)
        layers = tree.grow(old.size, b"".join(leaves), lambda *place: hashes[place])
        hashes |= {place: node for layer in layers for place, node in _placed(layer)}
        size = old.size + len(entries)
        checkpoint = Checkpoint(origin, size, tree.root(size, lambda *place: hashes[place]))
        _write(session, old.size, list(zip(entries, bodies, leaves, strict=True)), layers[1:])
        note = sign_checkpoint(checkpoint, signer)
        session.execute(insert(LedgerCheckpoint), [{"size": size, "root": checkpoint.root, "note": note}])
    except IntegrityError:
        raise _behind() from None
    except (OperationalError, InterfaceError) as error:
        raise _away(error) from None
    return [Recorded(index, leaf) for index, leaf in enumerate(leaves, old.size)]


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


def _tip(session: Session) -> tuple[Checkpoint, dict[tuple[int, int], bytes]]:
    """Read size and frontier and hold them against the newest checkpoint: a fork is never signed (C2SP)."""
    last = session.scalar(select(func.max(LedgerEntry.index)))
    size = 0 if last is None else last + 1
    newest = (
        select(LedgerCheckpoint.size, LedgerCheckpoint.root).order_by(LedgerCheckpoint.size.desc()).limit(1)
    )
    signed = session.execute(newest).one_or_none()
    if size != (signed.size if signed else 0):
        message = (
            f"the log holds {size} entries, its newest checkpoint is over {signed.size if signed else 0}"
        )
        raise Corrupt(code="ledger.checkpoint", message=message, remedy=_VERIFY)
    hashes = _load(session, tree.frontier(size))
    root = tree.root(size, lambda *place: hashes[place])
    if signed and root != signed.root:
        message = f"the stored tree of size {size} does not have the root of its checkpoint"
        raise Corrupt(code="ledger.checkpoint", message=message, remedy=_VERIFY)
    return Checkpoint("", size, root), hashes


def _write(
    session: Session, first: int, logged: Sequence[tuple[Entry, bytes, bytes]], layers: Sequence[tree.Layer]
) -> None:
    rows = [
        {"index": index, "body": body, "leaf_hash": leaf, "kind": entry.kind, "submission": entry.submission}
        for index, (entry, body, leaf) in enumerate(logged, first)
    ]
    session.execute(insert(LedgerEntry), rows)
    completed = [
        {"level": level, "index": index, "hash": node}
        for layer in layers
        for (level, index), node in _placed(layer)
    ]
    if completed:
        session.execute(insert(LedgerNode), completed)


def _placed(layer: tree.Layer) -> Iterator[tuple[tuple[int, int], bytes]]:
    for offset in range(len(layer.hashes) // tree.HASH_BYTES):
        at = offset * tree.HASH_BYTES
        yield (layer.level, layer.first + offset), layer.hashes[at : at + tree.HASH_BYTES]


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
        raise Corrupt(code="ledger.node", message=message, remedy=_VERIFY)
    return found


def _behind() -> Transient:
    message = "another writer has extended the log since this transaction took its snapshot"
    return Transient(
        code="ledger.snapshot", message=message, remedy="Repeat the transaction, READ COMMITTED."
    )


def _away(error: OperationalError | InterfaceError) -> Transient:
    message = f"the transfer log could not be written ({type(error.orig).__name__})"
    return Transient(
        code="ledger.unavailable", message=message, remedy="Repeat once the database answers again."
    )
