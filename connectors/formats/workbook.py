"""A workbook's sheets and their rows, through openpyxl, whose every failure becomes one refusal."""

import itertools
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import openpyxl
from openpyxl.worksheet._read_only import ReadOnlyWorksheet
from openpyxl.worksheet._reader import WorkSheetParser

from connectors.formats.archive import check_archive
from connectors.formats.cells import Cell
from connectors.formats.refusal import refused
from hub.errors import Corrupt

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
            raise Corrupt("read.guard", "expected XML to be guarded by defusedxml", "Install the locked packages.")
        check_archive(source)
        source.seek(0)
        self._book: Any = _guarded(
            lambda: openpyxl.load_workbook(source, read_only=True, data_only=False, keep_links=False)
        )
        sheets = [sheet for sheet in self._book.worksheets if isinstance(sheet, ReadOnlyWorksheet)]
        visible = [sheet for sheet in sheets if sheet.sheet_state == "visible"]
        self.sheets: list[str] = [str(sheet.title) for sheet in visible or sheets[:1]]
        if not self.sheets:
            raise refused("file.format", "the workbook holds no sheet of cells")

    def rows(self, title: str) -> Iterator[Row]:
        """The rows of a sheet that hold anything, from the top."""
        sheet = self._book[title]
        with _guarded(sheet._get_source) as part:  # noqa: SLF001 -- see the class
            parser = WorkSheetParser(
                part,
                sheet._shared_strings,  # noqa: SLF001
                data_only=False,
                epoch=self._book.epoch,
                date_formats=self._book._date_formats,  # noqa: SLF001
                timedelta_formats=self._book._timedelta_formats,  # noqa: SLF001
            )
            found = parser.parse()
            last = 0
            while chunk := _guarded(lambda: list(itertools.islice(found, _CHUNK))):
                for number, cells in chunk:
                    row = _guarded(lambda number=number, cells=cells: _row(number, cells, last))
                    last = row.number
                    if row.cells:
                        yield row

    def close(self) -> None:
        """Let go of the archive; the source stays open, it is the caller's."""
        self._book.close()


def _row(number: int, found: list[dict[str, Any]], last: int) -> Row:
    columns = [cell["column"] for cell in found]
    ordered = all(left < right for left, right in itertools.pairwise([0, *columns, MOST_COLUMNS + 1]))
    if not (last < number <= MOST_ROWS and ordered):
        raise ValueError
    cells = [Cell(cell["column"], cell["value"], cell["data_type"]) for cell in found]
    return Row(number, [cell for cell in cells if not cell.is_empty])


def _guarded(step: Callable[[], _Result]) -> _Result:
    """Do one step of openpyxl's; whatever it raises or warns about may quote a cell and goes no further."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return step()
        except (MemoryError, OSError) as error:
            # The machine's trouble, not the file's, unless the archive itself is what cannot be read.
            if not isinstance(error, zipfile.BadZipFile) and error.args and isinstance(error.args[0], int):
                raise
        except Exception:  # noqa: BLE001, S110 -- a broken document fails anywhere in openpyxl, with anything
            pass
    raise refused("file.format", "the workbook cannot be read: it is damaged or not a plain .xlsx")
