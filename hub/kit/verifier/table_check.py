"""The table for reading, held against the rows that the entries make."""

from __future__ import annotations

from hub.kit.verifier.members import Kit
from hub.kit.verifier.shapes import heading
from hub.kit.verifier.words import Findings

Row = "bytes | None"


class TableCheck:
    """Compares ``tables/entries.csv`` with expected rows, in order; the first difference is told, once."""

    def __init__(self, kit: Kit, found: Findings) -> None:
        self._found = found
        self._is_there = "tables/entries.csv" in kit.usable
        self._blocks = kit.blocks("tables/entries.csv")
        self._buffer, self._at = b"", 0
        self._is_over = not self._is_there
        self._told_before = found.of("kit.unreadable")

    def begin(self, first: int) -> None:
        """Compare the heading."""
        self.take([(first, heading())])

    def take(self, rows: list[tuple[int, bytes | None]]) -> None:
        """Compare the next rows; None stands for an entry that cannot be read: its row is passed over."""
        if self._is_over:
            return
        whole = b"".join([row or b"" for _, row in rows])
        if all(row is not None for _, row in rows) and self._read(len(whole)) == whole:
            self._at += len(whole)
            return
        for index, row in rows:
            if row is None:
                self._pass_over(index)
            elif self._read(len(row)) == row:
                self._at += len(row)
            else:
                self._differ(index)
                return

    def close(self, end: int) -> None:
        """See that nothing is left over."""
        if not self._is_over and self._read(1):
            self._differ(end)

    def _differ(self, index: int) -> None:
        self._is_over = True
        if self._found.of("kit.unreadable") == self._told_before:
            self._found.add("kit.table", index)

    def _read(self, size: int) -> bytes:
        """Look at the next bytes without taking them."""
        if len(self._buffer) - self._at < size:
            parts, there = [self._buffer[self._at :]], len(self._buffer) - self._at
            for block in self._blocks:
                parts.append(block)
                there += len(block)
                if there >= size:
                    break
            self._buffer, self._at = b"".join(parts), 0
        return self._buffer[self._at : self._at + size]

    def _pass_over(self, index: int) -> None:
        """Take the row of an entry, if it has one: up to the line end behind an even number of quotes."""
        if not self._read(32).startswith(b'"%d",' % index):
            return
        size = 0
        while True:
            text = self._read(size + 4096)
            end = text.find(b"\r\n", size)
            if end >= 0 and text.count(b'"', 0, end) % 2 == 0:
                self._at += end + 2
                return
            if end < 0 and len(text) < size + 4096:
                self._at += len(text)
                return
            size = end + 1 if end >= 0 else len(text) - 1
