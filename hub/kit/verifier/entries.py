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
_NO_TEXT = bytes(set(range(32)) - {0x09, 0x0A})  # controls that stand in no line


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

    def take(self, index: int, body: bytes, *, is_plain: bool) -> None:
        """Take a body; ``is_plain`` says that it is UTF-8 without backslash and control."""

    def forget(self) -> None:
        """Hear of an erased body."""

    def flush(self) -> None:
        """Hear that some lines are done."""


class Entries:
    """Reads ``entries.tsv`` once, in order, and hands on what each line holds.

    Whoever follows gets every body in its place (``take``), and hears of each that is erased (``forget``).
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
        plain = _is_plain(lines)
        has_escapes = b"\\" in lines
        leaves: Leaves = []
        expected = self._next
        for at, row in enumerate(rows):
            told, tab, body = row.partition(b"\t")
            if told != b"%d" % expected or not tab or len(body) > _MOST_BODY or expected > self.last:
                self._next = expected
                if not self._is_ahead(told, tab, body, f"entries.tsv:{number + at}"):
                    continue
                leaves += [None] * (int(told) - expected)
                expected = int(told)
            if body:
                leaves.append(sha256(b"\x00" + body).digest())
                follow.take(expected, body, is_plain=plain and not (has_escapes and b"\\" in body))
                self.count += 1
            else:
                leaves.append(None)
                self._erase(expected)
                follow.forget()
            expected += 1
        self._next = expected
        follow.flush()
        return leaves

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


def _is_plain(lines: bytes) -> bool:
    """Tell whether lines are UTF-8 without controls but their own tabs and line ends, no tab in a body."""
    try:
        lines.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return len(lines.translate(None, _NO_TEXT)) == len(lines) and lines.count(b"\t") == lines.count(b"\n")
