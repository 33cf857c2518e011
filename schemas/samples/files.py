"""Samples as files, in every dialect that partners write."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, Literal

import polars as pl
import xlsxwriter

from schemas.samples.recipes import FileFormat
from schemas.samples.sample import Mangling, Sample

_DECIMAL_CHECKS: Final = ("decimal",)
_CREATED: Final = datetime(2025, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # the same sample is the same bytes


@dataclass(frozen=True)
class FileForm:
    """How a file is written. All but ``format`` concerns CSV."""

    format: FileFormat = "csv"
    delimiter: str = ";"
    encoding: Literal["utf-8", "windows-1252", "utf-16"] = "utf-8"
    bom: bool = False
    newline: Literal["\n", "\r\n"] = "\n"
    decimal: Literal[",", "."] = ","


def write_sample(sample: Sample, path: Path, form: FileForm | None = None) -> None:
    """Write a sample; as CSV in UTF-8 with semicolons, or as XLSX, where no other form is asked for.

    Raises:
        ValueError: the sample was made for files of the other format.
        UnicodeEncodeError: the encoding cannot write a name (``sample(..., alphabet=...)``).
    """
    form = form or FileForm(format=sample.file_format)
    if form.format != sample.file_format:
        message = f"expected a sample made for {form.format}, got one for {sample.file_format}"
        raise ValueError(message)
    with path.open("wb") as file:
        if form.format == "xlsx":
            _write_workbook(sample, file)
        else:
            for piece in _csv(sample, form):
                file.write(piece)


def write_consents(sample: Sample, path: Path) -> None:
    """Write a sample's consents as the CSV file that ``hub consent import`` reads."""
    if sample.consents is None:
        message = f"{sample.agreement.id} rests on no consent"
        raise ValueError(message)
    _bare(sample.consents).write_csv(path, separator=";")


def csv_bytes(sample: Sample, form: FileForm | None = None) -> bytes:
    """A sample as the bytes of a CSV file."""
    return b"".join(_csv(sample, form or FileForm()))


def _csv(sample: Sample, form: FileForm) -> Iterator[bytes]:
    decimals = [f.header for f in sample.agreement.fields if f.check in _DECIMAL_CHECKS]
    frame = sample.frame
    if form.decimal == ".":
        frame = frame.with_columns(pl.col(decimals).str.replace(",", ".", literal=True))
    if form.bom:
        yield "\ufeff".encode(form.encoding)
    yield _lines(frame.clear(), form, header=True)
    done = 0
    for place, mangling in sorted(sample.mangled.items()):
        yield _lines(frame.slice(done, place - done), form)
        yield _lines(_mangled(frame.slice(place, 1), mangling), form)
        done = place + 1
    yield _lines(frame.slice(done), form)


def _lines(frame: pl.DataFrame, form: FileForm, *, header: bool = False) -> bytes:
    text = _bare(frame).write_csv(
        separator=form.delimiter, line_terminator=form.newline, include_header=header
    )
    encoding = "utf-16-le" if form.encoding == "utf-16" else form.encoding
    return text.encode(encoding)


def _bare(frame: pl.DataFrame) -> pl.DataFrame:
    """Nothing where there is no text: an empty text would be written as a pair of quotation marks."""
    return frame.with_columns(pl.all().replace("", None))


def _mangled(row: pl.DataFrame, mangling: Mangling) -> pl.DataFrame:
    """One row without its last cell, or with one too many."""
    if mangling == "short":
        return row.select(row.columns[:-1])
    return row.with_columns(pl.lit("1").alias("Überzählig"))


def _write_workbook(sample: Sample, file: BinaryIO) -> None:
    """One sheet of text cells; a mangled row has its identifying number as a numeric cell."""
    numbered = [i for i, f in enumerate(sample.agreement.fields) if f.check == "course_number"]
    workbook = xlsxwriter.Workbook(file, {"strings_to_formulas": False, "strings_to_urls": False})
    workbook.set_properties({"created": _CREATED, "author": "Kreisvolkshochschule"})
    sheet = workbook.add_worksheet("Daten")
    sheet.write_row(0, 0, sample.frame.columns)
    for place, cells in enumerate(sample.frame.iter_rows()):
        for column, text in enumerate(cells):
            if place in sample.mangled and column in numbered:
                sheet.write_number(place + 1, column, int(text))
            elif text:
                sheet.write_string(place + 1, column, text)
    workbook.close()
