"""The tree of the log (RFC 9162, section 2.1), computed anew from entries and hash tiles, tile by tile.

Memory grows with the height of the tree, not with the log. Of two hashes that differ, the one
above them decides which was changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Callable, NamedTuple, Optional

from hub.kit.verifier.words import Findings, span

TILE_WIDTH = 256
MOST_MISSING = 1000  # tiles that are missing for each member that is there
_HEIGHT = 8
_HASH = 32
EMPTY_ROOT = sha256().digest()

Leaves = list[Optional[bytes]]
"""Leaf hashes as the entries have them; None where the kit holds no body."""


class Subtree(NamedTuple):
    """A perfect subtree: its hash, if it can be known, and whether something below was told to be wrong."""

    reached: bytes | None
    wrong: bool


def layers_of(leaves: bytes) -> list[bytes]:
    """Hash level by level over one buffer: the leaves, then the nodes above that are complete."""
    layers = [leaves]
    while len(layers[-1]) >= 2 * _HASH:
        below = layers[-1]
        pairs = range(0, len(below) // 64 * 64, 64)
        layers.append(b"".join([sha256(b"\x01" + below[at : at + 64]).digest() for at in pairs]))
    return layers


class Tree:
    """The tree of ``size`` leaves, from the left; ``tile`` reads a stored one (level, index, width)."""

    def __init__(
        self, size: int, claimed: bytes | None, tile: Callable[[int, int, int], bytes | None], found: Findings
    ) -> None:
        self.size = size
        self._claimed, self._tile, self._found = claimed, tile, found
        self._spine: list[Subtree] = []  # perfect subtrees of whole tiles, the largest first
        self._open: dict[int, tuple[int, bytes | None]] = {}  # by level: the stored tile at hand
        self._layers: list[bytes] | None = None
        self._before: list[Subtree] = []
        self._base = 0

    def take(self, number: int, own: Leaves) -> bytes | None:
        """Take a tile of leaves, and the leaf hashes that entries have there; gives its leaves."""
        self._base = base = number * TILE_WIDTH
        width = min(TILE_WIDTH, self.size - base)
        leaves, wrong = self._believed(number, self._stored_tile(0, number), own, width)
        self._layers = None if leaves is None else layers_of(leaves)
        if width == TILE_WIDTH:
            self._push(number, Subtree(self._layers[_HEIGHT] if self._layers else None, wrong))
        return leaves

    def root_at(self, size: int) -> bytes | None:
        """Compute the root at a size that ends in the tile taken last; None where it cannot be known."""
        if size == 0:
            return EMPTY_ROOT
        rest, parts = size - self._base, list(self._spine)
        if rest == TILE_WIDTH:
            return _folded(parts)
        if self.size - self._base >= TILE_WIDTH:  # the tile is whole and already part of the spine
            parts = self._before
        if self._layers is None:
            return None
        for level in range(_HEIGHT, -1, -1):
            if rest >> level & 1:
                at = ((rest >> level) - 1) * _HASH
                parts = [*parts, Subtree(self._layers[level][at : at + _HASH], wrong=False)]
        return _folded(parts)

    def _push(self, number: int, subtree: Subtree) -> None:
        self._before = list(self._spine)
        level, index = _HEIGHT, number
        while True:
            if level % _HEIGHT == 0:
                subtree = self._compared(level, index, subtree)
            if not index & 1:
                break
            left = self._spine.pop()
            known = left.reached is not None and subtree.reached is not None
            reached = (
                sha256(b"\x01" + (left.reached or b"") + (subtree.reached or b"")).digest() if known else None
            )
            subtree = Subtree(reached, left.wrong or subtree.wrong)
            level, index = level + 1, index >> 1
        self._spine.append(subtree)

    def _compared(self, level: int, index: int, subtree: Subtree) -> Subtree:
        """Hold a node against the tile that stores it; only the lowest wrong node is told."""
        stored = self._stored_node(level, index)
        if stored is None or subtree.reached is None:
            return Subtree(subtree.reached or stored, subtree.wrong)
        differs = stored != subtree.reached
        if differs and not subtree.wrong:
            self._found.add("node.hash", span(index << level, (index + 1) << level))
        return Subtree(subtree.reached, subtree.wrong or differs)

    def _believed(
        self, number: int, stored: bytes | None, own: Leaves, width: int
    ) -> tuple[bytes | None, bool]:
        """Choose the leaves to go on with; tell where entries and tile differ."""
        known = [leaf for leaf in own if leaf is not None]
        if stored is None:
            return (b"".join(known), False) if len(known) == width else (None, False)
        if b"".join(known) == stored or not known:
            return stored, False
        differing = [
            at
            for at, leaf in enumerate(own)
            if leaf is not None and leaf != stored[at * _HASH : (at + 1) * _HASH]
        ]
        if not differing:
            return stored, False
        mine = bytearray(stored)
        for at in differing:
            mine[at * _HASH : (at + 1) * _HASH] = own[at] or b""
        is_tile = self._fits(number, bytes(mine), width)
        for at in differing:
            self._found.add("node.hash" if is_tile else "entry.hash", self._base + at)
        return (bytes(mine) if is_tile else stored), True

    def _fits(self, number: int, leaves: bytes, width: int) -> bool:
        """Tell whether the hash above vouches for these leaves: the node over a whole tile, or the root."""
        layers = layers_of(leaves)
        if width == TILE_WIDTH:
            return layers[_HEIGHT] == self._stored_node(_HEIGHT, number)
        before, self._layers = self._layers, layers
        root, self._layers = self.root_at(self.size), before
        return root is not None and root == self._claimed

    def _stored_node(self, level: int, index: int) -> bytes | None:
        tile = self._stored_tile(level // _HEIGHT, index // TILE_WIDTH)
        at = index % TILE_WIDTH * _HASH
        return None if tile is None else tile[at : at + _HASH]

    def _stored_tile(self, level: int, number: int) -> bytes | None:
        if self._open.get(level, (-1, None))[0] != number:
            width = min(TILE_WIDTH, (self.size >> level * _HEIGHT) - number * TILE_WIDTH)
            content = self._tile(level, number, width)
            if content is None or len(content) != width * _HASH:
                first = number * TILE_WIDTH << level * _HEIGHT
                self._found.add("node.missing", span(first, first + (width << level * _HEIGHT)))
                content = None
            self._open[level] = (number, content)
        return self._open[level][1]


def is_beyond(size: int, members: int) -> bool:
    """Tell whether next to nothing of a tree so large is among so many members: nobody counts to its end."""
    return size > TILE_WIDTH * MOST_MISSING * (members + 1)


def tiles_of(size: int) -> Iterator[tuple[int, int, int]]:
    """Name the tiles of a tree: level, index, width (C2SP tlog-tiles)."""
    level = 0
    while size >> level * _HEIGHT:
        nodes = size >> level * _HEIGHT
        for number in range(-(-nodes // TILE_WIDTH)):
            yield level, number, min(TILE_WIDTH, nodes - number * TILE_WIDTH)
        level += 1


def _folded(parts: list[Subtree]) -> bytes | None:
    """Fold perfect subtrees, the largest first, into a root."""
    if any(part.reached is None for part in parts):
        return None
    folded = b""
    for part in reversed(parts):
        folded = sha256(b"\x01" + (part.reached or b"") + folded).digest() if folded else part.reached or b""
    return folded
