"""A workbook's sheets and their rows, through openpyxl, whose every failure becomes one refusal."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import openpyxl
from openpyxl.worksheet._read_only import ReadOnlyWorksheet
from openpyxl.worksheet._reader import WorkSheetParser

from connectors.formats.archive import check_archive
from connectors.formats.cells import Cell
from connectors.formats.refusal import refused
from hub.errors import Corrupt, HubError

MOST_ROWS: Final = 1_048_576
MOST_COLUMNS: Final = 16_384
_CHUNK: Final = 1000

_Result = TypeVar("_Result")


class Row(NamedTuple):
    """A sheet's row: its number (from 1) and its cells that hold anything, by column."""

    number: int
    cells: list[Cell]


class Workbook:
    """An opened workbook. Raises Refused ``file.format`` and ``file.archive``.

    openpyxl's own row iteration fills gaps and trusts the sheet's stated size, so that a wrong one cuts
    rows off silently; the parser beneath it yields what is there, and that is used here.
    """

    def __init__(self, source: BinaryIO) -> None:
        if not openpyxl.DEFUSEDXML:
            raise Corrupt("read.guard", "defusedxml does not guard the XML", "Install the locked packages.")
        check_archive(source)
        source.seek(0)
        self._book: Any = _guarded(
            lambda: openpyxl.load_workbook(source, read_only=True, data_only=False, keep_links=False)
        )
        sheets: list[Any] = [sheet for sheet in self._book.worksheets if isinstance(sheet, ReadOnlyWorksheet)]
        visible = [sheet for sheet in sheets if sheet.sheet_state == "visible"]
        self._sheets = {str(sheet.title): sheet for sheet in visible or sheets[:1]}
        self.sheets = list(self._sheets)
        if not self.sheets:
            raise refused("file.format", "the workbook holds no sheet of cells")

    def rows(self, title: str) -> Iterator[Row]:
        """The rows of a sheet that hold anything, from the top."""
        sheet = self._sheets[title]
        with _guarded(sheet._get_source) as part:  # noqa: SLF001 -- see the class
            parser = WorkSheetParser(
                part,
                sheet._shared_strings,  # noqa: SLF001
                data_only=False,
                epoch=self._book.epoch,
                date_formats=self._book._date_formats,  # noqa: SLF001
                timedelta_formats=self._book._timedelta_formats,  # noqa: SLF001
            )
            rows = _rows(parser.parse())
            while chunk := _guarded(lambda: list(itertools.islice(rows, _CHUNK))):
                yield from (row for row in chunk if row.cells)

    def close(self) -> None:
        """Let go of the archive; the source stays open, it is the caller's."""
        self._book.close()


def _rows(found: Iterator[Any]) -> Iterator[Row]:
    """The parser's rows; raises ValueError where they or their cells do not stand in order."""
    last = 0
    for number, cells in found:
        columns = [0, *(cell["column"] for cell in cells), MOST_COLUMNS + 1]
        ordered = all(left < right for left, right in itertools.pairwise(columns))
        if not (last < number <= MOST_ROWS and ordered):
            raise ValueError
        last = number
        read = (Cell(cell["column"], cell["value"], cell["data_type"]) for cell in cells)
        yield Row(number, [cell for cell in read if not cell.is_empty])


def _guarded(step: Callable[[], _Result]) -> _Result:
    """Do one step of openpyxl's; whatever it raises or warns about may quote a cell and goes no further."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return step()
        except (HubError, MemoryError):
            raise
        except Exception as error:
            # A disk's trouble is not the file's: that goes on, and carries an error number.
            if isinstance(error, OSError) and error.errno is not None:
                raise
    raise refused("file.format", "the workbook cannot be read: it is damaged or not a plain .xlsx")
