"""The egress gate stops every parcel that is not exactly what was agreed and cleared, and no other."""

import contextlib
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.formats.writing import write_parcel
from hub.egress import Inspection, inspect
from hub.egress.delimited import DelimitedParcel
from hub.egress.persons import Bytes, Opener, person_frame
from hub.errors import Corrupt
from hub.keys import KeyRing, create_keys
from hub.pseudonyms import pseudonyms
from schemas.agreement import Agreement
from schemas.checks import CHECKS
from schemas.loading import load_agreement

AGREEMENTS: Final = Path(__file__).parents[2] / "schemas" / "agreements"
E3: Final = load_agreement(AGREEMENTS / "e3.yaml")
E2: Final = load_agreement(AGREEMENTS / "e2.yaml")
SUBMISSION: Final = "S-20260519-0Q7MZK4H2B"
NAME: Final = f"E3_{SUBMISSION}_1.csv"
BOOK_NAME: Final = f"E2_{SUBMISSION}_1.xlsx"
IDS: Final = np.frombuffer(b"".join(bytes([n]) * 16 for n in range(1, 4)), np.uint8).reshape(3, 16)
STRANGER: Final = np.full((1, 16), 99, np.uint8)
REST: Final = ["general", "2026-04", "600", "99.5", "A2", "", "B1", "", "below", "passed"]
WITHHELD: Final = pl.DataFrame(
    {
        "participant_number": ["KVHS-0012345", "KVHS-0012346"],
        "last_name": ["Müller-Lüdenscheidt", "Peine"],
        "first_name": ["Anna Maria", "Groß"],
    }
)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    folder = tmp_path_factory.mktemp("hub") / "keys"
    create_keys(folder)
    return KeyRing(folder)


def with_free_text() -> Agreement:
    """E3 as it would be if it released the course number, in a form that leaves room for words."""
    fields = [field.model_dump() for field in E3.fields]
    course = next(field for field in fields if field["name"] == "course_number")
    pattern = "[A-Za-z0-9]{1,20}-{0,1}[A-Za-z0-9]{0,20}-{0,1}[A-Za-z0-9]{0,20}"
    course |= {"treatment": "keep", "released_as": "course_number", "options": {"pattern": pattern}}
    return Agreement.model_validate(E3.model_dump() | {"fields": tuple(fields)})


def with_month_of_birth() -> Agreement:
    """E3 as it would be if it released the month of birth."""
    fields = [field.model_dump() for field in E3.fields]
    birth = next(field for field in fields if field["name"] == "birth_date")
    birth |= {"treatment": "month", "released_as": "birth_month"}
    return Agreement.model_validate(E3.model_dump() | {"fields": tuple(fields)})


def columns(agreement: Agreement) -> list[str]:
    return [field.released_as or field.name for field in agreement.released]


def rows(
    ring: KeyRing, ids: Bytes = IDS, agreement: Agreement = E3, extra: str | None = None
) -> list[list[str]]:
    """Rows as they should leave; ``extra`` goes behind the pseudonym."""
    written = pseudonyms(ring, agreement.recipient.id, agreement.purpose, 1, ids).to_list()
    return [[pseudonym, *([] if extra is None else [extra]), *REST] for pseudonym in written]


def text(rows: Iterable[list[str]], header: list[str] | None = None, delimiter: str = ";") -> bytes:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns(E3) if header is None else header)
    writer.writerows(rows)
    return sink.getvalue().encode()


def gate(ring: KeyRing, parcel: bytes, **changes: Any) -> Inspection:
    claims: dict[str, Any] = {
        "name": NAME,
        "agreement": E3,
        "ring": ring,
        "cleared": IDS,
        "rows": 3,
        "withheld": [WITHHELD],
        "known": (SUBMISSION,),
    }
    return inspect(io.BytesIO(parcel), **claims | changes)


def stopped(ring: KeyRing, parcel: bytes, **changes: Any) -> str:
    """The code of the alarm, whose words hold nothing of any row."""
    with pytest.raises(Corrupt) as alarm:
        gate(ring, parcel, **changes)
    said = f"{alarm.value.message} {alarm.value.remedy}"
    cells = {
        cell for line in parcel.decode("utf-8", "ignore").splitlines()[1:] for cell in re.split("[;,]", line)
    }
    assert not [cell for cell in cells if len(cell) > 3 and cell in said]
    assert alarm.value.__cause__ is None
    return alarm.value.code


def edited(rows: list[list[str]], row: int, column: str, value: str) -> list[list[str]]:
    changed = [list(cells) for cells in rows]
    changed[row][columns(E3).index(column)] = value
    return changed


def test_a_clean_parcel_passes_with_its_rows_digest_and_columns(ring: KeyRing) -> None:
    parcel = text(rows(ring))
    seen = gate(ring, parcel)
    assert seen == Inspection(3, hashlib.sha256(parcel).hexdigest(), tuple(columns(E3)))


def test_a_person_may_have_several_rows(ring: KeyRing) -> None:
    twice = np.concatenate([IDS, IDS[:1]])
    assert gate(ring, text(rows(ring, twice)), rows=4).rows == 4
    assert gate(ring, text(rows(ring, twice)), rows=4, cleared=twice).rows == 4


def test_what_write_parcel_writes_passes(ring: KeyRing) -> None:
    frame = pl.DataFrame(rows(ring), schema=columns(E3), orient="row")
    sink = io.BytesIO()
    write_parcel(iter([frame[:2], frame[2:]]), sink, E3)
    assert gate(ring, sink.getvalue()).rows == 3


def test_a_parcel_of_many_blocks_passes(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.egress.delimited._BLOCK", 100)
    assert gate(ring, text(rows(ring))).rows == 3


def test_another_column_is_stopped(ring: KeyRing) -> None:
    more = [[*cells, "x"] for cells in rows(ring)]
    assert stopped(ring, text(more, [*columns(E3), "remark"])) == "egress.columns"


def test_a_missing_column_is_stopped(ring: KeyRing) -> None:
    less = [cells[:-1] for cells in rows(ring)]
    assert stopped(ring, text(less, columns(E3)[:-1])) == "egress.columns"


def test_another_order_of_columns_is_stopped(ring: KeyRing) -> None:
    turned = [cells[::-1] for cells in rows(ring)]
    assert stopped(ring, text(turned, columns(E3)[::-1])) == "egress.columns"


def test_a_parcel_without_header_is_stopped(ring: KeyRing) -> None:
    assert stopped(ring, text(rows(ring)).partition(b"\n")[2]) == "egress.format"


def test_an_empty_parcel_is_stopped(ring: KeyRing) -> None:
    assert stopped(ring, b"") == "egress.format"


def test_a_row_with_a_cell_more_or_less_is_stopped(ring: KeyRing) -> None:
    for change in (lambda cells: [*cells, ""], lambda cells: cells[:-1]):
        first, *others = rows(ring)
        assert stopped(ring, text([change(first), *others])) == "egress.format"
        assert stopped(ring, text([*others, change(first)])) == "egress.format"


def test_a_row_too_many_is_stopped(ring: KeyRing) -> None:
    once_more = rows(ring)
    assert stopped(ring, text([*once_more, once_more[0]])) == "egress.count"


def test_a_row_too_few_is_stopped(ring: KeyRing) -> None:
    assert stopped(ring, text(rows(ring)[:2])) == "egress.count"


def test_a_person_left_out_for_another_twice_is_stopped(ring: KeyRing) -> None:
    assert stopped(ring, text(rows(ring, IDS[[0, 0, 1]]))) == "egress.count"


def test_a_person_who_was_not_cleared_is_stopped(ring: KeyRing) -> None:
    strange = rows(ring, np.concatenate([IDS[:2], STRANGER]))
    assert stopped(ring, text(strange)) == "egress.foreign_person"


def test_identified_rows_without_cleared_persons_do_not_pass_as_pseudonymous(ring: KeyRing) -> None:
    assert stopped(ring, text(rows(ring)), cleared=None) == "egress.foreign_person"


def test_pseudonyms_of_another_recipient_or_purpose_are_stopped(ring: KeyRing) -> None:
    for other in (
        {"recipient": {"id": "jobcenter-peine", "name": "Jobcenter"}},
        {"purpose": "https://w3id.org/dpv#LegalCompliance"},
    ):
        elsewhere = Agreement.model_validate(E3.model_dump() | other)
        assert stopped(ring, text(rows(ring, agreement=elsewhere))) == "egress.pseudonym"


@pytest.mark.parametrize("place", [0, 1, 2, 30, 53, 54, 55])
@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_changed_pseudonym_is_stopped(ring: KeyRing, place: int, row: int) -> None:
    cells = rows(ring)
    pseudonym = cells[row][0]
    cells[row][0] = pseudonym[:place] + ("3" if pseudonym[place] != "3" else "4") + pseudonym[place + 1 :]
    assert stopped(ring, text(cells)) == "egress.pseudonym"


@pytest.mark.parametrize("value", ["", "KVHS-0012345", "p" * 56, "P1" + "A" * 55])
def test_what_is_no_pseudonym_is_stopped(ring: KeyRing, value: str) -> None:
    assert stopped(ring, text(edited(rows(ring), 1, "pseudonym", value))) == "egress.pseudonym"


@settings(max_examples=25, deadline=None)
@given(ids=st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=8))
def test_persons_are_opened_as_the_library_opens_them(ring: KeyRing, ids: list[bytes]) -> None:
    plain = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)
    written = pseudonyms(ring, E3.recipient.id, E3.purpose, 1, plain)
    opened = Opener(ring, E3.recipient.id, E3.purpose).persons(written)
    assert opened.sort("high", "low").equals(person_frame(plain).sort("high", "low"))


@settings(max_examples=60, deadline=None)
@given(sealed=st.lists(st.binary(min_size=32, max_size=32), min_size=3, max_size=3), place=st.integers(0, 2))
def test_no_forgery_opens_wherever_it_stands(ring: KeyRing, sealed: list[bytes], place: int) -> None:
    key = AESSIV(ring.pseudonym_key(E3.recipient.id, E3.purpose, 1))
    context = [b"hub pseudonym v1", E3.recipient.id.encode(), E3.purpose.encode(), b"1"]
    made = [key.encrypt(bytes([n]) * 16, context) for n in range(3)]
    opener = Opener(ring, E3.recipient.id, E3.purpose)
    assert opener.persons(pl.Series(map(base32, made))).height == 3
    made[place] = sealed[place]
    with pytest.raises(Corrupt, match=r"egress\.pseudonym"):
        opener.persons(pl.Series(map(base32, made)))


def base32(sealed: bytes) -> str:
    """The written form, the plain way."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    number = int.from_bytes(sealed, "big") << 4
    digits = [(number >> 5 * (51 - place)) & 31 for place in range(52)]
    check = sum(weight * digit for weight, digit in enumerate(digits, 1)) % 1021
    return "P1" + "".join(alphabet[digit] for digit in (*digits, check >> 5, check & 31))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("course_kind", "Allgemein"),
        ("course_kind", "Müller"),
        ("reporting_month", "2026-04-17"),
        ("reporting_month", "2026-13"),
        ("reporting_month", "04.2026"),
        ("reporting_month", ""),
        ("hours_planned", "-5"),
        ("hours_planned", "600.5"),
        ("hours_planned", "٦٠٠"),
        ("hours_attended", "99,5"),
        ("hours_attended", "1e3"),
        ("hours_attended", "=1+1"),
        ("cefr_listening", "A3"),
        ("cefr_listening", "A2 "),
        ("dtz_result", "unter A2"),
        ("lid_result", "passed\x00"),
        ("lid_result", "=HYPERLINK(1)"),
        ("lid_result", "line\nbreak"),
    ],
)
def test_a_value_outside_its_treatment_is_stopped(ring: KeyRing, column: str, value: str) -> None:
    for row in range(3):
        assert stopped(ring, text(edited(rows(ring), row, column, value))) == "egress.value"


def test_a_birth_date_in_place_of_the_month_is_stopped(ring: KeyRing) -> None:
    agreement = with_month_of_birth()
    header = columns(agreement)
    for birth, code in (("1987-05", None), ("1987-00", None), ("1987-05-23", "egress.value")):
        parcel = text(rows(ring, extra=birth), header)
        if code is None:
            assert gate(ring, parcel, agreement=agreement).rows == 3
        else:
            assert stopped(ring, parcel, agreement=agreement) == code


@pytest.mark.parametrize(
    "value",
    [
        "KVHS-0012345",
        "kvhs-0012345",
        "A-0012345",
        "Peine-2026",
        "2026-PEINE",
        "Maria",
        "GROSS-7",
        "12-anna-7",
        "a0012346",
        "001-2346",
    ],
)
def test_an_identifier_in_a_free_cell_is_stopped(ring: KeyRing, value: str) -> None:
    agreement = with_free_text()
    parcel = text(rows(ring, extra=value), columns(agreement))
    assert stopped(ring, parcel, agreement=agreement) == "egress.identifier"


@pytest.mark.parametrize("value", ["DaZ-2026-0123", "Peiner-4", "0012", "Ann-1", "Mar-ia"])
def test_other_words_in_a_free_cell_pass(ring: KeyRing, value: str) -> None:
    agreement = with_free_text()
    assert gate(ring, text(rows(ring, extra=value), columns(agreement)), agreement=agreement).rows == 3


def test_identifiers_are_not_even_opened_where_no_word_could_leave(ring: KeyRing) -> None:
    def opened() -> Iterator[pl.DataFrame]:
        pytest.fail("nothing in this parcel could be an identifier")
        yield WITHHELD

    assert gate(ring, text(rows(ring)), withheld=opened()).rows == 3


def test_a_line_that_never_ends_is_stopped(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.egress.delimited._BLOCK", 100)
    assert stopped(ring, text(rows(ring)) + b"x" * 300 + b"\n") == "egress.format"


def test_an_agreed_pattern_does_not_let_a_formula_out(ring: KeyRing) -> None:
    agreement = with_free_text()
    fields = [field.model_dump() for field in agreement.fields]
    course = next(field for field in fields if field["name"] == "course_number")
    course["options"] = {"pattern": "-{0,1}[0-9]{1,4}"}
    dashing = Agreement.model_validate(agreement.model_dump() | {"fields": tuple(fields)})
    assert gate(ring, text(rows(ring, extra="12"), columns(dashing)), agreement=dashing).rows == 3
    for value in ("-12", "12345", "12\n", "\uff11\uff12", ""):
        parcel = text(rows(ring, extra=value), columns(dashing))
        assert stopped(ring, parcel, agreement=dashing) == "egress.value"


def test_a_surname_that_is_a_code_is_no_alarm(ring: KeyRing) -> None:
    names = pl.DataFrame({"last_name": ["General", "below", "Passed"], "number": ["600", "2026-04", "99.5"]})
    assert gate(ring, text(rows(ring)), withheld=[names]).rows == 3


def test_withheld_identifiers_are_looked_through_in_every_part(ring: KeyRing) -> None:
    agreement = with_free_text()
    parcel = text(rows(ring, extra="Yilmaz"), columns(agreement))
    parts = [WITHHELD, pl.DataFrame({"last_name": ["", None, "YILMAZ"]})]
    assert stopped(ring, parcel, agreement=agreement, withheld=iter(parts)) == "egress.identifier"


@pytest.mark.parametrize(
    "name", ["E3_Peine_1.csv", "e3-lüdenscheidt.csv", "0012345.csv", "E3_anna.csv", "E3_001-2345.csv"]
)
def test_a_file_name_with_an_identifier_is_stopped(ring: KeyRing, name: str) -> None:
    assert stopped(ring, text(rows(ring)), name=name) in {"egress.identifier", "egress.metadata"}


@pytest.mark.parametrize(
    "name", ["", ".csv", "a/b.csv", "../x.csv", "a b.csv", "a\n.csv", "x" * 201, "ä.csv"]
)
def test_a_file_name_of_other_characters_is_stopped(ring: KeyRing, name: str) -> None:
    assert stopped(ring, text(rows(ring)), name=name) == "egress.metadata"


def test_the_hubs_own_words_in_a_file_name_are_no_alarm(ring: KeyRing) -> None:
    numbers = pl.DataFrame({"number": ["20260519", "0Q7MZK4H2B", "integrationsbegleitung"]})
    assert gate(ring, text(rows(ring)), withheld=[numbers]).rows == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda parcel: b"\xef\xbb\xbf" + parcel,
        lambda parcel: parcel.replace(b"\n", b"\r\n"),
        lambda parcel: parcel.replace(b";", b","),
        lambda parcel: parcel[:-1],
        lambda parcel: parcel[:-40],
        lambda parcel: parcel + b"\n",
        lambda parcel: parcel + b"# made by M. Weber\n",
        lambda parcel: parcel.replace(b"general", b'"general"'),
        lambda parcel: parcel.replace(b"general", b'gen"eral'),
        lambda parcel: parcel.replace(b"general", b'"general', 1),
        lambda parcel: parcel.replace(b"general", b"gener\xe4l"),
        lambda parcel: parcel.decode().encode("utf-16"),
        lambda parcel: b"\n" + parcel,
        lambda parcel: parcel + bytes(10),
    ],
)
def test_other_ways_of_writing_are_stopped(ring: KeyRing, spoil: Callable[[bytes], bytes]) -> None:
    assert stopped(ring, spoil(text(rows(ring)))) == "egress.format"


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=4)] * 2),
        min_size=1,
        max_size=5,
    )
)
def test_plainly_written_text_is_read_as_it_was_written(cells: list[tuple[str, str]]) -> None:
    parcel = io.BytesIO(text([list(pair) for pair in cells], ["a", "b"]))
    read = pl.concat(DelimitedParcel(parcel, ";", ("a", "b")).frames()).fill_null("")
    assert read.rows() == cells


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_no_changed_byte_makes_another_row_count_or_person_pass(ring: KeyRing, place: int, byte: int) -> None:
    clean = text(rows(ring))
    changed = bytearray(clean)
    changed[place % len(clean)] = byte
    with contextlib.suppress(Corrupt):
        seen = gate(ring, bytes(changed))
        assert seen.sha256 == hashlib.sha256(changed).hexdigest()
        assert seen.rows == 3
        assert who(bytes(changed)) == who(clean)


def who(parcel: bytes) -> list[bytes]:
    """The first cell of each line."""
    return [line.partition(b";")[0] for line in parcel.splitlines()]


def test_a_check_that_the_gate_does_not_know_is_stopped(
    ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("hub.egress", fromlist=["_KEPT"])._KEPT, "cefr")
    assert stopped(ring, text(rows(ring))) == "egress.value"


def test_the_gate_knows_every_check() -> None:
    assert set(__import__("hub.egress", fromlist=["_KEPT"])._KEPT) == set(CHECKS)


# --- workbooks: E2 releases names, as XLSX ---

E2_ROWS: Final = [
    ["Müller-Lüdenscheidt", "Anna Maria", "1987-05-23", "00012345", "general", "3", "4.5", "2026-04-17"],
    ["D'Angelo", "Łukasz", "1990-00-00", "00012346", "intensive", "10", "2", "2026-04-20"],
]


def book(cells: list[list[str]] | None = None) -> bytes:
    frame = pl.DataFrame(
        E2_ROWS if cells is None else cells, schema=dict.fromkeys(columns(E2), pl.String), orient="row"
    )
    sink = io.BytesIO()
    write_parcel(iter([frame]), sink, E2)
    return sink.getvalue()


def repacked(edit: Callable[[dict[str, bytes]], object], **archive: Any) -> bytes:
    """A workbook with some of its parts changed, packed as plainly as before."""
    with zipfile.ZipFile(io.BytesIO(book())) as package:
        parts = {part: package.read(part) for part in package.namelist()}
    edit(parts)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as package:
        for part, content in parts.items():
            info = zipfile.ZipInfo(part)
            info.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(info, content)
        for name, value in archive.items():
            setattr(package, name, value)
    return sink.getvalue()


def replaced(part: str, old: bytes, new: bytes) -> bytes:
    def edit(parts: dict[str, bytes]) -> None:
        assert old in parts[part]
        parts[part] = parts[part].replace(old, new, 1)

    return repacked(edit)


def gate_book(ring: KeyRing, parcel: bytes, **changes: Any) -> Inspection:
    claims = {"agreement": E2, "name": BOOK_NAME, "cleared": None, "rows": 2, "withheld": []}
    return gate(ring, parcel, **claims | changes)


def stopped_book(ring: KeyRing, parcel: bytes, **changes: Any) -> str:
    with pytest.raises(Corrupt) as alarm:
        gate_book(ring, parcel, **changes)
    assert not re.search("Müller|Anna|1987|Weber", alarm.value.message)
    return alarm.value.code


def test_a_clean_workbook_with_agreed_names_passes(ring: KeyRing) -> None:
    parcel = book()
    expected = Inspection(2, hashlib.sha256(parcel).hexdigest(), tuple(columns(E2)))
    assert gate_book(ring, parcel) == expected
    assert gate_book(ring, repacked(lambda _parts: None)).rows == 2


SHEET: Final = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("docProps/core.xml", b"<dc:creator>", b"<dc:creator>M. Weber"),
        ("docProps/core.xml", b"<cp:lastModifiedBy>", b"<cp:lastModifiedBy>Anna"),
        ("docProps/core.xml", b"2000-01-01T00:00:00Z", b"2026-05-19T07:31:12Z"),
        ("docProps/app.xml", b"<Company>", b"<Company>Weber GmbH"),
        ("xl/workbook.xml", b'name="Lieferung"', b'name="Weber"'),
        ("xl/workbook.xml", b'sheetId="1"', b'sheetId="1" state="hidden"'),
        ("xl/workbook.xml", b"</sheets>", b'<sheet name="B" sheetId="2" r:id="rId1"/></sheets>'),
        ("xl/workbook.xml", b"</sheets>", b"</sheets><definedNames></definedNames>"),
        ("xl/_rels/workbook.xml.rels", b"</Rel", b'<Relationship Id="r9" TargetMode="External"/></Rel'),
        (SHEET, b"<sheetData>", b"<sheetData><!-- Weber -->"),
        (SHEET, b'<row r="2"', b'<row r="2" hidden="1"'),
        (SHEET, b'<row r="2"', b'<row r="2" about="Weber"'),
        (SHEET, b"<pageMargins", b'<legacyDrawing r:id="r1"/><pageMargins'),
        (SHEET, b"<pageMargins", b"<headerFooter><oddHeader>Weber</oddHeader></headerFooter><pageMargins"),
        (SHEET, b"</row>", b"Weber</row>"),
        (SHEET, b"<v>8</v>", b"<f>1+1</f><v>8</v>"),
    ],
)  # fmt: skip
def test_a_workbook_that_says_more_than_its_cells_is_stopped(
    ring: KeyRing, part: str, old: bytes, new: bytes
) -> None:
    assert stopped_book(ring, replaced(part, old, new)) == "egress.metadata"


@pytest.mark.parametrize(
    "part",
    ["xl/comments1.xml", "xl/worksheets/sheet2.xml", "xl/vbaProject.bin", "xl/externalLinks/link1.xml",
     "docProps/custom.xml", "docProps/thumbnail.jpeg", "xl/calcChain.xml"],
)  # fmt: skip
def test_a_workbook_with_another_part_is_stopped(ring: KeyRing, part: str) -> None:
    assert stopped_book(ring, repacked(lambda parts: parts.update({part: b"<x/>"}))) == "egress.metadata"


def test_an_archive_comment_or_time_is_stopped(ring: KeyRing) -> None:
    assert stopped_book(ring, repacked(lambda _parts: None, comment=b"Weber")) == "egress.metadata"
    stamped = io.BytesIO()
    with zipfile.ZipFile(stamped, "w") as package, zipfile.ZipFile(io.BytesIO(book())) as clean:
        for part in clean.namelist():
            package.writestr(zipfile.ZipInfo(part, (2026, 5, 19, 7, 31, 12)), clean.read(part))
    assert stopped_book(ring, stamped.getvalue()) == "egress.metadata"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda parcel: parcel[:-20],
        lambda parcel: parcel[: len(parcel) // 2],
        lambda parcel: parcel + b"Weber",
        lambda _parcel: b"",
        lambda _parcel: text([]),
    ],
)
def test_a_damaged_workbook_is_stopped(ring: KeyRing, spoil: Callable[[bytes], bytes]) -> None:
    assert stopped_book(ring, spoil(book())) in {"egress.format", "egress.metadata"}


def test_bytes_before_a_workbook_are_stopped(ring: KeyRing) -> None:
    assert stopped_book(ring, b"Weber" + book()) in {"egress.format", "egress.metadata"}


def test_a_document_type_is_stopped(ring: KeyRing) -> None:
    for part in (SHEET, "docProps/core.xml"):
        bomb = replaced(part, b"?>\n<", b'?>\n<!DOCTYPE x [<!ENTITY a "b">]>\n<')
        assert stopped_book(ring, bomb) == "egress.format"


def test_a_cell_of_another_kind_or_place_is_stopped(ring: KeyRing) -> None:
    assert stopped_book(ring, replaced(SHEET, b' t="s"><v>8</v>', b"><v>8</v>")) == "egress.format"
    assert stopped_book(ring, replaced(SHEET, b'r="A2"', b'r="Z2"')) == "egress.columns"
    assert stopped_book(ring, replaced(SHEET, b"<v>8</v>", b"<v>999</v>")) == "egress.format"


def test_a_workbook_with_other_columns_is_stopped(ring: KeyRing) -> None:
    assert (
        stopped_book(ring, replaced("xl/sharedStrings.xml", b"missed_on", b"missed_by")) == "egress.columns"
    )


def test_a_workbook_with_a_row_too_few_is_stopped(ring: KeyRing) -> None:
    assert stopped_book(ring, book(E2_ROWS[:1])) == "egress.count"
    assert stopped_book(ring, book([])) == "egress.count"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (0, "=1"),
        (0, "Müller; 2"),
        (0, "x" * 201),
        (2, "23.05.1987"),
        (3, "12345"),
        (5, "drei"),
        (7, "2026-02-30"),
    ],
)
def test_a_workbook_value_outside_its_treatment_is_stopped(ring: KeyRing, column: int, value: str) -> None:
    cells = [list(row) for row in E2_ROWS]
    cells[1][column] = "missing"
    parcel = book(cells)
    with zipfile.ZipFile(io.BytesIO(parcel)) as package:
        parts = {part: package.read(part) for part in package.namelist()}
    parts["xl/sharedStrings.xml"] = parts["xl/sharedStrings.xml"].replace(b"missing", value.encode())
    assert stopped_book(ring, repacked(lambda old: old.update(parts))) == "egress.value"


def test_no_name_that_the_check_takes_alarms_the_gate(ring: KeyRing) -> None:
    check, field = CHECKS["name"], E2.field("last_name")
    letters = [chr(point) for point in range(0x20, 0x2100) if check.explain(f"A{chr(point)}b", field) is None]
    starts = [chr(point) for point in range(0x20, 0x2100) if check.explain(f"{chr(point)}b", field) is None]
    assert len(letters) > 500
    names = [f"A{letter}b" for letter in letters] + [f"{letter}b" for letter in starts]
    cells = [[name.strip(), *E2_ROWS[0][1:]] for name in names]
    plain = Agreement.model_validate(E2.model_dump() | {"output": {"format": "csv", "delimiter": ";"}})
    parcel = text(cells, columns(E2))
    assert gate_book(ring, parcel, agreement=plain, rows=len(cells)).rows == len(names)
