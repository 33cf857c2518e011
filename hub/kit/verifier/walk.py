"""The walk along the log: entries, tiles, roots and signatures of all checkpoints, side by side, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hub.kit.verifier.checkpoints import Roots, Stored, stored_checkpoints
from hub.kit.verifier.ed25519 import is_signed
from hub.kit.verifier.evidence import Promise
from hub.kit.verifier.head import Head
from hub.kit.verifier.members import Kit, tile_name
from hub.kit.verifier.notes import Key, signed_by
from hub.kit.verifier.tree import TILE_WIDTH, Leaves, Tree, is_beyond
from hub.kit.verifier.words import Findings, span


class Signatures:
    """Checks the signatures of the stored checkpoints that were drawn (by line)."""

    def __init__(self, keys: list[Key], drawn: set[int], count: int) -> None:
        self._keys, self._drawn, self._count = keys, drawn, count
        self._checked = 0

    def check(self, one: Stored, found: Findings) -> None:
        """Check one if it was drawn."""
        if one.line in self._drawn:
            self._checked += 1
            if not signed_by(one.note, self._keys, is_signed):
                found.add("checkpoint.signature", one.size)

    def told(self) -> dict[str, int]:
        """Give how many were checked, of how many."""
        return {"checked": self._checked, "of": self._count}

    def note(self, found: Findings) -> None:
        """Say so where not all were checked."""
        if self._keys and self._checked < self._count:
            found.note("note.signatures", f"{self._checked}/{self._count}")


class Walk:
    """Goes tile by tile; keeps the leaf hashes that are wanted, and compares every promised root."""

    def __init__(self, kit: Kit, head: Head, found: Findings, signatures: Signatures) -> None:
        self._head, self._found, self.signatures = head, found, signatures
        self._is_beyond = is_beyond(head.size, len(kit.usable))
        self._tree = Tree(head.size, head.root, lambda *tile: kit.bytes_of(tile_name(*tile)), found)
        self._stored = stored_checkpoints(kit, head.origin, found)
        self._next = next(self._stored, None)
        self._roots = Roots(found)
        self._promises: list[Promise] = []
        self._cut = 0
        self.leaves_wanted: set[int] = set()
        self.leaves_found: dict[int, bytes] = {}
        self.root: bytes | None = None

    def promise(self, promises: list[Promise]) -> None:
        """Take roots that others know, to be held against the tree."""
        self._promises = sorted(promises, key=lambda one: one.size)

    def go(self, runs: Iterator[tuple[int, Leaves]], tell: Any) -> None:
        """Walk from the first leaf to the last."""
        size, own = self._head.size, OwnLeaves(runs)
        if self._is_beyond:
            own.finish()
            self._found.add("node.missing", span(0, size))
            for one in (self._next, *self._stored):
                if one is not None:
                    self._pass(one)
            return
        self._compare(0)
        wanted = sorted(self.leaves_wanted, reverse=True)
        for base in range(0, size, TILE_WIDTH):
            end = min(base + TILE_WIDTH, size)
            leaves = self._tree.take(base // TILE_WIDTH, own.take(base, end))
            while wanted and wanted[-1] < end:
                index = wanted.pop()
                if leaves is not None:
                    self.leaves_found[index] = leaves[(index - base) * 32 : (index - base + 1) * 32]
            self._compare(end)
            tell(end / size)
        own.finish()
        self.root = self._tree.root_at(size)
        while self._next is not None:  # beyond the size of the newest checkpoint
            self._pass(self._next)
            self._cut = self._next.size
            self._next = next(self._stored, None)
        self._cut = max([self._cut, *(one.size for one in self._promises)])
        if self._head.root is not None:
            self._roots.hold(size, self._head.root, self.root)
        self._roots.close()
        if self._cut > size:
            self._found.add("log.cut", span(size, self._cut))

    def _compare(self, end: int) -> None:
        """Hold all promises up to this size against the tree's roots."""
        while self._next is not None and self._next.size <= end:
            self._pass(self._next)
            self._roots.hold(self._next.size, self._next.root, self._tree.root_at(self._next.size))
            self._next = next(self._stored, None)
        while self._promises and self._promises[0].size <= end:
            one = self._promises.pop(0)
            root = self._tree.root_at(one.size)
            if root is not None and root != one.root:
                self._found.add("log.forked", one.place, one.platz)

    def _pass(self, one: Stored) -> None:
        self.signatures.check(one, self._found)


class OwnLeaves:
    """The entries' own leaf hashes, in runs as they are read, handed out tile by tile."""

    def __init__(self, runs: Iterator[tuple[int, Leaves]]) -> None:
        self._runs = runs
        self._begin = 0
        self._leaves: Leaves = []
        self._is_over = False

    def take(self, base: int, end: int) -> Leaves:
        """Give the hashes of the entries from ``base`` up to ``end``; None where there are none."""
        while not self._is_over and self._begin + len(self._leaves) < end:
            run = next(self._runs, None)
            if run is None:
                self._is_over = True
                break
            begin, leaves = run
            if not self._leaves:
                self._begin = begin
            self._leaves += [None] * (begin - self._begin - len(self._leaves)) + leaves
        before = max(0, min(self._begin, end) - base) if self._leaves else end - base
        there = self._leaves[max(0, base - self._begin) : max(0, end - self._begin)] if self._leaves else []
        if there:
            self._leaves, self._begin = self._leaves[max(0, end - self._begin) :], max(end, self._begin)
        taken = [None] * before + there
        return taken + [None] * (end - base - len(taken))

    def finish(self) -> None:
        """Read what is left: lines that stand in no place."""
        for _ in self._runs:
            pass
