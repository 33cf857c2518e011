"""The verifier of the transfer log: reads every row and believes none.

It shares no code with the modules that write the log (import-linter holds that): tree, checkpoints and
receipts are computed and read anew in `hub.ledger.replay` and `hub.ledger.evidence`. Rows are streamed once.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, text

from hub.errors import Refused
from hub.ledger.erasures import Announcement, Erasures
from hub.ledger.evidence import Promise, Unsound, read_claim, read_promise
from hub.ledger.findings import Collector, Findings
from hub.ledger.replay import Claims, Node, Promises, Replay, Row

Note = tuple[int, bytes, str]
"""A stored checkpoint: size, root, signed note; by rising size."""

_ROWS = "SELECT index, body, leaf_hash, kind, submission FROM ledger.entry ORDER BY index"
_ANNOUNCEMENTS = (
    "SELECT index, body FROM ledger.entry WHERE kind = 'retention' AND body IS NOT NULL ORDER BY index"
)
_NODES = (
    "SELECT level, index, hash FROM ledger.node"
    " ORDER BY (index::numeric + 1) * power(2::numeric, level::numeric), level"
)
_NOTES = "SELECT size, root, note FROM ledger.checkpoint ORDER BY size"


def verify_database(
    connection: Connection,
    *,
    log_key: Ed25519PublicKey,
    receipt_key: Ed25519PublicKey | None = None,
    origin: str,
    kept: Sequence[str] = (),
    receipts: Sequence[str] = (),
) -> Findings:
    """Verify the log in a database, as the auditor's role, in one snapshot; see `verify`.

    Raises `Refused` when the connection is already in a transaction that sees a new snapshot at every read.
    """
    if connection.in_transaction():
        if connection.scalar(text("SHOW transaction_isolation")) == "read committed":
            message = "expected a fresh connection or a REPEATABLE READ transaction, got READ COMMITTED"
            remedy = "Open a connection of its own for the verifier."
            raise Refused(code="ledger.snapshot", message=message, remedy=remedy)
        return _verify_snapshot(connection, log_key, receipt_key, origin, kept, receipts)
    connection.execution_options(isolation_level="REPEATABLE READ")
    with connection.begin():
        return _verify_snapshot(connection, log_key, receipt_key, origin, kept, receipts)


def verify(  # noqa: PLR0913 -- all that there is of a log, and all that an auditor brings
    rows: Iterable[Row],
    nodes: Iterable[Node],
    checkpoints: Iterable[Note],
    *,
    log_key: Ed25519PublicKey,
    origin: str,
    receipt_key: Ed25519PublicKey | None = None,
    kept: Sequence[str] = (),
    receipts: Sequence[str] = (),
    announcements: Iterable[Announcement] = (),
) -> Findings:
    """Hold a log against itself, its signed checkpoints, and what was kept elsewhere.

    ``kept`` are checkpoints as signed notes, ``receipts`` are tokens as the sender got them; in the findings
    they count from 1. ``announcements`` are the rows of kind ``retention`` once more, beforehand: what they
    say of erased bodies counts as soon as their own rows are proved. Nothing is raised for a broken log: all
    that is wrong is in the findings.
    """
    found = Collector()
    promises = _promises(found, kept, log_key, origin)
    claims = _claims(found, receipts, receipt_key, promises, log_key, origin)
    replay = Replay(
        found,
        nodes,
        _signed(found, checkpoints, log_key, origin),
        promises,
        claims,
        Erasures(found, announcements),
    )
    for row in rows:
        replay.take(row)
    return replay.close()


def _promises(found: Collector, kept: Sequence[str], log_key: Ed25519PublicKey, origin: str) -> Promises:
    promises: Promises = defaultdict(list)
    for number, note in enumerate(kept, 1):
        try:
            promise = read_promise(note, origin, log_key)
        except Unsound as unsound:
            found.add(f"kept.{unsound.flaw}", str(number))
            continue
        place = f"kept checkpoint {number}, size {promise.size}"
        promises[promise.size].append(
            (place, f"mitgebrachter Prüfpunkt {number}, Größe {promise.size}", promise.root)
        )
    return promises


def _claims(
    found: Collector,
    receipts: Sequence[str],
    receipt_key: Ed25519PublicKey | None,
    promises: Promises,
    log_key: Ed25519PublicKey,
    origin: str,
) -> Claims:
    """Read receipts; the checkpoint in a receipt binds the log as one kept elsewhere does."""
    claims: Claims = defaultdict(list)
    for number, token in enumerate(receipts, 1):
        try:
            claim = read_claim(token, receipt_key)
        except Unsound as unsound:
            found.add(f"receipt.{unsound.flaw}", str(number))
            continue
        claims[claim.index].append((number, claim))
        try:
            promise = read_promise(claim.checkpoint, origin, log_key)
        except Unsound:
            found.add("receipt.checkpoint", str(number))
            continue
        if promise.size <= claim.index:
            found.add("receipt.checkpoint", str(number))
        place = f"receipt {number}, size {promise.size}"
        promises[promise.size].append((place, f"Quittung {number}, Größe {promise.size}", promise.root))
    return claims


def _signed(
    found: Collector, checkpoints: Iterable[Note], log_key: Ed25519PublicKey, origin: str
) -> Iterator[Promise]:
    """Read the stored checkpoints; only what the log's key signed goes on to be compared."""
    for size, root, note in checkpoints:
        try:
            promise = read_promise(note, origin, log_key)
        except Unsound as unsound:
            found.add(f"checkpoint.{unsound.flaw}", str(size))
            continue
        if promise != Promise(size, root):
            found.add("checkpoint.columns", str(size))
        if promise.size == size:
            yield promise


def _verify_snapshot(
    connection: Connection,
    log_key: Ed25519PublicKey,
    receipt_key: Ed25519PublicKey | None,
    origin: str,
    kept: Sequence[str],
    receipts: Sequence[str],
) -> Findings:
    def stream(statement: str) -> Iterator[Any]:
        yield from connection.execute(
            text(statement), execution_options={"stream_results": True, "yield_per": 1000}
        )

    return verify(
        stream(_ROWS),
        stream(_NODES),
        stream(_NOTES),
        log_key=log_key,
        origin=origin,
        receipt_key=receipt_key,
        kept=kept,
        receipts=receipts,
        announcements=stream(_ANNOUNCEMENTS),
    )
