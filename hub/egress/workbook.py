"""The egress gate's own reading of a workbook parcel: one plain sheet of text cells, and nothing beside it.

The package is held against closed lists of parts, elements and words, so that no second sheet, formula,
comment, link, name or property has a place in it.
"""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final
from xml.etree import ElementTree as ET

import polars as pl

from hub.egress.alarm import stop

_BLOCK: Final = 4 << 20  # bytes
_ROWS: Final = 20_000  # in a frame
_SHEET: Final = "xl/worksheets/sheet1.xml"
_STRINGS: Final = "xl/sharedStrings.xml"
_BOOK: Final = "xl/workbook.xml"
_TAGS: Final = {  # elements that may occur; in parts without an entry any may, but no text
    _SHEET: frozenset(
        {"worksheet", "dimension", "sheetViews", "sheetView", "sheetFormatPr", "pageMargins"}
        | {"sheetData", "row", "c", "v", "is", "t"}
    ),
    _STRINGS: frozenset({"sst", "si", "t"}),
    _BOOK: frozenset(
        ["workbook", "fileVersion", "workbookPr", "bookViews", "workbookView", "sheets", "sheet", "calcPr"]
    ),
}
_PARTS: Final = _TAGS.keys() | {
    "[Content_Types].xml",
    "_rels/.rels",
    "docProps/app.xml",
    "docProps/core.xml",
    "xl/_rels/workbook.xml.rels",
    "xl/styles.xml",
    "xl/theme/theme1.xml",
}
_SHEET_NAME: Final = "Lieferung"
_PROPERTY: Final = re.compile(
    rf"|0|1|12\.0000|false|Worksheets|{_SHEET_NAME}|Microsoft Excel|2000-01-01T00:00:00Z"
)
_ATTRIBUTE: Final = re.compile(
    r"[A-Z]{0,3}[0-9]{0,7}(:[A-Z]{0,3}[0-9]{1,7})?|[0-9.]{1,8}|s|inlineStr|preserve"
)
_STAMP: Final = (1980, 1, 1, 0, 0, 0)


class WorkbookParcel:
    """One workbook (ISO/IEC 29500): one visible sheet of text cells, constant properties, no further part."""

    def __init__(self, parcel: BinaryIO, columns: tuple[str, ...]) -> None:
        self._parcel, self._columns = parcel, columns
        self._digest = hashlib.sha256()

    def sha256(self) -> str:
        """Digest (hex) of the whole file, once ``frames`` has begun."""
        return self._digest.hexdigest()

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows as String columns; Corrupt for whatever is not text in its place."""
        size = 0
        while data := self._parcel.read(_BLOCK):
            self._digest.update(data)
            size += len(data)
        try:
            with zipfile.ZipFile(self._parcel) as archive:
                _check_archive(archive, size)
                for part in sorted(_PARTS - {_SHEET, _STRINGS}):
                    _check_part(archive, part)
                yield from self._rows(archive)
        except (
            zipfile.BadZipFile,
            zlib.error,
            ET.ParseError,
            LookupError,
            ValueError,
            EOFError,
            RuntimeError,
        ):
            raise stop("format", "a whole workbook", "a damaged one") from None

    def _rows(self, archive: zipfile.ZipFile) -> Iterator[pl.DataFrame]:
        shared = _shared_strings(archive) if _STRINGS in archive.namelist() else []
        rows: list[list[str]] = []
        number = 0
        for element in _elements(archive, _SHEET):
            if _local(element) != "row":
                continue
            number += 1
            if element.get("r") != str(number) or element.get("hidden") is not None:
                raise stop("metadata", "visible rows one after the other", "others")
            rows.append(self._cells(element, number, shared))
            element.clear()
            if number == 1 and rows.pop() != list(self._columns):
                raise stop("columns", f"{len(self._columns)} agreed columns in the agreed order", "others")
            if len(rows) == _ROWS:
                yield self._frame(rows)
                rows = []
        if number == 0:
            raise stop("columns", "a header", "none")
        if rows:
            yield self._frame(rows)

    def _cells(self, row: ET.Element, number: int, shared: list[str]) -> list[str]:
        cells = {f"{_letters(position)}{number}": "" for position in range(len(self._columns))}
        for cell in row:
            if cell.get("r") not in cells:
                raise stop("columns", f"{len(self._columns)} agreed columns", "a cell outside them")
            cells[str(cell.get("r"))] = _cell_text(cell, shared)
        if len(row) > len(cells):
            raise stop("format", "each cell once", "one twice")
        return list(cells.values())

    def _frame(self, rows: list[list[str]]) -> pl.DataFrame:
        return pl.DataFrame(rows, schema=dict.fromkeys(self._columns, pl.String), orient="row")


def _check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Account for every byte of the archive: known parts, one after the other, without comment or stamp."""
    place = 0
    for part in archive.infolist():
        header = 30 + len(part.filename.encode())
        if part.header_offset != place or part.comment or part.extra or part.date_time != _STAMP:
            raise stop("metadata", "parts without gap, comment, extra field or time", "others")
        place += header + part.compress_size
    directory = sum(46 + len(part.filename.encode()) for part in archive.infolist())
    names = archive.namelist()
    if len(set(names)) != len(names) or not set(names) <= _PARTS or archive.comment:
        raise stop("metadata", "the parts of one plain sheet", "others")
    if place + directory + 22 != size:
        raise stop("format", "nothing before, between or behind the parts", "more bytes")


def _check_part(archive: zipfile.ZipFile, part: str) -> None:
    """Read a part around the sheet: the words that each of our workbooks has, one sheet, no link outwards."""
    sheets = []
    for element in _elements(archive, part):
        if element.get("TargetMode") is not None:
            raise stop("metadata", "no external link", "one")
        if part == _BOOK and _local(element) == "sheet":
            sheets.append((element.get("name"), element.get("state")))
    if part == _BOOK and sheets != [(_SHEET_NAME, None)]:
        raise stop("metadata", "one visible sheet of the agreed name", "others")


def _elements(archive: zipfile.ZipFile, part: str) -> Iterator[ET.Element]:
    """Parse a part, each element when it is whole; nothing in it may say more than its cells."""
    with archive.open(part) as source:
        if not re.match(rb"<\?xml [^<>]*\?>\s*<[A-Za-z]", source.read(200)):
            raise stop("format", "XML without a document type", "other content")
    tags = _TAGS.get(part)
    with archive.open(part) as source:
        for event, element in ET.iterparse(source, ("start", "end", "comment", "pi")):  # noqa: S314 -- no DTD
            if event in {"comment", "pi"} or (tags is not None and _local(element) not in tags):
                raise stop("metadata", "text cells only", "another element")
            if event == "end":
                _check_words(element, part)
                yield element


def _check_words(element: ET.Element, part: str) -> None:
    spoken = element.text or ""
    cell = part in {_SHEET, _STRINGS}
    if not (cell and _local(element) in {"t", "v"}) and not _PROPERTY.fullmatch(spoken.strip()):
        raise stop("metadata", "constant document properties", f"other text in {part}")
    if (element.tail or "").strip() or (cell and not all(map(_ATTRIBUTE.fullmatch, element.attrib.values()))):
        raise stop("metadata", "nothing between and about the cells", f"other text in {part}")


def _local(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _shared_strings(archive: zipfile.ZipFile) -> list[str]:
    items = (element for element in _elements(archive, _STRINGS) if _local(element) == "si")
    return [item[0].text or "" if len(item) == 1 else "" for item in items]


def _cell_text(cell: ET.Element, shared: list[str]) -> str:
    kind, inner = cell.get("t"), [_local(element) for element in cell.iter()][1:]
    if kind == "s" and inner == ["v"]:
        return shared[int(cell[0].text or "")]
    if kind == "inlineStr" and inner == ["is", "t"]:
        return cell[0][0].text or ""
    if not inner:
        return ""
    raise stop("format", "text cells only", "a cell of another kind")


def _letters(position: int) -> str:
    before, letter = divmod(position, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + letter)
