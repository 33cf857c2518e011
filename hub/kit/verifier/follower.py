"""Follows the entries body by body: reads them, checks their course, makes the rows of the table."""

from __future__ import annotations

from hub.kit.verifier.canonical import NotCanonical
from hub.kit.verifier.course import Course
from hub.kit.verifier.retained import Explanation, explanation_of
from hub.kit.verifier.shapes import Reader
from hub.kit.verifier.table_check import TableCheck
from hub.kit.verifier.words import Findings

_EXPLAINS = (b"retention", b"restore")


class Follower:
    """What happens to each body in its turn; ``looked_for`` are indexes whose bodies are kept."""

    def __init__(self, found: Findings, course: Course, table: TableCheck, looked_for: set[int]) -> None:
        self._found, self._course, self._table = found, course, table
        self._looked_for = looked_for
        self._reader = Reader()
        self._rows: list[tuple[int, bytes | None]] = []
        self.kept: dict[int, bytes] = {}
        self.explained: list[Explanation] = []

    def take(self, index: int, bodies: list[bytes], *, is_plain: bool) -> None:
        """Take neighbouring bodies; an empty one is erased: it has no row, and may have told of any end."""
        read, follow, add = self._reader.read, self._course.take, self._rows.append
        looked_for, has_escapes = self._looked_for, b"\\" in b"".join(bodies)
        for body in bodies:
            if index in looked_for:
                self.kept[index] = body
            if not body:
                self._course.forget()
            else:
                try:
                    said = read(index, body, is_plain and not (has_escapes and b"\\" in body))
                except NotCanonical:
                    self._fail("entry.canonical", index)
                else:
                    if said is None:
                        self._fail("entry.catalogue", index)
                    else:
                        kind, asked, row = said
                        follow(index, kind, asked)
                        add((index, row))
                        if kind in _EXPLAINS:
                            self._explain(index, body)
            index += 1
        self._table.take(self._rows)
        self._rows.clear()

    def _explain(self, index: int, body: bytes) -> None:
        explanation = explanation_of(index, body)
        if explanation is not None:
            self.explained.append(explanation)

    def _fail(self, code: str, index: int) -> None:
        self._found.add(code, index)
        self._rows.append((index, None))
