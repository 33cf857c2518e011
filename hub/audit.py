"""Reading the transfer log: whoever may read it reads it here, and each reading is itself logged.

Nothing is given out before the entry about its reading is durable: where the log cannot be written, it
cannot be read either. The log is read as the auditor's role, which can change nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from hub import logbook
from hub.case import now
from hub.database.models import LedgerEntry
from hub.errors import Refused
from hub.ledger import store
from hub.ledger.entry import Actor, Entry, Kind
from hub.ledger.evidence import Unsound
from hub.ledger.inclusion import Proved, prove, prove_leaf
from hub.office import Office

PATIENCE = "SET LOCAL statement_timeout = '10s'"  # a reader must not hold the log's database for long


@dataclass(frozen=True)
class Line:
    """One entry in a list: its index, when it was recorded, and what it says (its kind, once erased)."""

    index: int
    recorded_at: datetime
    entry: Mapping[str, Any]
    erased: bool = False


@dataclass(frozen=True)
class Excerpt:
    """Some entries, the newest first; ``older`` is the index from which the list goes on, if it does."""

    lines: tuple[Line, ...]
    older: int | None
    size: int


@dataclass(frozen=True)
class Exhibit:
    """One entry with its proof: the exact bytes, the proof as text, and what an independent check says.

    ``proved`` is what the verifier's own code found; where it found nothing, ``flaw`` says why. ``key`` is
    the log's public key, as C2SP writes it. A body that was erased is None: its leaf hash is proved, and
    ``erased_by`` is the index of the entry that says so.
    """

    index: int
    recorded_at: datetime
    body: bytes | None
    leaf_hash: bytes
    proof: str
    proved: Proved | None
    flaw: str | None
    key: str
    erased_by: int | None = None

    @property
    def note(self) -> str:
        """The newest signed checkpoint, in which the entry is proved."""
        return self.proof.partition("\n\n")[2]


def browse(
    office: Office,
    reader: Actor,
    *,
    upto: int | None = None,
    kind: Kind | None = None,
    submission: str | None = None,
    limit: int = 50,
) -> Excerpt:
    """Read entries, newest first, from index ``upto`` down; only of a kind or a submission where named."""
    query = select(LedgerEntry.index, LedgerEntry.recorded_at, LedgerEntry.body, LedgerEntry.kind)
    if upto is not None:
        query = query.where(LedgerEntry.index <= upto)
    if kind is not None:
        query = query.where(LedgerEntry.kind == kind)
    if submission is not None:
        query = query.where(LedgerEntry.submission == submission)
    with office.database.audit() as session:
        session.execute(text(PATIENCE))
        newest = session.scalar(select(LedgerEntry.index).order_by(LedgerEntry.index.desc()).limit(1))
        rows = session.execute(query.order_by(LedgerEntry.index.desc()).limit(limit + 1)).all()
    lines = tuple(
        Line(index, at, {"kind": told} if body is None else _said(body), erased=body is None)
        for index, at, body, told in rows[:limit]
    )
    chosen = {"of_kind": kind, "of_submission": submission}
    span = {"first": lines[-1].index, "last": lines[0].index} if lines else {}
    _note(office, reader, "entries", span | {name: value for name, value in chosen.items() if value})
    older = rows[limit][0] if len(rows) > limit else None
    return Excerpt(lines, older, 0 if newest is None else newest + 1)


def examine(office: Office, reader: Actor, index: int, *, purpose: str = "entry") -> Exhibit:
    """Read one entry with the proof that the newest checkpoint covers it, checked by the verifier's code.

    ``purpose`` is what the reading is logged as: ``entry``, or the ``proof`` or ``body`` to be carried away.

    Raises:
        Refused: ``ledger.index`` if there is no such entry.
        Corrupt: ``ledger.node`` if the stored tree cannot prove it.
    """
    with office.database.audit() as session:
        session.execute(text(PATIENCE))
        stored = next(store.entries(session, index, index), None)
        if stored is None:
            raise Refused("ledger.index", f"no entry has the index {index}", "take one from the list")
        proof = store.prove(session, index).text
        erased_by = _announcement(session, index) if stored.body is None else None
    _note(office, reader, purpose, {"index": index})
    origin, key = office.settings.origin, office.ring.log_public()
    proved, flaw = None, None
    try:
        if stored.body is None:
            proved = prove_leaf(stored.leaf_hash, proof, origin, key)
            flaw = "erased" if erased_by is None else None
        else:
            proved = prove(stored.body, proof, origin, key)
            flaw = None if proved.leaf_hash == stored.leaf_hash else "leaf"
    except Unsound as unsound:
        flaw = unsound.flaw
    return Exhibit(
        index,
        stored.recorded_at,
        stored.body,
        stored.leaf_hash,
        proof,
        None if flaw else proved,
        flaw,
        office.ring.verifier_key(origin),
        erased_by,
    )


def _announcement(session: Session, index: int) -> int | None:
    """Find the entry that announced the erasure of another's body."""
    later = select(LedgerEntry.index, LedgerEntry.body).where(
        LedgerEntry.kind == "retention", LedgerEntry.index > index
    )
    for found, body in session.execute(later.order_by(LedgerEntry.index)):
        span = _said(body or b"").get("span")
        if isinstance(span, dict) and span["first"] <= index <= span["last"]:
            return int(found)
    return None


def _note(office: Office, reader: Actor, what: str, details: Mapping[str, str | int]) -> None:
    """Log a reading, durably, before anything of it is shown."""
    with office.database.transaction() as session:
        entry = Entry(
            kind="log_read", time=now(session), actor=reader, reason=what, details=dict(details) or None
        )
        logbook.append(session, office, [entry])


def _said(body: bytes) -> Mapping[str, Any]:
    """Read a body for a list; what somebody has spoiled says nothing there, and the verifier names it."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {}
