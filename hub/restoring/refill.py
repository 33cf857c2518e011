"""The log filled up again from the journal, byte for byte, so that every proof ever given out still holds."""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from hub.errors import Corrupt, Refused
from hub.ledger import tree
from hub.ledger.checkpoint import Checkpoint, open_checkpoint
from hub.ledger.journal import Record
from hub.ledger.turn import Floor, Page, checkpoint_of, grow, take_turn, write
from hub.office import Office


def refill(connection: Connection, office: Office, base: Floor, records: Sequence[Record]) -> int:
    """Write the entries, nodes and checkpoints that the log lacks; returns its size then.

    Every checkpoint must bear the log's signature and be what the entries before it come to.

    Raises:
        Refused: ``restore.changed`` when the log is no longer what was looked at.
        Corrupt: ``journal.damaged`` when the journal does not continue this log.
    """
    tip = take_turn(connection)
    hashes = dict(tip.nodes)
    if checkpoint_of("", tip.size, hashes).root != base.root:
        raise Refused(
            "restore.changed",
            "the database is no longer the one that was looked at",
            "look again: hub restore show",
        )
    size = tip.size
    for record in records:
        content = record.content
        for end, note in content["notes"]:
            if end <= size:
                continue
            pages, times = _pages(content["entries"][size - content["first"] : end - content["first"]])
            layers = grow(size, pages, hashes)
            reached = checkpoint_of(office.settings.origin, end, hashes)
            _must_be(reached, note, office)
            if len(pages) != end - size:
                raise _unfit(end)
            write(connection, size, pages, layers, [(reached, note)], times)
            size = end
    return size


def _pages(entries: Sequence[Sequence[Any]]) -> tuple[list[Page], list[str]]:
    pages = []
    for body, leaf, kind, submission, _ in entries:
        held = body.encode() if body is not None else None
        hashed = tree.leaf_hash(held) if held is not None else bytes.fromhex(leaf)
        pages.append(Page(held, hashed, kind, submission))
    return pages, [at for *_, at in entries]


def _must_be(reached: Checkpoint, note: str, office: Office) -> None:
    signed = open_checkpoint(note, office.settings.origin, office.ring.log_public())
    if (signed.size, signed.root) != (reached.size, reached.root):
        raise _unfit(reached.size)


def _unfit(size: int) -> Corrupt:
    return Corrupt(
        "journal.damaged",
        f"the journal's entries up to size {size} do not come to the checkpoint that was signed",
        "keep journal and database as they are, and call the data protection officer",
    )
