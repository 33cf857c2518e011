import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import openpyxl
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from connectors.formats import open_reader, suffix, write_parcel
from connectors.formats.writing import SHEET
from hub.errors import Corrupt
from schemas.agreement import Agreement
from schemas.loading import load_agreement

AGREEMENTS = Path(schemas.__file__).parent / "agreements"
E2 = load_agreement(AGREEMENTS / "e2.yaml")
E3 = load_agreement(AGREEMENTS / "e3.yaml")
PATIENT = settings(deadline=None)


def output(agreement: Agreement, form: Literal["csv", "xlsx"]) -> Agreement:
    return agreement.model_copy(update={"output": agreement.output.model_copy(update={"format": form})})


def names(agreement: Agreement) -> list[str]:
    return [str(field.released_as) for field in agreement.released]


def frame(agreement: Agreement, *rows: list[str]) -> pl.DataFrame:
    columns = names(agreement)
    filled = [[*row, *[""] * (len(columns) - len(row))] for row in rows]
    return pl.DataFrame(filled, schema=dict.fromkeys(columns, pl.String), orient="row")


def written(frames: list[pl.DataFrame], agreement: Agreement) -> bytes:
    sink = io.BytesIO()
    write_parcel(iter(frames), sink, agreement)
    return sink.getvalue()


def sheet_rows(content: bytes) -> list[tuple[object, ...]]:
    book = openpyxl.load_workbook(io.BytesIO(content))
    assert book.sheetnames == [SHEET]
    return list(book.worksheets[0].iter_rows(values_only=True))


def test_csv_has_one_header_and_quotes_where_it_must() -> None:
    content = written([frame(E3, ["P1", 'a;"b"\nc']), frame(E3, ["Pü", "d"])], E3)
    rest = ";" * (len(names(E3)) - 2)
    assert content.decode() == ";".join(names(E3)) + f'\nP1;"a;""b""\nc"{rest}\nPü;d{rest}\n'
    assert suffix(E3) == "csv"


def test_no_rows_leave_the_header() -> None:
    assert written([], E3).decode() == ";".join(names(E3)) + "\n"
    assert sheet_rows(written([], E2)) == [tuple(names(E2))]


def test_xlsx_holds_text_cells_only() -> None:
    content = written([frame(E2, ["0123", "1990-01-02", "http://x"]), frame(E2, ["12.5"])], E2)
    header, first, second = sheet_rows(content)
    assert header == tuple(names(E2))
    assert first[:3] == ("0123", "1990-01-02", "http://x")
    assert second[0] == "12.5"
    assert suffix(E2) == "xlsx"
    sheet = zipfile.ZipFile(io.BytesIO(content)).read("xl/worksheets/sheet1.xml")
    assert b'<c r="A2" s="1" t="s">' in sheet
    assert b"<f>" not in sheet
    assert b"hyperlink" not in sheet


@pytest.mark.parametrize("agreement", [E2, E3, output(E3, "xlsx")])
def test_the_same_rows_make_the_same_bytes_however_they_are_cut(agreement: Agreement) -> None:
    rows = [[f"a{number}", "ü"] for number in range(10)]
    whole = written([frame(agreement, *rows)], agreement)
    assert whole == written([frame(agreement, *rows[:3]), frame(agreement, *rows[3:])], agreement)


def test_xlsx_tells_no_time_and_no_author() -> None:
    package = zipfile.ZipFile(io.BytesIO(written([frame(E2, ["a"])], E2)))
    assert {member.date_time for member in package.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    core = package.read("docProps/core.xml").decode()
    assert core.count("2000-01-01T00:00:00Z") == 2
    assert "<dc:creator></dc:creator>" in core


def test_xlsx_leaves_no_plain_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[object] = []
    monkeypatch.setattr("tempfile.mkstemp", touched.append)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    written([frame(E2, *[["a"]] * 100)], E2)
    assert touched == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("agreement", [E2, E3])
def test_other_columns_than_the_released_ones_are_never_written(agreement: Agreement) -> None:
    good = frame(agreement, ["a"])
    for bad in (
        good.select(reversed(good.columns)),
        good.drop(good.columns[-1]),
        good.with_columns(pl.lit("x").alias("last")),
        good.with_columns(pl.lit(1).alias(good.columns[0])),
    ):
        with pytest.raises(Corrupt, match=r"egress\.columns"):
            written([good, bad], agreement)


@pytest.mark.parametrize("agreement", [E2, E3])
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_would_run_is_never_written(agreement: Agreement, start: str) -> None:
    with pytest.raises(Corrupt, match=r"egress\.value") as caught:
        written([frame(agreement, ["a", f"{start}Kanarienvogel"])], agreement)
    assert "Kanarienvogel" not in str(caught.value)


@pytest.mark.parametrize("agreement", [E2, E3])
def test_a_null_is_never_written(agreement: Agreement) -> None:
    bad = frame(agreement, ["a"]).with_columns(pl.lit(None, dtype=pl.String).alias(names(agreement)[1]))
    with pytest.raises(Corrupt, match=r"egress\.value"):
        written([bad], agreement)


def test_a_text_too_long_for_a_cell_is_never_cut() -> None:
    assert sheet_rows(written([frame(E2, ["a" * 32_767])], E2))[1][0] == "a" * 32_767
    with pytest.raises(Corrupt, match=r"egress\.value"):
        written([frame(E2, ["a" * 32_768])], E2)


def test_more_rows_than_a_sheet_holds_are_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.formats.writing.MOST_SHEET_ROWS", 3)
    assert len(sheet_rows(written([frame(E2, ["a"], ["b"])], E2))) == 3
    with pytest.raises(Corrupt, match=r"egress\.value"):
        written([frame(E2, ["a"], ["b"], ["c"])], E2)


CELLS = st.text(
    st.one_of(st.sampled_from("\";,\n\t'aä€ß𝄞"), st.characters(exclude_categories=["Cs", "Cc"])), max_size=12
).filter(lambda cell: not cell.startswith(("=", "+", "-", "@", "\t", "\r")))


def tables(agreement: Agreement) -> st.SearchStrategy[list[list[str]]]:
    width = len(names(agreement))
    rows = st.lists(CELLS, min_size=width, max_size=width).filter(lambda row: bool("".join(row).strip()))
    return st.lists(rows, min_size=1, max_size=6)


def mirrored(agreement: Agreement) -> Agreement:
    """An agreement that takes in what the given one gives out, as text."""
    fields = [
        field.model_copy(update={"header": field.released_as, "check": "name", "required": False})
        for field in agreement.released
    ]
    key = agreement.delivery.model_copy(update={"key": ()})
    intake = agreement.intake.model_copy(update={"formats": ("csv", "xlsx")})
    return agreement.model_copy(update={"fields": tuple(fields), "delivery": key, "intake": intake})


def read_back(content: bytes, agreement: Agreement) -> Iterator[tuple[str, ...]]:
    reader = open_reader(io.BytesIO(content), size=len(content), agreement=mirrored(agreement))
    for batch in reader.batches():
        assert batch.faults.is_empty()
        yield from batch.frame.drop("place").iter_rows()


@PATIENT
@given(tables(E3))
def test_what_is_written_as_csv_reads_back_the_same(rows: list[list[str]]) -> None:
    content = written([frame(E3, *rows)], E3)
    assert list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=";"))[1:] == rows
    if rows[-1][0].strip().rstrip(":").strip().casefold() not in ("summe", "gesamt", "total", "insgesamt"):
        blanks = " \t\u00a0\u2007\u202f"
        assert list(read_back(content, E3)) == [tuple(cell.strip(blanks) for cell in row) for row in rows]


@PATIENT
@given(tables(E2))
def test_what_is_written_as_xlsx_reads_back_the_same(rows: list[list[str]]) -> None:
    blanks = " \t\u00a0\u2007\u202f"
    expected = [tuple(cell.strip(blanks) for cell in row) for row in rows]
    assert list(read_back(written([frame(E2, *rows)], E2), E2)) == expected
