"""What a recipient is given: rows written as CSV or XLSX, the same bytes for the same rows."""

import io
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO, Final, Literal

import polars as pl
import xlsxwriter

from hub.errors import Corrupt
from hub.side_by_side import side_by_side
from schemas.agreement import Agreement

SHEET: Final = "Lieferung"
MOST_SHEET_ROWS: Final = 1_048_576
"""What a sheet holds, the header row included (ECMA-376 as Excel limits it)."""
_CREATED: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FORMULA_START: Final = r"\A[=+\-@\t\r]"
_REMEDY: Final = "Nothing was written for the recipient; report it to the hub's maintainers."


def suffix(agreement: Agreement) -> Literal["csv", "xlsx"]:
    """The file name's ending of a parcel under this agreement, without a dot."""
    return agreement.output.format


def write_parcel(frames: Iterator[pl.DataFrame], sink: BinaryIO, agreement: Agreement) -> None:
    """Write the frames' rows, all text, with one header line, as the agreement's output says.

    CSV is UTF-8 without byte order mark, lines end with a line feed, cells are quoted where RFC 4180 asks
    for it. XLSX holds one sheet of text cells; its properties and times are fixed. An empty iterator writes
    the header alone. Raises Corrupt ``egress.columns`` where a frame's columns are not exactly the released
    ones in their order, as text, and ``egress.value`` where a spreadsheet program would run a cell as a
    formula, a cell is null, or a sheet cannot hold it.
    """
    names = [field.released_as or field.name for field in agreement.released]
    if agreement.output.format == "csv":
        _write_csv(frames, sink, names, agreement.output.delimiter)
    else:
        _write_sheet((_checked(frame, names) for frame in frames), sink, names)


def _checked(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    if frame.columns != names or any(dtype != pl.String for dtype in frame.dtypes):
        message = f"expected the {len(names)} released text columns in their order, got {frame.width} columns"
        raise Corrupt("egress.columns", message, _REMEDY)
    if any(frame.null_count().row(0)):
        raise Corrupt("egress.value", "a cell is null where an empty one was expected", _REMEDY)
    runs = pl.any_horizontal(pl.all().str.contains(_FORMULA_START).any())
    if frame.height and frame.select(runs).item():
        raise Corrupt("egress.value", "a cell begins like a formula", _REMEDY)
    return frame


def _write_csv(frames: Iterator[pl.DataFrame], sink: BinaryIO, names: list[str], delimiter: str) -> None:
    header = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    sink.write(_csv(header, delimiter, include_header=True))

    def checked_text(frame: pl.DataFrame) -> bytes:
        return _csv(_checked(frame, names), delimiter, include_header=False)

    sink.writelines(side_by_side(checked_text, frames))


def _csv(frame: pl.DataFrame, delimiter: str, *, include_header: bool) -> bytes:
    text = io.BytesIO()
    if frame.width > 1:
        # Polars tells "" from null by quoting it; nobody else does.
        frame = frame.with_columns(pl.when(pl.all() != "").then(pl.all()))
    frame.write_csv(
        text,
        include_header=include_header,
        separator=delimiter,
        line_terminator="\n",
        quote_style="necessary",
        null_value="",
    )
    return text.getvalue()


def _write_sheet(frames: Iterator[pl.DataFrame], sink: BinaryIO, names: list[str]) -> None:
    # In memory, because xlsxwriter's other ways put plain rows into files in the system's temporary folder.
    package = io.BytesIO()
    guesses = dict.fromkeys(("strings_to_numbers", "strings_to_formulas", "strings_to_urls"), False)
    book = xlsxwriter.Workbook(package, {"in_memory": True, **guesses})
    book.set_properties({"created": _CREATED})
    # The text format keeps a leading zero where somebody edits the cell.
    text = book.add_format({"num_format": "@"})
    sheet = book.add_worksheet(SHEET)
    rows = itertools.chain.from_iterable(frame.iter_rows() for frame in frames)
    for row, cells in enumerate(itertools.chain([tuple(names)], rows)):
        if row == MOST_SHEET_ROWS:
            message = f"a sheet holds at most {MOST_SHEET_ROWS} rows, there are more"
            raise Corrupt("egress.value", message, _REMEDY)
        if any(sheet.write_string(row, column, cell, text) for column, cell in enumerate(cells)):
            raise Corrupt("egress.value", "a cell is longer than a sheet can hold", _REMEDY)
    book.close()
    sink.write(package.getvalue())
