"""Files that are wrong as a whole, or odd and yet acceptable, each with the code that must come of it."""

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from schemas.agreement import Agreement
from schemas.samples.files import FileForm, csv_bytes
from schemas.samples.recipes import FileFormat
from schemas.samples.sample import sample


@dataclass(frozen=True)
class BrokenFile:
    """A file's bytes and the code that the hub must answer with; the code's fate tells whether it is taken.

    ``row_total`` is the control total that its sender announces with it, None for none.
    """

    name: str
    content: bytes
    suffix: FileFormat
    expected_code: str
    row_total: int | None = None


def broken_files(agreement: Agreement, rows: int, seed: int) -> Iterator[BrokenFile]:
    """Every file-level error, made of one and the same good sample of so many rows."""
    good = csv_bytes(sample(agreement, rows, seed, file_format="csv"))
    for name, (make, code) in _TEXTS.items():
        yield BrokenFile(name, make(good), "csv", code)
    western = sample(agreement, rows, seed, file_format="csv", alphabet="windows-1252", canary="Groß")
    forms = {
        "byte_order_mark": (FileForm(bom=True), "file.byte_order_mark"),
        "windows_1252": (FileForm(encoding="windows-1252"), "file.encoding_windows_1252"),
        "utf_16": (FileForm(encoding="utf-16", bom=True), "file.encoding"),
        "pipes": (FileForm(delimiter="|"), "file.delimiter"),
    }
    for name, (form, code) in forms.items():
        yield BrokenFile(name, csv_bytes(western, form), "csv", code)
    yield BrokenFile(
        "junk", np.random.default_rng(seed).bytes(4096).replace(b"\n", b"\0"), "csv", "file.format"
    )
    yield BrokenFile("other_archive", _archive(), "xlsx", "file.format")
    yield BrokenFile("row_total_too_high", good, "csv", "file.row_total", row_total=rows + 1)


def _archive() -> bytes:
    """A sound zip archive that is no workbook."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("Liste.txt"), "nichts")
    return buffer.getvalue()


def _header(change: Callable[[list[str]], list[str]]) -> Callable[[bytes], bytes]:
    """The file with another first line."""

    def changed(good: bytes) -> bytes:
        line, rest = good.decode().split("\n", 1)
        return (";".join(change(line.split(";"))) + "\n" + rest).encode()

    return changed


def _each_line(change: Callable[[list[str]], list[str]]) -> Callable[[bytes], bytes]:
    """The file with the same change in the cells of every line; samples without errors quote nothing."""

    def changed(good: bytes) -> bytes:
        lines = good.decode().splitlines()
        return ("\n".join(";".join(change(line.split(";"))) for line in lines) + "\n").encode()

    return changed


def _cut_row(good: bytes) -> bytes:
    """Half a file: the last row ends within its third cell."""
    start = good.rstrip(b"\n").rfind(b"\n") + 1
    return good[:start] + b";".join(good[start:].split(b";")[:3])


def _cut_quotes(good: bytes) -> bytes:
    """Half a file: the last row ends within a quoted cell."""
    head, _, tail = _cut_row(good).rpartition(b";")
    return head + b';"' + tail


def _open_quotes(good: bytes) -> bytes:
    """A quotation mark in the last row that nobody closes, though the row is complete."""
    start = good.rstrip(b"\n").rfind(b"\n") + 1
    return good[:start] + b'"' + good[start:]


_TEXTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "file.empty"),
    "header_only": (lambda good: good[: good.index(b"\n") + 1], "file.no_rows"),
    "cut_in_a_row": (_cut_row, "file.truncated"),
    "cut_in_quotes": (_cut_quotes, "file.truncated"),
    "open_quotes": (_open_quotes, "file.quotes"),
    "wrong_header": (_header(lambda names: [f"Spalte {i}" for i, _ in enumerate(names)]), "file.header"),
    "missing_column": (_each_line(lambda cells: cells[:-1]), "file.header"),
    "extra_column": (_each_line(lambda cells: [*cells, cells[-1] + "_2"]), "file.header"),
    "doubled_column": (_each_line(lambda cells: [*cells, cells[1]]), "file.header"),
    "reordered_header": (_each_line(lambda cells: cells[::-1]), "file.header_reordered"),
    "blanks_in_header": (_header(lambda names: [f" {name} " for name in names]), "file.header_blanks"),
}
