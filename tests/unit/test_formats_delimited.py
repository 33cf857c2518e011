import io
from pathlib import Path
from typing import BinaryIO, cast
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import schemas
from connectors.formats import Reader, dialect, open_reader
from connectors.formats.batch import BLANKS
from connectors.formats.delimited import DelimitedReader
from connectors.formats.encoding import LONGEST_RECORD
from connectors.formats.sniffing import sniff
from hub.errors import HubError, Refused
from schemas.agreement import Agreement
from schemas.loading import load_agreement

AGREEMENTS = Path(schemas.__file__).parent / "agreements"
E3 = load_agreement(AGREEMENTS / "e3.yaml")
HEADERS = [field.header for field in E3.fields]
WIDTH = len(HEADERS)
CANARY = "Kanarienvogel"
PATIENT = settings(deadline=None)


def line(*cells: str, delimiter: str = ";") -> str:
    """One line of the file: these cells and then empty ones."""
    return delimiter.join([*cells, *[""] * (WIDTH - len(cells))]) + "\n"


HEADER = line(*HEADERS)
ROW = line(*(f"w{number}" for number in range(WIDTH)))


class Forward:
    """A stream that can only be read, a few bytes at a time."""

    def __init__(self, content: bytes, most: int = 1 << 30) -> None:
        self._content = io.BytesIO(content)
        self._most = most

    def read(self, size: int) -> bytes:
        return self._content.read(min(size, self._most))


def opened(content: bytes, agreement: Agreement = E3, batch_rows: int = 100_000) -> Reader:
    source = cast("BinaryIO", Forward(content))
    return open_reader(source, size=len(content), agreement=agreement, batch_rows=batch_rows)


def gather(reader: Reader) -> tuple[pl.DataFrame, list[tuple[int, str | None, str]]]:
    batches = list(reader.batches())
    frame = pl.concat([batch.frame for batch in batches])
    faults = [cast("tuple[int, str | None, str]", row) for batch in batches for row in batch.faults.rows()]
    return frame, faults


def read(text: str | bytes) -> tuple[pl.DataFrame, list[tuple[int, str | None, str]]]:
    return gather(opened(text if isinstance(text, bytes) else text.encode()))


def first_cells(text: str | bytes) -> list[str]:
    return read(text)[0]["participant_number"].to_list()


def code(text: str | bytes, agreement: Agreement = E3) -> str:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(Refused) as caught:
        gather(opened(content, agreement))
    assert caught.value.remedy
    return caught.value.code


def with_intake(**changes: object) -> Agreement:
    return E3.model_copy(update={"intake": E3.intake.model_copy(update=changes)})


def test_a_plain_file_is_read_as_text_in_the_order_of_the_agreement() -> None:
    frame, faults = read(HEADER + line("0123", "Ä", "x"))
    assert frame.columns == ["place", *(field.name for field in E3.fields)]
    assert frame.dtypes == [pl.UInt32, *[pl.String] * WIDTH]
    assert frame.row(0)[:4] == (2, "0123", "Ä", "x")
    assert frame.row(0)[4:] == ("",) * (WIDTH - 3)
    assert faults == []


def test_columns_are_found_by_name_and_a_new_order_is_noticed() -> None:
    names = [HEADERS[1], HEADERS[0], *HEADERS[2:]]
    reader = opened((line(*names) + line("Meier", "0123")).encode())
    frame, _ = gather(reader)
    assert frame.row(0)[1:3] == ("0123", "Meier")
    assert reader.notices == ["file.header_reordered"]
    assert reader.columns["participant_number"] == 1
    assert reader.sheet is None


def test_blanks_around_a_heading_are_noticed() -> None:
    reader = opened((line(" " + HEADERS[0], HEADERS[1] + "\u00a0", *HEADERS[2:]) + ROW).encode())
    assert gather(reader)[0].height == 1
    assert reader.notices == ["file.header_blanks"]


def test_a_byte_order_mark_is_noticed_and_is_no_part_of_the_first_heading() -> None:
    reader = opened(("\ufeff" + HEADER + ROW).encode())
    assert gather(reader)[0].height == 1
    assert reader.notices == ["file.byte_order_mark"]


def test_the_other_agreed_delimiter_is_found() -> None:
    text = ",".join(HEADERS) + "\n" + line("a", "b", delimiter=",")
    assert read(text)[0].row(0)[1:3] == ("a", "b")


def test_a_delimiter_that_is_not_agreed_is_named() -> None:
    assert code("|".join(HEADERS) + "\n" + line("a", delimiter="|")) == "file.delimiter"
    assert code(HEADER + ROW, with_intake(delimiters=(",",))) == "file.delimiter"


def test_windows_1252_is_read_and_noticed() -> None:
    reader = opened((HEADER + line("Müller", "€")).encode("cp1252"))
    assert gather(reader)[0].row(0)[1:3] == ("Müller", "€")
    assert reader.notices == ["file.encoding_windows_1252"]


def test_windows_1252_is_refused_where_it_is_not_agreed() -> None:
    text = (HEADER + line("Müller")).encode("cp1252")
    assert code(text, with_intake(encodings=("utf-8",))) == "file.encoding"


def test_bytes_of_no_encoding_are_refused() -> None:
    assert code(HEADER.encode() + line("a").encode().replace(b"a", b"\xfc\x81")) == "file.encoding"


def test_a_file_of_two_encodings_is_refused() -> None:
    utf8, legacy = line("Müller").encode(), line("Müller").encode("cp1252")
    assert code(HEADER.encode() + utf8 + legacy) == "file.encoding"
    assert code(b"\xef\xbb\xbf" + HEADER.encode() + legacy) == "file.encoding"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_wide_encodings_are_refused_as_encodings(encoding: str) -> None:
    assert code((HEADER + ROW).encode(encoding)) == "file.encoding"


@pytest.mark.parametrize(
    "content",
    [
        b"\xd0\xcf\x11\xe0\xa1\xb1",
        b"%PDF-1.7\n",
        b"\x1f\x8b\x08",
        b"<?xml version='1.0'?>",
        b"ab\x00\x01\x02c\n",
    ],
)
def test_what_is_no_text_is_refused_as_a_format(content: bytes) -> None:
    assert code(content) == "file.format"


def test_lines_that_end_with_carriage_returns_alone_are_a_foreign_format() -> None:
    assert code((HEADER + ROW).replace("\n", "\r")) == "file.format"
    assert code((HEADER + ROW * 20_000).replace("\n", "\r")) == "file.format"


@pytest.mark.parametrize("text", ["\n", "\r\n \n\t\n", "\ufeff", "\ufeff\n"])
def test_a_file_of_nothing_but_blank_lines_is_empty(text: str) -> None:
    assert code(text) == "file.empty"


def test_no_byte_is_an_empty_file() -> None:
    with pytest.raises(Refused, match=r"file\.empty"):
        sniff(b"")


@pytest.mark.parametrize("tail", ["", "\n\n", line(), "\n" + line() + line()])
def test_a_header_without_rows_has_no_rows(tail: str) -> None:
    assert code(HEADER + tail) == "file.no_rows"
    assert code(HEADER.rstrip("\n")) == "file.no_rows"


def test_a_missing_column_is_named_and_an_unknown_one_is_not() -> None:
    text = line(CANARY, *HEADERS[1:]) + ROW
    with pytest.raises(Refused) as caught:
        opened(text.encode())
    assert caught.value.code == "file.header"
    assert HEADERS[0] in caught.value.message
    assert "position 1" in caught.value.message
    assert CANARY not in str(caught.value)


def test_a_column_that_stands_twice_is_named() -> None:
    with pytest.raises(Refused, match=f"more than once: {HEADERS[1]}"):
        opened((line(HEADERS[1], *HEADERS[1:]) + ROW).encode())


def test_a_missing_header_line_is_refused_without_telling_the_first_row() -> None:
    with pytest.raises(Refused) as caught:
        opened(line(*[CANARY] * WIDTH).encode() * 3)
    assert caught.value.code == "file.header"
    assert CANARY not in str(caught.value)


def test_blank_lines_are_skipped_and_keep_the_numbering() -> None:
    frame, _ = read("\n\n" + HEADER + "\n" + ROW + " \t\n" + ROW + "\r\n\n")
    assert frame["place"].to_list() == [5, 7]


def test_rows_of_empty_cells_are_skipped_like_blank_lines() -> None:
    frame, faults = read(HEADER + ROW + line() + ROW + line('" "') + line())
    assert frame["place"].to_list() == [2, 4]
    assert faults == []


def test_line_ends_of_windows_are_line_ends() -> None:
    text = (HEADER + ROW + line('"a"') + line("b")).replace("\n", "\r\n")
    frame, faults = read(text)
    assert frame["participant_number"].to_list() == ["w0", "a", "b"]
    assert frame["lid_result"].to_list() == [f"w{WIDTH - 1}", "", ""]
    assert faults == []


def test_quoted_cells_hold_delimiters_quotes_and_line_feeds() -> None:
    frame, faults = read(HEADER + line('"a;b"', '"say ""x"""', '"one\ntwo\r\nthree"') + ROW)
    assert frame.row(0)[1:4] == ("a;b", 'say "x"', "one\ntwo\r\nthree")
    assert frame["place"].to_list() == [2, 5]
    assert faults == []


@pytest.mark.parametrize("blank", list(BLANKS))
def test_blanks_at_both_ends_of_a_cell_are_stripped(blank: str) -> None:
    cell = f"{blank}a{blank}b{blank}{blank}"
    text = HEADER + line("x", cell) + line("x", f'"{cell}"') + line(*["x"] * (WIDTH - 1), cell)
    frame, _ = read(text + line("x", cell))
    assert frame["last_name"].to_list() == [f"a{blank}b", f"a{blank}b", "x", f"a{blank}b"]
    assert frame["lid_result"][2] == f"a{blank}b"
    assert first_cells(HEADER + cell + ROW[2:]) == [f"a{blank}b"]


def test_the_words_na_and_null_are_words() -> None:
    assert first_cells(HEADER + line("NA") + line("null") + line("NaN")) == ["NA", "null", "NaN"]


@pytest.mark.parametrize("row", ["a;b\n", ROW.strip() + ";\n", "a\n", '""\n'])
def test_a_row_with_another_number_of_cells_is_a_fault_with_its_line(row: str) -> None:
    frame, faults = read(HEADER + ROW + row + ROW)
    assert frame["place"].to_list() == [2, 4]
    assert faults == [(3, None, "row.field_count")]


@pytest.mark.parametrize("cell", ['5" Rohr', '"a"b', '"a" "b"', 'a""', '"a"\r', 'O"'])
def test_a_stray_quotation_mark_costs_its_own_row_only(cell: str) -> None:
    frame, faults = read(HEADER + line('"q;q"') + line(cell) + line("x", '"y\ny"') + ROW)
    assert frame["place"].to_list() == [2, 4, 6]
    assert frame["participant_number"].to_list() == ["q;q", "x", "w0"]
    assert faults == [(3, None, "row.field_count")]


@pytest.mark.parametrize("character", ["\x00", "\x01", "\x0b", "\x1b", "\x7f", "\r"])
def test_a_control_character_is_a_fault_of_its_cell(character: str) -> None:
    frame, faults = read(HEADER + ROW + line("a", f"b{character}c", "d", f"e{character}f") + ROW)
    assert frame["place"].to_list() == [2, 4]
    assert faults == [(3, HEADERS[1], "value.characters"), (3, HEADERS[3], "value.characters")]


def test_a_control_character_behind_a_quoted_delimiter_is_told_by_its_column() -> None:
    assert read(HEADER + line('";;"', '"\n\x02"') + ROW)[1] == [(2, HEADERS[1], "value.characters")]


@pytest.mark.parametrize("word", ["Summe", "GESAMT:", "total", '"Insgesamt"'])
@pytest.mark.parametrize("tail", ["", "\n\n", line()])
def test_a_last_row_that_says_so_is_a_totals_row(word: str, tail: str) -> None:
    for row in (line("", word, "", "", "300"), f"{word};300\n", f"{word};300"):
        frame, faults = read(HEADER + ROW + row + (tail if row.endswith("\n") else ""))
        assert frame["place"].to_list() == [2]
        assert faults == [(3, None, "row.totals_row")]


def test_a_last_row_of_numbers_without_a_key_is_a_totals_row() -> None:
    hours = [str(1200) if header.startswith("Stunden") else "" for header in HEADERS]
    assert read(HEADER + ROW + line(*hours))[1] == [(3, None, "row.totals_row")]


def test_a_totals_row_is_one_only_at_the_end() -> None:
    frame, faults = read(HEADER + line("Summe") + ROW)
    assert frame["place"].to_list() == [2, 3]
    assert faults == []


def test_a_complete_last_row_is_a_row_whatever_its_first_word() -> None:
    assert read(HEADER + ROW + ROW.replace("w0", "Total"))[1] == []


def test_half_a_row_at_the_end_is_half_a_file() -> None:
    assert code(HEADER + ROW + "a;b") == "file.truncated"
    assert code(HEADER + ROW + 'a;"b') == "file.truncated"
    assert code((HEADER + ROW + "ä;ö").encode()[:-1]) == "file.truncated"
    assert code((HEADER + ROW + "ü;ö\n" + "ä;ö").encode()[:-1]) == "file.truncated"


def test_a_short_last_line_with_its_line_end_is_a_fault_of_that_row() -> None:
    assert read(HEADER + ROW + "a;b\n")[1] == [(3, None, "row.field_count")]
    assert read(HEADER + ROW + "a;b\n  ")[1] == [(3, None, "row.field_count")]


def test_a_last_row_needs_no_line_end() -> None:
    assert read((HEADER + ROW + ROW).rstrip("\n"))[0].height == 2
    assert read((HEADER + ROW).replace("\n", "\r\n")[:-1])[0].height == 1


def test_an_unclosed_quotation_mark_refuses_the_file() -> None:
    assert code(HEADER + ROW + line('"a') + ROW) == "file.quotes"
    assert code(HEADER + line('"a') + ROW * (LONGEST_RECORD // len(ROW) + 2)) == "file.quotes"


def test_fewer_bytes_than_announced_are_half_a_file() -> None:
    content = (HEADER + ROW).encode()
    reader_size = len(content) + 1
    with pytest.raises(Refused, match=r"file\.truncated"):
        gather(open_reader(io.BytesIO(content), size=reader_size, agreement=E3))


def test_too_many_bytes_are_refused_as_announced_and_as_read() -> None:
    content = (HEADER + ROW * 50).encode()
    narrow = with_intake(max_bytes=len(content) - 1)
    assert code(content, narrow) == "file.too_large"
    with pytest.raises(Refused, match=r"file\.too_large"):
        gather(open_reader(io.BytesIO(content), size=10, agreement=narrow))


def test_too_many_rows_are_refused_and_faulty_rows_count() -> None:
    narrow = with_intake(max_rows=3)
    assert gather(opened((HEADER + ROW * 2 + "a\n").encode(), narrow))[0].height == 2
    assert code(HEADER + ROW * 2 + "a\n" + ROW, narrow) == "file.too_many_rows"
    assert code(HEADER + ROW * 4, narrow) == "file.too_many_rows"


def test_batches_have_the_size_asked_for_and_keep_the_order() -> None:
    batches = list(opened((HEADER + ROW * 25 + "a\n" * 3).encode(), batch_rows=10).batches())
    assert [batch.frame.height for batch in batches] == [10, 10, 5]
    places = [place for batch in batches for place in batch.frame["place"]]
    assert places == list(range(2, 27))
    assert sum(batch.faults.height for batch in batches) == 3


def test_a_file_of_faults_alone_still_has_batches() -> None:
    batches = list(opened((HEADER + "a\n" * 25).encode(), batch_rows=10).batches())
    assert sum(batch.faults.height for batch in batches) == 25
    assert all(batch.frame.is_empty() and batch.frame.width == WIDTH + 1 for batch in batches)


def test_a_source_that_gives_few_bytes_at_a_time_is_read_whole() -> None:
    content = (HEADER + ROW * 30).encode()
    source = cast("BinaryIO", Forward(content, most=7))
    assert gather(open_reader(source, size=len(content), agreement=E3))[0].height == 30


def test_a_file_of_many_blocks_is_read_like_one() -> None:
    rows = [line(f"{number:07}", "Müller" if number % 3 else '"a;""b"""', "x y") for number in range(4000)]
    rows[1500] = "a;b\n"
    content = (HEADER + "".join(rows) + line("Summe")).encode()
    for block in (1 << 12, 1 << 16, 100_003):
        source = io.BytesIO(content[block:])
        reader = DelimitedReader(
            source, content[:block], size=len(content), agreement=E3, batch_rows=900, block=block
        )
        frame, faults = gather(reader)
        assert faults == [(1502, None, "row.field_count"), (4002, None, "row.totals_row")]
        assert frame["place"].to_list() == [place for place in range(2, 4002) if place != 1502]
        assert frame["participant_number"].to_list() == [f"{place - 2:07}" for place in frame["place"]]


def test_xlsx_is_refused_where_csv_is_agreed() -> None:
    assert code(b"PK\x03\x04" + bytes(30)) == "file.format"


PIECES = st.sampled_from(
    [
        "a",
        "ä",
        "ü€",
        '"',
        '""',
        ";",
        "\n",
        "\r\n",
        "\r",
        " ",
        "\u00a0",
        "\x01",
        "Summe",
        "7",
        '"x;y"',
        '"\n"',
        ROW,
    ]
)
BODIES = st.lists(st.one_of(PIECES, st.just(";" * (WIDTH - 1)), st.just("\n")), max_size=40).map("".join)


def outcome(content: bytes, block: int) -> object:
    """What becomes of a file that comes in blocks of this size, the first one included.

    The header is looked for in no more than its own length, so that what follows really comes in blocks.
    """
    with patch.object(dialect, "LONGEST_HEADER", len(HEADER)):
        return outcome_by_blocks(content, block)


def outcome_by_blocks(content: bytes, block: int) -> object:
    try:
        reader = DelimitedReader(
            io.BytesIO(content[block:]),
            content[:block],
            size=len(content),
            agreement=E3,
            batch_rows=3 if block < 100 else 1000,
            block=block,
        )
        frame, faults = gather(reader)
    except Refused as refusal:
        return refusal.code
    return frame.rows(), sorted(faults, key=repr), sorted(reader.notices), dict(reader.columns)


@PATIENT
@given(BODIES, st.sampled_from([1, 7, 64, 65, 1000]))
@example("\r" + line() + line() + "a", 1)
def test_the_size_of_blocks_changes_nothing(body: str, block: int) -> None:
    content = (HEADER + body).encode()
    assert outcome(content, block) == outcome(content, 8 << 20)


@PATIENT
@given(st.lists(st.sampled_from([ROW, line("ü"), line("é€")]), max_size=6), st.sampled_from([1, 64, 999]))
def test_the_size_of_blocks_changes_nothing_in_windows_1252(rows: list[str], block: int) -> None:
    content = (HEADER + "".join(rows)).encode("cp1252")
    assert outcome(content, block) == outcome(content, 8 << 20)


@PATIENT
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_by_the_hubs_own_errors(junk: bytes) -> None:
    for content in (junk, HEADER.encode() + junk, HEADER.encode() + ROW.encode() + junk):
        try:
            gather(opened(content))
        except HubError as error:
            assert error.code.startswith("file.")  # noqa: PT017 -- both outcomes are right


@PATIENT
@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_no_error_tells_a_value(data: st.DataObject) -> None:
    content = bytearray((HEADER + line('"' + CANARY + '"', CANARY, f"{CANARY}\n;") * 3).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(content) - 1))
        change = data.draw(st.sampled_from([b"", b'"', b"\n", b";", b"\x00", b"\xff", b"\xc3", b"\r"]))
        content[position : position + 1] = change
    try:
        gather(opened(bytes(content)))
    except HubError as error:
        told = f"{error!r} {error} {error.message} {error.remedy} {error.__cause__!r} {error.__context__!r}"
        assert CANARY not in told


@PATIENT
@given(st.lists(st.lists(st.text(max_size=8), min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=5))
def test_every_row_is_a_row_or_a_fault(rows: list[list[str]]) -> None:
    quoted = [[cell.replace('"', '""') for cell in row] for row in rows]
    content = HEADER + "".join(";".join(f'"{cell}"' for cell in row) + "\n" for row in quoted)
    filled = [row for row in rows if any(cell.strip(BLANKS) for cell in row)]
    try:
        frame, faults = read(content.encode("utf-8", "replace"))
    except Refused as refusal:
        assert refusal.code == "file.no_rows"  # noqa: PT017 -- the one right refusal
        assert not filled
        return
    assert frame.height + len({place for place, _, _ in faults}) == len(filled)
