"""The entries of the kit as a stream: lines into bodies, bodies into leaf hashes, row by row of the table."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Protocol

from hub.kit.verifier.members import Kit
from hub.kit.verifier.notes import Malformed, decimal
from hub.kit.verifier.tree import Leaves
from hub.kit.verifier.words import Findings, span

_MOST_BODY = 65_535
_MOST_LINE = _MOST_BODY + 20
_CONTROLS_IN_LINES = bytes(range(32))


def whole_lines(blocks: Iterator[bytes], most: int) -> Iterator[tuple[bytes, bool]]:
    """Cut blocks where lines end: many whole lines at once, each with its LF, and whether they are whole.

    A line that grows beyond ``most`` bytes, or has no LF at the end, comes by itself and is not whole; of the
    former only the beginning comes.
    """
    rest, is_skipping = b"", False
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if not end:
            rest = b"" if is_skipping else rest + block
            if len(rest) > most:
                yield rest, False
                rest, is_skipping = b"", True
            continue
        if is_skipping:
            begin, is_skipping = block.find(b"\n") + 1, False
            if begin < end:
                yield block[begin:end], True
        else:
            yield rest + block[:end], True
        rest = block[end:]
    if rest and not is_skipping:
        yield rest, False


class Follow(Protocol):
    """Whoever follows the entries in order."""

    def take(self, index: int, bodies: list[bytes], *, is_plain: bool) -> None:
        """Take neighbouring bodies; ``is_plain``: all are UTF-8 without controls."""


class Entries:
    """Reads ``entries.tsv`` once, in order, and hands on what each line holds.

    Whoever follows gets every body in its place; an erased one is empty.
    """

    def __init__(self, kit: Kit, found: Findings, first: int, last: int) -> None:
        self._kit, self._found = kit, found
        self.first, self.last = first, last
        self.count = self.erased = 0
        self.runs: list[list[int]] = []  # erased, as [first, end]
        self._missing: list[int] = []
        self._next = first

    def leaves(self, follow: Follow) -> Iterator[tuple[int, Leaves]]:
        """Give the leaf hashes of all entries in rising runs; None for a body that is not there."""
        number = 1
        for lines, is_whole in whole_lines(self._kit.blocks("entries.tsv"), _MOST_LINE):
            if not is_whole:
                self._found.add("kit.line", f"entries.tsv:{number}")
                number += 1
                continue
            rows = lines.split(b"\n")
            rows.pop()
            yield self._next, self._run(rows, lines, number, follow)
            number += len(rows)
        if self._next <= self.last:
            self._lack(self.last + 1)
            yield self.last + 1, []

    def _run(self, rows: list[bytes], lines: bytes, number: int, follow: Follow) -> Leaves:
        is_plain = _is_plain(lines, len(rows))
        leaves: Leaves = []
        bodies: list[bytes] = []
        expected, last = self._next, self.last
        for at, row in enumerate(rows):
            told, tab, body = row.partition(b"\t")
            if told != b"%d" % expected or not tab or len(body) > _MOST_BODY or expected > last:
                self._next = expected
                leaves += self._taken(bodies, expected, follow, is_plain=is_plain)
                bodies = []
                if not self._is_ahead(told, tab, body, f"entries.tsv:{number + at}"):
                    continue
                leaves += [None] * (int(told) - expected)
                expected = int(told)
            bodies.append(body)
            expected += 1
        self._next = expected
        return leaves + self._taken(bodies, expected, follow, is_plain=is_plain)

    def _taken(self, bodies: list[bytes], end: int, follow: Follow, *, is_plain: bool) -> Leaves:
        """Hand neighbouring bodies on, and hash them into leaves (RFC 9162, section 2.1.1)."""
        if not bodies:
            return []
        follow.take(end - len(bodies), bodies, is_plain=is_plain)
        if all(bodies):
            self.count += len(bodies)
            return [sha256(b"\x00" + body).digest() for body in bodies]
        for index, body in enumerate(bodies, end - len(bodies)):
            if body:
                self.count += 1
            else:
                self._erase(index)
        return [sha256(b"\x00" + body).digest() if body else None for body in bodies]

    def _is_ahead(self, told: bytes, tab: bytes, body: bytes, place: str) -> bool:
        """Tell whether a line that is not the next one is a later one; whatever is wrong with it is told."""
        try:
            index = decimal(told.decode("ascii"))
        except (UnicodeDecodeError, Malformed):
            index = -1
        if index < 0 or not tab or len(body) > _MOST_BODY:
            self._found.add("kit.line", place)
            return False
        if index < self._next or index > self.last:
            self._found.add("entry.order", index)
            return False
        self._lack(index)
        return True

    def _lack(self, end: int) -> None:
        self._found.add("entry.missing", span(self._next, end))
        self._next = end

    def _erase(self, index: int) -> None:
        self.erased += 1
        if self.runs and self.runs[-1][1] == index:
            self.runs[-1][1] = index + 1
        else:
            self.runs.append([index, index + 1])


def _is_plain(lines: bytes, count: int) -> bool:
    """Tell whether lines are UTF-8 without controls, but the one tab and the line feed of each."""
    try:
        lines.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return len(lines) - len(lines.translate(None, _CONTROLS_IN_LINES)) == 2 * count
