import datetime as dt
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from connectors.formats import Reader, archive, column_letter, open_reader
from hub.errors import Corrupt, HubError, Refused
from schemas.agreement import Agreement
from schemas.loading import load_agreement

AGREEMENTS = Path(schemas.__file__).parent / "agreements"
E2 = load_agreement(AGREEMENTS / "e2.yaml")
E3 = load_agreement(AGREEMENTS / "e3.yaml").model_copy(update={"intake": E2.intake})
HEADERS = [field.header for field in E2.fields]
WIDTH = len(HEADERS)
CANARY = "Kanarienvogel"
PATIENT = settings(deadline=None)
ROW: list[object] = [
    "Meier", "Anna", dt.date(1990, 2, 1), "01234567", "Intensiv", 3, 4.5, dt.datetime(2026, 5, 4), "§44"  # noqa: DTZ001
]  # fmt: skip
TEXTS = ("Meier", "Anna", "1990-02-01", "01234567", "Intensiv", "3", "4.5", "2026-05-04", "§44")
Faults = list[tuple[Any, ...]]


def row(**cells: object) -> list[object]:
    """A good row with these cells in place of its own, by the field's name."""
    names = [field.name for field in E2.fields]
    return [cells.get(name, value) for name, value in zip(names, ROW, strict=True)]


def workbook(*rows: list[object], prepare: Callable[[Any], None] | None = None) -> bytes:
    book = openpyxl.Workbook()
    for cells in rows:
        book.worksheets[0].append(cells)
    if prepare is not None:
        prepare(book)
    package = io.BytesIO()
    book.save(package)
    return package.getvalue()


def shared(*rows: list[str]) -> bytes:
    """A workbook whose texts stand in the table of shared strings, as Excel writes them."""
    package = io.BytesIO()
    with xlsxwriter.Workbook(package, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, cells in enumerate([HEADERS, *rows]):
            for column, cell in enumerate(cells):
                sheet.write_string(number, column, cell)
    return package.getvalue()


def opened(content: bytes, agreement: Agreement = E2, batch_rows: int = 100_000) -> Reader:
    return open_reader(io.BytesIO(content), size=len(content), agreement=agreement, batch_rows=batch_rows)


def gather(reader: Reader) -> tuple[pl.DataFrame, Faults]:
    batches = list(reader.batches())
    faults = [fault for batch in batches for fault in batch.faults.rows()]
    return pl.concat([batch.frame for batch in batches]), faults


def read(*rows: list[object]) -> tuple[pl.DataFrame, Faults]:
    return gather(opened(workbook(list(HEADERS), *rows)))


def code(content: bytes, agreement: Agreement = E2) -> str:
    with pytest.raises(Refused) as caught:
        gather(opened(content, agreement))
    assert caught.value.remedy
    return caught.value.code


def repacked(content: bytes, **changes: bytes | None) -> bytes:
    """The archive with parts replaced, added or left out; the keyword is the part's last name."""
    package = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            change = changes.get(Path(name).stem, old.read(name))
            if change is not None:
                new.writestr(name, change)
    return package.getvalue()


def with_part(content: bytes, name: str, part: bytes) -> bytes:
    package = io.BytesIO(content)
    with zipfile.ZipFile(package, "a", zipfile.ZIP_DEFLATED) as archived:
        archived.writestr(name, part)
    return package.getvalue()


def test_cells_become_the_text_that_their_column_expects() -> None:
    reader = opened(workbook(list(HEADERS), ROW))
    frame, faults = gather(reader)
    assert frame.columns == ["place", *(field.name for field in E2.fields)]
    assert frame.rows() == [(2, *TEXTS)]
    assert faults == []
    assert reader.notices == []
    assert reader.sheet == "Sheet"
    assert [column_letter(position) for position in reader.columns.values()] == list("ABCDEFGHI")


@pytest.mark.parametrize(
    ("position", "letters"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA")]
)
def test_columns_have_a_spreadsheets_letters(position: int, letters: str) -> None:
    assert column_letter(position) == letters


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (12.0, "12"),
        (100, "100"),
        (0.1, "0.1"),
        (1e22, "1" + "0" * 22),
        (-2.50, "-2.5"),
        (1e-7, "0.0000001"),
        (0, "0"),
    ],
)
def test_numbers_become_exact_decimal_text(number: float, text: str) -> None:
    assert read(row(missed_hours=number))[0]["missed_hours"].to_list() == [text]


def test_a_month_is_taken_from_a_date() -> None:
    headers = [field.header for field in E3.fields]
    cells: list[object] = [""] * len(headers)
    cells[0], month = "KVHS-0000001", [field.name for field in E3.fields].index("reporting_month")
    cells[month] = dt.date(2026, 5, 1)
    frame, faults = gather(opened(workbook(list(headers), cells), E3))
    assert frame["reporting_month"].to_list() == ["2026-05"]
    assert faults == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("course_number", 1234567, "value.number_cell"),
        ("course_number", dt.date(2026, 1, 2), "value.number_cell"),
        ("last_name", 12.5, "value.number_cell"),
        ("birth_date", 32905, "value.serial_date"),
        ("birth_date", dt.datetime(1990, 1, 1, 12, 30), "value.format"),  # noqa: DTZ001
        ("missed_on", dt.time(12, 30), "value.format"),
        ("missed_hours", True, "value.format"),
        ("missed_hours", dt.date(2026, 1, 2), "value.format"),
        ("missed_hours", "#N/A", "value.format"),
        ("last_name", "=A1", "value.formula"),
        ("missed_hours", "=SUM(G2:G2)", "value.formula"),
        ("first_name", "a_x0007_b", "value.characters"),
    ],
)
def test_a_cell_of_the_wrong_type_is_a_fault_of_its_column(name: str, value: object, reason: str) -> None:
    frame, faults = read(ROW, row(**{name: value}), ROW)
    assert frame["place"].to_list() == [2, 4]
    assert faults == [(3, E2.field(name).header, reason)]


def test_a_row_with_several_faults_is_told_by_each_of_them() -> None:
    _, faults = read(row(last_name=1, first_name=2), ROW)
    assert faults == [(2, HEADERS[0], "value.number_cell"), (2, HEADERS[1], "value.number_cell")]


def test_a_cell_beyond_the_header_is_a_fault() -> None:
    frame, faults = read([*ROW, None, "x"], [*ROW, "", " "], ROW)
    assert frame["place"].to_list() == [3, 4]
    assert faults == [(2, None, "row.field_count")]


def test_empty_rows_are_skipped_and_keep_the_numbering() -> None:
    frame, faults = read([], ROW, [" ", None, "\u00a0"], ROW, [""])
    assert frame["place"].to_list() == [3, 5]
    assert faults == []


def test_texts_are_stripped_and_keep_their_line_breaks() -> None:
    frame, _ = read(row(last_name=" \u00a0Meier\tX ", first_name="a\nb"))
    assert frame.row(0)[1:3] == ("Meier\tX", "a\nb")


def test_an_escape_that_would_be_read_wrongly_is_refused() -> None:
    assert gather(opened(shared([*TEXTS])))[0].row(0)[1:] == TEXTS
    assert code(shared(["ax005F_b", *TEXTS[1:]])) == "file.format"
    assert gather(opened(shared(["a\rb", *TEXTS[1:]], [*TEXTS])))[1] == [(2, HEADERS[0], "value.characters")]


def test_a_header_may_stand_below_empty_rows() -> None:
    frame, _ = gather(opened(workbook(*[[]] * 10, list(HEADERS), ROW)))
    assert frame["place"].to_list() == [12]
    assert code(workbook(*[[]] * 11, list(HEADERS), ROW)) == "file.header"


def test_columns_are_found_by_name() -> None:
    reader = opened(workbook([*HEADERS[1:], " " + HEADERS[0]], [*ROW[1:], ROW[0]]))
    frame, _ = gather(reader)
    assert frame.row(0)[1:] == TEXTS
    assert sorted(reader.notices) == ["file.header_blanks", "file.header_reordered"]
    assert column_letter(reader.columns["last_name"]) == "I"


def test_an_unknown_heading_is_not_told() -> None:
    with pytest.raises(Refused) as caught:
        opened(workbook([CANARY, *HEADERS[1:]], ROW))
    assert caught.value.code == "file.header"
    assert CANARY not in str(caught.value)
    assert code(workbook(ROW, ROW)) == "file.header"


def test_the_first_visible_sheet_with_the_header_is_read() -> None:
    def prepare(book: Any) -> None:
        book.worksheets[0].title = "Versteckt"
        book.worksheets[0].sheet_state = "hidden"
        book.create_sheet("Hinweise").append(["Bitte lesen"])
        for title in ("Mai", "Juni"):
            sheet = book.create_sheet(title)
            sheet.append(HEADERS)
            sheet.append(row(last_name=title))

    reader = opened(workbook(list(HEADERS), ROW, ROW, prepare=prepare))
    assert gather(reader)[0]["last_name"].to_list() == ["Mai"]
    assert reader.sheet == "Mai"


def test_a_wrong_stated_size_of_the_sheet_cuts_no_row_off() -> None:
    content = workbook(list(HEADERS), *[ROW] * 5)
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        sheet = package.read("xl/worksheets/sheet1.xml")
    assert b'<dimension ref="A1:I6"' in sheet
    shrunk = sheet.replace(b'<dimension ref="A1:I6"', b'<dimension ref="A1:B2"')
    assert gather(opened(repacked(content, sheet1=shrunk)))[0].height == 5


@pytest.mark.parametrize("number", [b"0", b"1", b"1048577", b"99999999999999", b"x", b"-5"])
def test_rows_out_of_order_or_range_are_a_damaged_workbook(number: bytes) -> None:
    content = workbook(list(HEADERS), ROW, ROW)
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        sheet = package.read("xl/worksheets/sheet1.xml")
    assert (
        code(repacked(content, sheet1=sheet.replace(b'<row r="3"', b'<row r="%s"' % number))) == "file.format"
    )


@pytest.mark.parametrize(
    "totals",
    [
        ["Summe", None, None, None, None, None, "=SUM(G2:G3)"],
        [None, None, "Gesamt:", None, None, None, 9],
        [None, None, None, None, None, None, 9],
        [None, None, None, None, None, None, "=SUM(G2:G3)"],
    ],
)
def test_a_last_row_that_sums_up_is_a_totals_row(totals: list[object]) -> None:
    frame, faults = read(ROW, totals, [])
    assert frame.height == 1
    assert faults == [(3, None, "row.totals_row")]


def test_an_empty_sheet_and_a_header_alone_are_told_apart() -> None:
    assert code(workbook()) == "file.empty"
    assert code(workbook(list(HEADERS))) == "file.no_rows"
    assert code(workbook(list(HEADERS), [" "])) == "file.no_rows"


def test_too_many_rows_are_refused() -> None:
    narrow = E2.model_copy(update={"intake": E2.intake.model_copy(update={"max_rows": 2})})
    assert gather(opened(workbook(list(HEADERS), ROW, ROW), narrow))[0].height == 2
    assert code(workbook(list(HEADERS), ROW, ROW, row(last_name=1)), narrow) == "file.too_many_rows"


def test_batches_have_the_size_asked_for() -> None:
    content = workbook(list(HEADERS), *[ROW] * 2005)
    heights = [batch.frame.height for batch in opened(content, batch_rows=500).batches()]
    assert heights == [500, 500, 500, 500, 5]


def test_macros_passwords_and_foreign_archives_are_refused_as_formats() -> None:
    content = workbook(list(HEADERS), ROW)
    assert code(with_part(content, "xl/vbaProject.bin", b"x")) == "file.format"
    assert code(repacked(content, workbook=None)) == "file.format"
    assert code(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)) == "file.format"
    assert code(content[: len(content) // 2]) == "file.format"
    encrypted = bytearray(content)
    encrypted[content.rindex(b"PK\x01\x02") + 8] |= 1
    assert code(bytes(encrypted)) == "file.format"


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "xl/../../x", "..\\x", "c:/x"])
def test_names_that_lead_out_of_the_archive_are_refused(name: str) -> None:
    assert code(with_part(workbook(list(HEADERS), ROW), name, b"x")) == "file.archive"


def test_archive_bombs_are_refused() -> None:
    content = workbook(list(HEADERS), ROW)
    assert code(with_part(content, "xl/media/a.bin", bytes(3_000_000))) == "file.archive"
    many = io.BytesIO(content)
    with zipfile.ZipFile(many, "a") as package:
        for number in range(archive.MOST_MEMBERS):
            package.writestr(f"xl/media/{number}", b"")
    assert code(many.getvalue()) == "file.archive"
    packed = io.BytesIO(content)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_LZMA) as package:
        package.writestr("xl/media/b.bin", b"x")
    assert code(packed.getvalue()) == "file.archive"


def test_too_many_bytes_unpacked_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 3000)
    assert code(workbook(list(HEADERS), ROW)) == "file.archive"


@pytest.mark.parametrize("part", ["sheet1", "sharedStrings", "workbook", "styles"])
def test_entities_are_never_resolved(part: str) -> None:
    content = shared(list(TEXTS))
    name = next(name for name in zipfile.ZipFile(io.BytesIO(content)).namelist() if Path(name).stem == part)
    xml = zipfile.ZipFile(io.BytesIO(content)).read(name)
    body = xml[xml.index(b"?>") + 2 :] if xml.startswith(b"<?xml") else xml
    attack = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + body.replace(b"Meier", b"&a;")
    try:
        frame, _ = gather(opened(repacked(content, **{part: attack})))
    except Refused as refusal:
        assert refusal.code == "file.format"  # noqa: PT017 -- refusing is right, so is not resolving
        return
    assert frame["last_name"].to_list() == ["Meier"]


def test_without_its_guard_no_workbook_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openpyxl, "DEFUSEDXML", False)
    with pytest.raises(Corrupt, match=r"read\.guard"):
        opened(workbook(list(HEADERS), ROW))


def test_an_error_of_the_staging_behind_the_source_goes_on() -> None:
    class Damaged(io.BytesIO):
        broken = False

        def read(self, size: int | None = -1, /) -> bytes:
            if self.broken:
                raise Corrupt("staging.damaged", "a chunk is not as it was sealed", "Retry from the inbox.")
            return super().read(size)

    content = workbook(list(HEADERS), *[ROW] * 3000)
    source = Damaged(content)
    reader = open_reader(source, size=len(content), agreement=E2)
    source.broken = True
    with pytest.raises(Corrupt, match=r"staging\.damaged"):
        gather(reader)


TYPED = workbook(list(HEADERS), row(last_name=CANARY), row(first_name=CANARY, missed_hours="=A1"), ROW)
SHARED = shared([CANARY, *TEXTS[1:]], [*TEXTS[:8], CANARY])


@PATIENT
@given(st.data())
def test_a_damaged_archive_is_read_or_refused_and_no_error_tells_a_value(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([TYPED, SHARED])))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    survives(
        bytes(content[: data.draw(st.integers(4, len(content)))])
        if data.draw(st.booleans())
        else bytes(content)
    )


@PATIENT
@given(st.data())
def test_a_damaged_sheet_is_read_or_refused_and_no_error_tells_a_value(data: st.DataObject) -> None:
    content = data.draw(st.sampled_from([TYPED, SHARED]))
    parts = ["sheet1", "workbook", "styles", "[Content_Types]", "sharedStrings"]
    part = data.draw(st.sampled_from(parts if content == SHARED else parts[:-1]))
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        name = next(name for name in package.namelist() if Path(name).stem == part)
        xml = bytearray(package.read(name))
    pieces = [
        b"",
        b"<",
        b">",
        b'"',
        b"9",
        b"-",
        b"e",
        b"/>",
        b"<v>",
        b"</c>",
        b't="d"',
        b"&#0;",
        b"\xff",
        b"1e999",
    ]
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(xml) - 1))
        xml[position : position + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from(pieces))
    survives(repacked(content, **{part: bytes(xml)}))


@PATIENT
@given(st.binary(max_size=200))
def test_any_bytes_behind_a_zip_magic_are_refused(junk: bytes) -> None:
    survives(b"PK\x03\x04" + junk)


def survives(content: bytes) -> None:
    try:
        gather(opened(content))
    except HubError as error:
        told = f"{error!r} {error} {error.message} {error.remedy} {error.__cause__!r} {error.__context__!r}"
        assert CANARY not in told
