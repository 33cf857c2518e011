"""Workbooks (XLSX, ECMA-376) read exactly: the first visible sheet that carries the agreed header."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

import polars as pl

from connectors.formats import header
from connectors.formats.batch import Assembly, Batch, Fault
from connectors.formats.cells import Reading, read_cell
from connectors.formats.refusal import refused
from connectors.formats.totals import Totals
from connectors.formats.workbook import Row, Workbook
from schemas.agreement import Agreement

ROWS_BEFORE_HEADER: Final = 10
"""Empty rows that may stand above the header row."""
_FRAME_ROWS: Final = 1000


@dataclass(frozen=True)
class _Read:
    """A row's texts by position and its faults."""

    place: int
    readings: tuple[Reading, ...]
    faults: tuple[Fault, ...]


class SpreadsheetReader:
    """Reads one workbook from a seekable source.

    ``sheet`` is the name of the sheet that carries the header, ``columns`` tells each field's 0-based
    column, ``notices`` (codes) what was odd. Places are the sheet's row numbers. Raises Refused ``file.*``.
    """

    def __init__(self, source: BinaryIO, *, agreement: Agreement, batch_rows: int) -> None:
        self._fields = agreement.fields
        self._book = Workbook(source)
        title, top, names = self._find_header()
        found = header.match(names, self._fields)
        self.sheet: str | None = title
        self.columns: Mapping[str, int] = found.positions
        self.notices = list(found.notices)
        self._top = top
        self._by_position = {found.positions[field.name]: field for field in self._fields}
        self._totals = Totals(agreement, found.positions)
        self._rows = Assembly(
            [field.name for field in self._fields], batch_rows=batch_rows, max_rows=agreement.intake.max_rows
        )

    def batches(self) -> Iterator[Batch]:
        """Every row of the sheet in order, once; raises as the class says, also midway."""
        pending: list[_Read] = []
        for row in self._book.rows(str(self.sheet)):
            if row.number <= self._top:
                continue
            # The last row is held back: only what follows tells whether it is a totals row.
            if len(pending) > _FRAME_ROWS:
                self._add(pending[:-1])
                pending = pending[-1:]
                yield from self._rows.full()
            pending.append(self._read(row))
        if not pending:
            raise refused("file.no_rows", "the sheet has a header row and no other")
        last = pending.pop()
        self._add(pending)
        if self._is_totals(last):
            self._rows.add(None, [Fault(last.place, None, "row.totals_row")])
        else:
            self._add([last])
        self._book.close()
        yield from self._rows.full()
        yield from self._rows.rest()

    def _find_header(self) -> tuple[str, int, list[str]]:
        """The sheet, the row and the names of the header; of several sheets without one the likeliest."""
        candidates = []
        for title in self._book.sheets:
            first = next(self._book.rows(title), None)
            if first is None or first.number > ROWS_BEFORE_HEADER + 1:
                continue
            names = _names(first)
            if header.fits(names, self._fields):
                return title, first.number, names
            candidates.append((header.kinship(names, self._fields), title, first.number, names))
        if not candidates:
            if len(self._book.sheets) == 1 and next(self._book.rows(self._book.sheets[0]), None) is None:
                raise refused("file.empty", "the sheet is empty")
            message = f"expected the header within the first {ROWS_BEFORE_HEADER + 1} rows of a sheet"
            raise refused("file.header", message)
        return max(candidates, key=lambda candidate: candidate[0])[1:]

    def _read(self, row: Row) -> _Read:
        readings = [Reading("", None)] * len(self._fields)
        faults = []
        for cell in row.cells:
            field = self._by_position.get(cell.column - 1)
            if field is None:
                faults.append(Fault(row.number, None, "row.field_count"))
                break
            reading = readings[cell.column - 1] = read_cell(cell, field)
            if reading.code is not None:
                faults.append(Fault(row.number, field.header, reading.code))
        return _Read(row.number, tuple(readings), tuple(faults))

    def _add(self, rows: list[_Read]) -> None:
        good = [(row.place, *(reading.text for reading in row.readings)) for row in rows if not row.faults]
        names = ["place", *(self._by_position[position].name for position in range(len(self._fields)))]
        schema = dict.fromkeys(names, pl.String) | {"place": pl.UInt32}
        frame = pl.DataFrame(good, schema=schema, orient="row")
        frame = frame.select("place", *(field.name for field in self._fields))
        self._rows.add(frame, [fault for row in rows for fault in row.faults])

    def _is_totals(self, row: _Read) -> bool:
        # A sum is mostly a formula or a number in a column of another kind: unreadable, and filled.
        texts = [reading.text if reading.code is None else "0" for reading in row.readings]
        return self._totals.holds(texts)


def _names(row: Row) -> list[str]:
    names = [""] * row.cells[-1].column
    for cell in row.cells:
        if isinstance(cell.value, str) and cell.kind == "s":
            names[cell.column - 1] = cell.value
    return names
