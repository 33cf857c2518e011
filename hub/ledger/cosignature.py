"""Cosignatures that witnesses have handed in: taken only from those whom the hub's policy names.

What a witness brings is read and proved by the verifier's own code (`hub.ledger.notes`,
`hub.ledger.policy`), and it must be on a checkpoint that this log holds. C2SP tlog-cosignature.
"""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hub.database.models import LedgerCheckpoint, LedgerCosignature
from hub.errors import Corrupt, Refused
from hub.ledger.evidence import Promise, Unsound
from hub.ledger.notes import VerifierKey, cosigned_at, lines_by, read_checkpoint, take_apart
from hub.ledger.policy import Policy
from hub.ledger.store import latest_checkpoint

_ASK = "ask the witness for what `hub log witness` wrote, unchanged"
_ALARM = "stop sending, keep the database as it is, and call the data protection officer"


@dataclass(frozen=True, slots=True)
class Taken:
    """What was handed in: the checkpoint's size, whose cosignatures hold, and how many of them are new."""

    size: int
    witnesses: tuple[str, ...]
    new: int


def take(session: Session, policy: Policy, log: VerifierKey, note: str) -> Taken:
    """Store the cosignatures on a note that the policy's witnesses made; others' are left aside.

    Handed in again, nothing changes.

    Raises:
        Refused: ``cosignature.malformed``, ``cosignature.checkpoint`` when this log did not sign the note,
            ``cosignature.signature`` when a known witness's does not verify, ``cosignature.unknown`` when it
            bears none of a known witness.
        Corrupt: ``ledger.cut`` or ``ledger.forked`` when this log signed the note, yet does not hold it: a
            witness has seen what is no longer there.
    """
    promise = _promise(log, note)
    _hold_against(session, promise, note)
    rows = []
    for name, key in policy.witnesses.items():
        try:
            newest = cosigned_at(note, key)
        except Unsound:
            message = f"the cosignature of the witness {name} does not verify"
            raise Refused("cosignature.signature", message, _ASK) from None
        for line in lines_by(note, key) if newest else ():
            if int.from_bytes(line.value[:8], "big") == newest:
                rows.append(
                    {
                        "size": promise.size,
                        "witness": key.name,
                        "key_id": key.key_id,
                        "cosigned_at": newest,
                        "line": line.text,
                    }
                )
                break
    if not rows:
        known = ", ".join(policy.witnesses) or "none"
        message = f"expected a cosignature of a known witness ({known}), found none"
        remedy = "name the witness and its key in the hub's policy; see docs/witnessing.md"
        raise Refused("cosignature.unknown", message, remedy)
    table = LedgerCosignature
    added = session.execute(insert(table).on_conflict_do_nothing().returning(table.witness), rows).all()
    return Taken(promise.size, tuple(str(row["witness"]) for row in rows), len(added))


def cosigned(session: Session, size: int | None = None) -> str:
    """Write a stored checkpoint with all cosignatures on it: the newest one, or the one of a size.

    Raises `Refused` ``ledger.empty``, or ``ledger.checkpoint_size`` where there is none of that size.
    """
    if size is None:
        note = latest_checkpoint(session)
        size = int(note.split("\n")[1])
    else:
        found = session.scalar(select(LedgerCheckpoint.note).where(LedgerCheckpoint.size == size))
        if found is None:
            message = f"expected a checkpoint of size {size}, found none"
            raise Refused("ledger.checkpoint_size", message, "ask for a size that the log has signed")
        note = found
    table = LedgerCosignature
    lines = select(table.line).where(table.size == size).order_by(table.witness, table.key_id)
    return note + "".join(session.scalars(lines))


def newest_cosigned(session: Session) -> int | None:
    """Tell the size of the newest checkpoint that any witness has cosigned; None while there is none."""
    return session.scalar(select(func.max(LedgerCosignature.size)))


def _promise(log: VerifierKey, note: str) -> Promise:
    try:
        take_apart(note)
        return read_checkpoint(note, log)
    except Unsound as unsound:
        if unsound.flaw == "signature":
            message = f"expected a checkpoint signed by {log.name}, found another log's or a broken one"
            raise Refused("cosignature.checkpoint", message, _ASK) from None
        message = "expected a signed checkpoint with cosignatures, found other content"
        raise Refused("cosignature.malformed", message, _ASK) from None


def _hold_against(session: Session, promise: Promise, note: str) -> None:
    """Find the note in the log; that it is signed by our key and not there would be an alarm."""
    table = LedgerCheckpoint
    stored = session.execute(select(table.root, table.note).where(table.size == promise.size)).one_or_none()
    if stored is not None and stored.root == promise.root:
        if stored.note.startswith(take_apart(note)[0] + "\n"):
            return
        message = "expected a checkpoint as this log writes it, found one with other lines"
        raise Refused("cosignature.checkpoint", message, _ASK)
    size = session.scalar(select(func.max(table.size))) or 0
    if promise.size > size:
        message = f"a witness has seen this log with {promise.size} entries, it holds {size}"
        raise Corrupt("ledger.cut", message, _ALARM)
    message = f"a witness has seen another log of {promise.size} entries under this log's key"
    raise Corrupt("ledger.forked", message, _ALARM)
