"""Rows as they were read: batches of text columns beside the rows that could not be read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import polars as pl

from connectors.formats.refusal import refused

BLANKS: Final = " \t\u00a0\u2007\u202f"
"""What is stripped from both ends of a cell: space, tab and the spaces that do not break."""

_FAULTS: Final = {"place": pl.UInt32, "column": pl.String, "code": pl.String}


class Fault(NamedTuple):
    """One reason why one row could not be read: its place, the column's heading where known, the code."""

    place: int
    column: str | None
    code: str


@dataclass(frozen=True)
class Batch:
    """Some rows of a file, in the file's order.

    ``frame`` holds ``place`` (UInt32; the physical line on which the row starts, or the sheet's row, from 1)
    and one String column per field of the agreement in its order; "" is an empty cell, never null.
    ``faults`` holds the rows that could not be read, which are not in ``frame``: ``place``, ``column`` (the
    heading, or null) and ``code``; one line per fault, so that a place can occur more than once.
    """

    frame: pl.DataFrame
    faults: pl.DataFrame


class Assembly:
    """Gathers frames and faults of any size into batches of one size, and counts rows against the limit."""

    def __init__(self, names: Sequence[str], *, batch_rows: int, max_rows: int) -> None:
        self._empty = pl.DataFrame(schema={"place": pl.UInt32, **dict.fromkeys(names, pl.String)})
        self._batch_rows = batch_rows
        self._max_rows = max_rows
        self._frames: list[pl.DataFrame] = []
        self._height = 0
        self._faults: list[Fault] = []
        self._last_fault = 0
        self.rows = 0

    def add(self, frame: pl.DataFrame | None, faults: Sequence[Fault]) -> None:
        """Take rows and faults; raises Refused ``file.too_many_rows`` once they are more than agreed."""
        if frame is not None and frame.height:
            self._frames.append(frame)
            self._height += frame.height
            self.rows += frame.height
        for fault in faults:
            self.rows += fault.place != self._last_fault
            self._last_fault = fault.place
        self._faults.extend(faults)
        if self.rows > self._max_rows:
            message = f"the agreement takes at most {self._max_rows} rows in one file, the file has more"
            raise refused("file.too_many_rows", message)

    def full(self) -> Iterator[Batch]:
        """Every batch that is complete by now."""
        if self._height >= self._batch_rows:
            frame = pl.concat(self._frames, rechunk=False)
            whole = frame.height - frame.height % self._batch_rows
            self._frames = [frame.slice(whole)]
            self._height = frame.height - whole
            for start in range(0, whole, self._batch_rows):
                yield Batch(frame.slice(start, self._batch_rows), self._drain())
        if len(self._faults) >= self._batch_rows:
            yield Batch(self._empty, self._drain())

    def rest(self) -> Iterator[Batch]:
        """What is left at the end of the file."""
        if self._height or self._faults:
            frame = pl.concat([self._empty, *self._frames], rechunk=False)
            self._frames, self._height = [], 0
            yield Batch(frame, self._drain())

    def _drain(self) -> pl.DataFrame:
        faults = pl.DataFrame(self._faults, schema=_FAULTS, orient="row")
        self._faults = []
        return faults
