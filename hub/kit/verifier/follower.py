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

    def take(self, index: int, body: bytes, *, is_plain: bool) -> None:
        """Take the body of an entry."""
        if index in self._looked_for:
            self.kept[index] = body
        try:
            said = self._reader.read(body, is_plain=is_plain)
        except NotCanonical:
            self._fail("entry.canonical", index)
            return
        if said is None:
            self._fail("entry.catalogue", index)
            return
        asked, row = said
        self._course.take(index, asked)
        self._rows.append((index, b'"%d",' % index + row))
        if asked[0] in _EXPLAINS:
            explanation = explanation_of(index, body)
            if explanation is not None:
                self.explained.append(explanation)

    def forget(self) -> None:
        """Hear of an erased body: it has no row, and whatever was open may have ended there."""
        self._course.forget()

    def flush(self) -> None:
        """Hold the rows so far against the table."""
        self._table.take(self._rows)
        self._rows = []

    def _fail(self, code: str, index: int) -> None:
        self._found.add(code, index)
        self._rows.append((index, None))
