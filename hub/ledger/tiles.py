"""The log's tree as hash tiles, for everybody to fetch: C2SP tlog-tiles, without the entries.

A tile holds up to 256 consecutive nodes of one level in eight of the tree, 32 bytes each. A full tile never
changes; the rightmost tile of a level may be partial, and its width is part of its path. Bundles of entries,
which tlog-tiles knows as well, are not made: what an entry says is nobody's but the auditors'.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import BigInteger, Select, func, literal, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session
from sqlalchemy.types import LargeBinary

from hub.database.models import LedgerEntry, LedgerNode
from hub.errors import Corrupt
from hub.ledger.tree import HASH_BYTES

WIDTH = 256
"""Nodes in a full tile."""

HEIGHT = 8
"""Levels of the tree between one level of tiles and the next."""

_AT_ONCE = 64  # tiles fetched from the database at once: half a megabyte
_PATH = re.compile(r"tile/(0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_DEEPEST = 63
_MOST_ELEMENTS = 7  # of three digits: more than a bigint can count


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: its level, its index there, and how many nodes it holds (1 to 256)."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it is served, below the log's prefix: ``tile/<L>/<N>[.p/<W>]``."""
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{self.level}/{_element(self.index)}{partial}"

    @property
    def is_full(self) -> bool:
        """A full tile holds 256 nodes and never changes."""
        return self.width == WIDTH

    @property
    def full(self) -> "Tile":
        """The full tile that this one is, or will grow into."""
        return Tile(self.level, self.index)


def parse(path: str) -> Tile | None:
    """Read a path as it must be written, in its one spelling; None for everything else."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    elements = found[2].replace("x", "").split("/")
    level, width = int(found[1]), int(found[3]) if found[3] else WIDTH
    if level > _DEEPEST or len(elements) > _MOST_ELEMENTS or (found[3] and width >= WIDTH):
        return None
    tile = Tile(level, int("".join(elements)), width)
    return tile if tile.path == path else None


def of_size(size: int, since: int = 0) -> Iterator[Tile]:
    """Name the tiles of a tree of ``size``, level by level from the leaves up, each level from the left.

    With ``since``, only those that a tree of that size does not have: what is new, and partial tiles that
    have grown.
    """
    for level in range(_DEEPEST + 1):
        nodes, known = size >> HEIGHT * level, since >> HEIGHT * level
        if not nodes:
            return
        if nodes > known:
            for index in range(known // WIDTH, -(-nodes // WIDTH)):
                yield Tile(level, index, min(WIDTH, nodes - index * WIDTH))


def of(session: Session, size: int, since: int = 0) -> Iterator[tuple[str, bytes]]:
    """Read the tiles of a log's first ``size`` entries, each with its path; see `of_size` for the order.

    They are read in bulk, a few tiles at once: the memory that it takes does not grow with the log.

    Raises:
        Corrupt: ``ledger.node`` when the stored tree lacks a node of them.
    """
    for tile, hashes in contents(session, size, since):
        yield tile.path, hashes


def contents(session: Session, size: int, since: int = 0) -> Iterator[tuple[Tile, bytes]]:
    """Read as `of` does, with the tiles themselves instead of their paths."""
    waiting: list[Tile] = []
    for tile in of_size(size, since):
        if waiting and (waiting[0].level != tile.level or len(waiting) == _AT_ONCE):
            yield from _fetched(session, waiting)
            waiting = []
        waiting.append(tile)
    if waiting:
        yield from _fetched(session, waiting)


def _fetched(session: Session, tiles: list[Tile]) -> Iterator[tuple[Tile, bytes]]:
    """Fetch neighbouring tiles of one level by one query."""
    first, last = tiles[0].index * WIDTH, tiles[-1].index * WIDTH + tiles[-1].width - 1
    rows = dict(session.execute(_query(tiles[0].level, first, last)).all())
    for tile in tiles:
        hashes = rows.get(tile.index, b"")
        if len(hashes) != tile.width * HASH_BYTES:
            message = f"the stored tree lacks nodes of {tile.path}"
            remedy = "Stop sending, run `hub log verify`, and keep the database as it is for the auditor."
            raise Corrupt(code="ledger.node", message=message, remedy=remedy)
        yield tile, hashes


def _query(level: int, first: int, last: int) -> Select[int, bytes]:
    """Select tiles by index: the server joins the hashes of each; level 0 are the leaf hashes of entries."""
    if level == 0:
        index, stored = LedgerEntry.index, LedgerEntry.leaf_hash
        rows = select(index, stored).where(index.between(first, last))
    else:
        index, stored = LedgerNode.index, LedgerNode.hash
        rows = select(index, stored).where(LedgerNode.level == level * HEIGHT, index.between(first, last))
    found = rows.subquery()
    number, node = found.c[0], found.c[1]
    tile = number // literal_column(str(WIDTH), BigInteger)
    joined = func.string_agg(node, aggregate_order_by(literal(b"", LargeBinary), number), type_=LargeBinary)
    return select(tile, joined).group_by(tile)


def _element(index: int) -> str:
    """Write an index in groups of three digits, ``x`` before all but the last: 1234067 is x001/x234/067."""
    elements = [f"{index % 1000:03d}"]
    while index := index // 1000:
        elements.append(f"x{index % 1000:03d}")
    return "/".join(reversed(elements))
