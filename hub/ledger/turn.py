"""A writer's turn at the transfer log: the lock, the tip that it finds, and one statement that writes.

Two round trips each: to wait for the lock and read the tip (two statements, because the second must see what
the writer before has committed), and to write entries, nodes and checkpoints.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from psycopg import Connection

from hub.errors import Corrupt, Transient
from hub.ledger import tree
from hub.ledger.checkpoint import Checkpoint
from hub.ledger.entry import Actor, Entry, Kind, canonical

LOCK: Final = 0x7472616E73666572
"""Spells "transfer": the advisory lock that every writer of the log holds until it commits."""

VERIFY: Final = "Stop sending, run `hub log verify`, and keep the database as it is for the auditor."
RESTORE: Final = "Look at what is missing: hub restore show; two people approve it: hub restore approve."
CLOCK_SLACK: Final = timedelta(seconds=1)
"""A clock that is set back by less is not worth an alarm."""

Place = tuple[int, int]
"""A node of the tree: level and index."""

_TIP = """
WITH tip AS (SELECT coalesce(max(index) + 1, 0) AS size FROM ledger.entry),
    signed AS (SELECT size, root FROM ledger.checkpoint ORDER BY size DESC LIMIT 1)
SELECT tip.size, (SELECT size FROM signed), (SELECT root FROM signed), clock_timestamp(),
    (SELECT recorded_at FROM ledger.entry WHERE index = tip.size - 1),
    (SELECT root FROM ledger.checkpoint WHERE size = %s),
    (SELECT leaf_hash FROM ledger.entry WHERE index = tip.size - 1),
    inner_nodes.levels, inner_nodes.hashes
FROM tip, LATERAL (
    SELECT array_agg(node.level) AS levels, array_agg(node.hash) AS hashes
    FROM generate_series(1, 62) AS bit
    JOIN ledger.node ON node.level = bit AND node.index = (tip.size >> bit) - 1
    WHERE (tip.size >> bit) & 1 = 1
) AS inner_nodes
"""
_LOGGED = """
    INSERT INTO ledger.entry (index, body, leaf_hash, kind, submission)
    SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[], %s::text[], %s::text[])
"""
_LOGGED_THEN = """
    INSERT INTO ledger.entry (index, body, leaf_hash, kind, submission, recorded_at)
    SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[], %s::text[], %s::text[], %s::timestamptz[])
"""
_WRITE = """
WITH logged AS (@), grown AS (
    INSERT INTO ledger.node (level, index, hash)
    SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])
)
INSERT INTO ledger.checkpoint (size, root, note)
SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::text[])
"""
_WRITE_NOW, _WRITE_THEN = (_WRITE.replace("@", logged) for logged in (_LOGGED, _LOGGED_THEN))


@dataclass(frozen=True, slots=True)
class Floor:
    """What the log is known to have been: at this size it had this root. It has not become shorter since."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """An entry ready to be written: its canonical body (None once erased), leaf hash, what it is found by."""

    body: bytes | None
    leaf: bytes
    kind: Kind
    submission: str | None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Write an entry out. Raises `Corrupt` as `hub.ledger.entry.canonical` does."""
        body = canonical(entry)
        return cls(body, tree.leaf_hash(body), entry.kind, entry.submission)


@dataclass(frozen=True, slots=True)
class Tip:
    """The log's end as a writer finds it in its turn: size, the frontier's nodes, and two clocks."""

    size: int
    nodes: Mapping[Place, bytes]
    now: datetime
    last_at: datetime | None

    def alarm(self) -> Entry | None:
        """Make the entry that tells of a clock which is behind the newest entry; None for one that is not."""
        if self.last_at is None or self.now >= self.last_at - CLOCK_SLACK:
            return None
        behind = int((self.last_at - self.now).total_seconds())
        details: dict[str, str | int] = {"seconds": behind, "entry": self.size - 1}
        actor = Actor(role="hub", id="log")
        return Entry(kind="alarm", time=self.now, actor=actor, reason="clock.behind", details=details)


def take_turn(connection: Connection, floor: Floor | None = None) -> Tip:
    """Wait for the turn, which lasts until the transaction ends, and read the tip.

    Its tree is held against the newest checkpoint: a fork is never signed (C2SP tlog-checkpoint).

    Raises:
        Corrupt: ``ledger.checkpoint``, ``ledger.node``.
        Transient: ``hub.closed`` when the log lacks what ``floor`` tells of.
    """
    with connection.pipeline():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        answer = connection.execute(_TIP, [floor.size if floor else -1], prepare=True)
    ((size, signed, root, now, last_at, root_at_floor, leaf, levels, hashes),) = answer.fetchall()
    if floor is not None and floor.size and (size < floor.size or root_at_floor != floor.root):
        raise closed(size, floor.size)
    if size != (signed or 0):
        message = f"the log holds {size} entries, its newest checkpoint is over {signed or 0}"
        raise Corrupt(code="ledger.checkpoint", message=message, remedy=VERIFY)
    nodes = {
        (level, (size >> level) - 1): node for level, node in zip(levels or (), hashes or (), strict=True)
    }
    if size & 1:
        nodes[0, size - 1] = leaf
    for level, index in tree.frontier(size):
        if (level, index) not in nodes:
            message = f"the stored tree lacks node {index} of level {level}"
            raise Corrupt(code="ledger.node", message=message, remedy=VERIFY)
    if size and tree.root(size, lambda *place: nodes[place]) != root:
        message = f"the stored tree of size {size} does not have the root of its checkpoint"
        raise Corrupt(code="ledger.checkpoint", message=message, remedy=VERIFY)
    return Tip(size, nodes, now, last_at)


def write(
    connection: Connection,
    first: int,
    pages: Sequence[Page],
    layers: Sequence[tree.Layer],
    checkpoints: Sequence[tuple[Checkpoint, str]],
    times: Sequence[str] | None = None,
) -> None:
    """Write pages from index ``first`` on, the inner nodes that they complete, and signed checkpoints.

    They are recorded now, or at ``times`` where the tables' owner puts them back.
    """
    grown = [place for layer in layers for place in placed(layer)]
    connection.execute(
        _WRITE_THEN if times is not None else _WRITE_NOW,
        [
            list(range(first, first + len(pages))),
            [page.body for page in pages],
            [page.leaf for page in pages],
            [page.kind for page in pages],
            [page.submission for page in pages],
            *([list(times)] if times is not None else []),
            [level for (level, _), _ in grown],
            [index for (_, index), _ in grown],
            [node for _, node in grown],
            [checkpoint.size for checkpoint, _ in checkpoints],
            [checkpoint.root for checkpoint, _ in checkpoints],
            [note for _, note in checkpoints],
        ],
        prepare=True,
    )


def placed(layer: tree.Layer) -> Iterator[tuple[Place, bytes]]:
    """Take a layer apart into its nodes, each with its place."""
    for offset in range(len(layer.hashes) // tree.HASH_BYTES):
        at = offset * tree.HASH_BYTES
        yield (layer.level, layer.first + offset), layer.hashes[at : at + tree.HASH_BYTES]


def grow(size: int, pages: Sequence[Page], hashes: dict[Place, bytes]) -> list[tree.Layer]:
    """Grow the tree by pages; ``hashes`` learns all nodes that become complete, the inner ones return."""
    layers = tree.grow(size, b"".join(page.leaf for page in pages), lambda *place: hashes[place])
    hashes |= {place: node for layer in layers for place, node in placed(layer)}
    return layers[1:]


def checkpoint_of(origin: str, size: int, hashes: Mapping[Place, bytes]) -> Checkpoint:
    """Tell of a log's size and root; ``hashes`` holds the frontier of that size."""
    return Checkpoint(origin, size, tree.root(size, lambda *place: hashes[place]))


def closed(size: int, known: int) -> Transient:
    """Say that the hub is closed: its log is an older or another one than it is known to have been."""
    return Transient(
        "hub.closed",
        f"the log holds {size} entries and had {known}: an older database was put back; nothing is sent",
        RESTORE,
    )
