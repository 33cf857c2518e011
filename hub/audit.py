"""Reading the transfer log: whoever may read it reads it here, and each reading is itself logged.

Nothing is given out before its reading is noted (`hub.readings`): where that cannot be written, the log
cannot be read either. The log is read as the auditor's role, which can change nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from hub import readings, staff
from hub.database.models import LedgerEntry, Staff
from hub.errors import Refused
from hub.ledger import search, store
from hub.ledger.entry import Actor
from hub.ledger.evidence import Unsound
from hub.ledger.inclusion import Proved, prove, prove_leaf
from hub.ledger.search import Criteria
from hub.office import Office
from hub.roles import MAY_READ_LOG

PATIENCE = "SET LOCAL statement_timeout = '10s'"  # a reader must not hold the log's database for long
EVERYTHING = Criteria()


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
    criteria: Criteria = EVERYTHING,
    *,
    upto: int | None = None,
    limit: int = 50,
    purpose: str = "entries",
) -> Excerpt:
    """Read what is looked for, newest first, from index ``upto`` down.

    Raises:
        Transient: ``database.busy`` when it takes longer than `PATIENCE`.
    """
    with office.database.audit() as session:
        session.execute(text(PATIENCE))
        criteria = replace(criteria, actor=_alias(session, criteria.actor))
        newest = session.scalar(select(LedgerEntry.index).order_by(LedgerEntry.index.desc()).limit(1))
        rows = search.find(session, criteria, upto, limit + 1)
        asked = search.told(session, criteria)
    lines = tuple(
        Line(index, at, {"kind": told} if body is None else _said(body), erased=body is None)
        for index, at, body, told in rows[:limit]
    )
    readings.note(office, reader, purpose, asked, [line.index for line in lines])
    older = rows[limit][0] if len(rows) > limit else None
    return Excerpt(lines, older, 0 if newest is None else newest + 1)


def reader_named(office: Office, name: str) -> Actor:
    """Name a member of staff as a reader of the log: by role and staff pseudonym.

    Raises:
        Refused: ``staff.unknown``, and ``staff.role`` for one whose role does not read the log.
    """
    with office.database.transaction() as session:
        role = staff.role_of(session, name)
        if role is None:
            raise staff.unknown(name)
        if role not in MAY_READ_LOG:
            readers = ", ".join(sorted(MAY_READ_LOG))
            raise Refused(
                "staff.role", f"{name} is {role}, who does not read the log", f"one of these does: {readers}"
            )
        return Actor(role=role.value, id=session.get_one(Staff, name).alias)


def _alias(session: Session, actor: str | None) -> str | None:
    """Search for a member of staff by the name in the log, whichever name was given."""
    named = session.get(Staff, actor) if actor is not None else None
    return named.alias if named is not None else actor


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
    readings.note(office, reader, purpose, {}, [index])
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


def _said(body: bytes) -> Mapping[str, Any]:
    """Read a body for a list; what somebody has spoiled says nothing there, and the verifier names it."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {}
