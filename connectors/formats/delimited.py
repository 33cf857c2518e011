"""Delimited text (CSV, RFC 4180) read exactly: every byte is a cell's, a separator's or a reason's.

Blocks go through numpy, which finds the records and counts their cells; only records of the right shape
reach Polars, which parses them as text. Then the two are held against each other.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from connectors.formats import dialect, header, records
from connectors.formats.batch import BLANKS, Assembly, Batch, Fault
from connectors.formats.encoding import LONGEST_RECORD, LineStream, too_long
from connectors.formats.refusal import refused
from connectors.formats.totals import Totals, says_totals
from hub.errors import Corrupt
from schemas.agreement import Agreement

BLOCK: Final = 8 << 20
_FILLER: Final = b' \t\r\n"\xc2\xa0'
_REMEDY: Final = "Keep the submission and report it to the hub's maintainers; nothing was delivered from it."


@dataclass(frozen=True)
class _Held:
    """The last record so far: only what follows tells whether it is a row, a totals row or half a row."""

    text: bytes
    line: int
    fields: int
    faults: tuple[Fault, ...]
    blanks: bool


class DelimitedReader:
    """Reads one CSV file, forward only.

    ``notices`` (codes) fills while reading; ``columns`` tells each field's 0-based position in the file;
    ``sheet`` is None. Raises Refused ``file.*`` on opening and while reading, Corrupt
    ``read.disagreement`` where the parser's rows are not the counted ones.
    """

    def __init__(
        self,
        source: BinaryIO,
        opening: bytes,
        *,
        size: int,
        agreement: Agreement,
        batch_rows: int,
        block: int = BLOCK,
    ) -> None:
        intake = agreement.intake
        self.sheet: str | None = None
        self._fields = agreement.fields
        self._stream = LineStream(
            source, opening, size=size, max_bytes=intake.max_bytes, encodings=intake.encodings, block=block
        )
        self.notices = self._stream.notices
        self._segments = self._stream.segments()
        self._line = 1
        text = self._opening_text()
        self._delimiter, names, self._rest = dialect.split_header(text, agreement)
        self._line += text.count(b"\n", 0, len(text) - len(self._rest))
        found = header.match(names, self._fields)
        self.columns: Mapping[str, int] = found.positions
        self.notices.extend(found.notices)
        self._names = sorted(found.positions, key=found.positions.__getitem__)
        self._headers = {found.positions[field.name]: field.header for field in self._fields}
        self._totals = Totals(agreement, found.positions)
        self._held: _Held | None = None
        self._held_is_last = False
        self._rows = Assembly(
            [field.name for field in self._fields], batch_rows=batch_rows, max_rows=intake.max_rows
        )

    def batches(self) -> Iterator[Batch]:
        """Every row of the file in order, once; raises as the class says, also midway."""
        carry, self._rest = self._rest, b""
        for segment in self._segments:
            carry += segment
            if carry.endswith(b"\n"):
                carry = self._take(carry)
                yield from self._rows.full()
        cut = not carry.endswith(b"\n")
        if carry and self._take(carry + b"\n" if cut else carry):
            message = "a quotation mark is opened and never closed"
            raise refused("file.truncated" if cut else "file.quotes", message)
        self._settle(unfinished=cut and bool(carry) and self._held_is_last)
        if not self._rows.rows:
            raise refused("file.no_rows", "the file has a header line and no row")
        yield from self._rows.full()
        yield from self._rows.rest()

    def _opening_text(self) -> bytes:
        """The first lines of the file, without blank ones before the header, enough to hold any header."""
        text = b""
        for segment in self._segments:
            text += segment
            stripped = text.lstrip(b" \t\r\n")
            skipped = text.count(b"\n", 0, len(text) - len(stripped))
            self._line += skipped
            text = text.split(b"\n", skipped)[-1] if skipped else text
            if len(text) >= dialect.LONGEST_HEADER:
                break
        if not text.strip():
            raise refused("file.empty", "the file is empty")
        return text

    def _take(self, text: bytes) -> bytes:
        """Read the complete records of a text that ends with a line feed; return the incomplete rest."""
        if b"\r" in text and b'"' not in text:
            text = text.replace(b"\r\n", b"\n")
        found = records.find(text, self._delimiter)
        rest = text[found.consumed :]
        lengths = found.ends - found.starts
        if len(rest) > LONGEST_RECORD or (len(lengths) and int(lengths.max()) > LONGEST_RECORD):
            raise too_long()
        blank = _blank(text, found)
        last = self._last_filled(text, found, blank)
        if last is not None:
            self._read(text, found, blank, last)
        self._held_is_last = last == len(blank) - 1
        self._line += found.consumed_lines
        return rest

    def _last_filled(self, text: bytes, found: records.Records, blank: npt.NDArray[np.bool_]) -> int | None:
        """The last record that holds anything; the empty ones behind it (``;;;``) are marked as blank."""
        for index in range(len(found.ends) - 1, -1, -1):
            if not blank[index]:
                line = text[found.starts[index] : found.ends[index]]
                if found.fields[index] != len(self._fields) or not self._is_empty(line):
                    return index
                blank[index] = True
        return None

    def _is_empty(self, line: bytes) -> bool:
        # A carriage return that ends no line is a fault, and text where it stands in a quoted cell.
        if line.strip(_FILLER + self._delimiter) or b"\r" in line[:-1]:
            return False
        cells = dialect.cells(line, self._delimiter.decode())
        return bool(cells) and not any(cell.strip(BLANKS) for cell in cells)

    def _read(self, text: bytes, found: records.Records, blank: npt.NDArray[np.bool_], last: int) -> None:
        wrong = ~blank & (found.fields != len(self._fields))
        places = found.lines + self._line
        faults = [Fault(place, None, "row.field_count") for place in places[wrong].tolist()]
        rows, cells = records.controls(text, found)
        spoilt = np.zeros(len(blank), dtype=np.bool_)
        if len(rows):
            inside = ~wrong[rows] & ~blank[rows]
            rows, cells = rows[inside], cells[inside]
            spoilt[rows] = True
            pairs = sorted(set(zip(rows.tolist(), cells.tolist(), strict=True)))
            faults.extend(Fault(int(places[r]), self._headers[c], "value.characters") for r, c in pairs)
            faults.sort(key=lambda fault: fault.place)
        held_place = int(places[last])
        held = _Held(
            text=text[found.starts[last] : found.ends[last] + 1],
            line=held_place,
            fields=int(found.fields[last]),
            faults=tuple(fault for fault in faults if fault.place == held_place),
            blanks=found.blanks,
        )
        faults = faults[: len(faults) - len(held.faults)]
        good = ~(blank | wrong | spoilt)
        good[last:] = False
        clean = _cut_out(text, found, good)
        places = places[good]
        if self._held is not None:
            faults = [*self._held.faults, *faults]
            if not self._held.faults:
                clean = self._held.text + clean
                places = np.concatenate(([self._held.line], places))
        blanks = found.blanks or (self._held is not None and self._held.blanks)
        self._held = held
        self._rows.add(self._parse(clean, places, blanks=blanks), faults)

    def _parse(self, clean: bytes, places: records.Places, *, blanks: bool) -> pl.DataFrame | None:
        """The rows of whole, well-shaped records in the agreement's order, without rows of empty cells."""
        if not clean:
            return None
        frame = _exactly(clean, len(places), self._names, self._delimiter)
        names = [field.name for field in self._fields]
        place = pl.Series("place", places, dtype=pl.UInt32)
        frame = frame.select(place, pl.col(names).str.strip_chars(BLANKS) if blanks else pl.col(names))
        if not (frame[names[0]] == "").any():  # no row is empty whose first cell is filled
            return frame
        return frame.filter(~pl.all_horizontal(pl.col(names) == ""))

    def _settle(self, *, unfinished: bool) -> None:
        """Decide on the last record now that nothing follows it."""
        held = self._held
        if held is None:
            return
        self._held = None
        if held.faults and held.fields != len(self._fields):
            cells = held.text.decode().split(self._delimiter.decode())
            filled = [cell for cell in (cell.strip(BLANKS + '"\r\n') for cell in cells) if cell]
            if filled and says_totals(filled[0]):
                self._rows.add(None, [Fault(held.line, None, "row.totals_row")])
                return
            if unfinished and 0 < held.fields < len(self._fields):
                raise refused("file.truncated", "the last row is shorter than the others and has no line end")
        if held.faults:
            self._rows.add(None, held.faults)
            return
        frame = self._parse(held.text, np.array([held.line]), blanks=True)
        cells = [] if frame is None or frame.is_empty() else [frame[name][0] for name in self._names]
        if cells and self._totals.holds(cells):
            self._rows.add(None, [Fault(held.line, None, "row.totals_row")])
        else:
            self._rows.add(frame, [])


def _exactly(clean: bytes, height: int, names: Sequence[str], delimiter: bytes) -> pl.DataFrame:
    """Parse records as text and hold the outcome against their bytes.

    Raises Corrupt ``read.disagreement`` unless there are ``height`` rows without a missing cell and, where
    no quotation mark stands in the way, the cells and separators together are all the bytes there were.
    """
    quoted = b'"' in clean
    frame: pl.DataFrame | None = None
    # Polars' errors quote cells: the one error that leaves is raised outside of the handler.
    with contextlib.suppress(pl.exceptions.PolarsError, pl.exceptions.PanicException):
        frame = pl.read_csv(
            clean,
            has_header=False,
            separator=delimiter.decode(),
            quote_char='"' if quoted else None,
            schema=dict.fromkeys(names, pl.String),
            empty_string_is_null=False,
        )
    exact = frame is not None and frame.height == height and not any(frame.null_count().row(0))
    if frame is not None and exact and not quoted and b"\r" not in clean:
        octets = sum(frame.select(pl.all().str.len_bytes().cast(pl.UInt64).sum()).row(0))
        exact = octets + height * len(names) == len(clean)
    if frame is None or not exact:
        raise Corrupt("read.disagreement", "two ways of counting rows and cells disagree", _REMEDY)
    return frame


def _blank(text: bytes, found: records.Records) -> npt.NDArray[np.bool_]:
    """Which records are lines without anything but blanks."""
    empty = found.ends == found.starts
    blank: npt.NDArray[np.bool_] = empty.copy()
    for index in np.flatnonzero((found.fields == 1) & ~empty).tolist():
        blank[index] = not text[found.starts[index] : found.ends[index]].decode().strip(BLANKS + "\r")
    return blank


def _cut_out(text: bytes, found: records.Records, good: npt.NDArray[np.bool_]) -> bytes:
    """The good records alone, copied in runs."""
    if good.all():
        return text[: found.consumed]
    edges = np.flatnonzero(np.diff(good, prepend=False, append=False))
    begins, stops = found.starts[edges[::2]], found.ends[edges[1::2] - 1] + 1
    view = memoryview(text)
    return b"".join(view[begin:stop] for begin, stop in zip(begins.tolist(), stops.tolist(), strict=True))
