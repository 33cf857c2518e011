"""Reports: the right words in both languages, the same as JSON, and nothing that a sender may not read."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from hub import reports
from hub.errors import Corrupt
from hub.report_words import WORDS, Language
from schemas.agreement import load_agreement
from schemas.reasons import catalogue

E2 = load_agreement(Path(schemas.__file__).parent / "agreements" / "e2.yaml")
BOTH = pytest.mark.parametrize("language", ["de", "en"])
COUNTS = {
    "received": 300,
    "delivered": 5,
    "already_delivered": 280,
    "refused": 9,
    "withheld": 6,
    "quarantined": 0,
}
POSITIONS = {field.name: at for at, field in enumerate(E2.fields)}


def found(*rows: tuple[int, str | None, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=reports.FINDINGS, orient="row")


PLAIN = reports.Report(
    submission="S-2025-0001",
    outcome="partially_accepted",
    agreement=E2,
    sha256="ab" * 32,
    received_at=datetime(2025, 7, 4, 12, 30, tzinfo=UTC),
    counts=COUNTS,
    findings=found(
        (17, "birth_date", "value.format", "refused"),
        (19, "missed_on", "value.missing", "refused"),
        (19, "last_name", "value.mojibake", "refused"),
        (23, None, "consent.withdrawn", "withheld"),
        (24, None, "person.unknown", "withheld"),
    ),
    notices=("file.header_reordered",),
    columns=POSITIONS,
    reasons={"value.format": 8, "value.missing": 1, "consent.withdrawn": 2, "person.unknown": 4},
)
SHEET = replace(PLAIN, sheet="Tabelle1")


def lines(report: reports.Report, language: Language = "de") -> list[str]:
    return reports.text(language, report).decode("utf-8-sig").split("\r\n")


def as_json(report: reports.Report) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(reports.as_json(report))
    return read


@BOTH
def test_the_text_shows_right_in_windows_notepad(language: Language) -> None:
    raw = reports.text(language, SHEET)
    assert raw.startswith(b"\xef\xbb\xbf")
    assert raw.endswith(b"\r\n")
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert max(len(line) for line in lines(SHEET, language)) <= 100


def test_the_german_report_says_what_was_taken_what_not_and_what_to_do() -> None:
    told = "\n".join(lines(PLAIN))
    assert told.startswith("Validierungsbericht\n===================\n\nEinlieferung:   S-2025-0001\n")
    assert "Vereinbarung:   E2 1.0.0, Unregelmäßige Teilnahme am Integrationskurs" in told
    assert "Eingang:        04.07.2025, 14:30 Uhr" in told
    assert "Ein Teil der Zeilen wurde übernommen." in told
    assert "  300 = 5 + 280 + 9 + 6 + 0. Jede Zeile ist gezählt." in told
    assert f"{catalogue()['value.format'].de} [8 Zeilen] (value.format)" in told
    assert f"{catalogue()['value.missing'].de} [1 Zeile] (value.missing)" in told
    assert "    Zu tun: " in told
    assert "(file.header_reordered)" in told


def test_the_english_report_says_the_same() -> None:
    told = "\n".join(lines(PLAIN, "en"))
    assert told.startswith("Validation report\n=================\n\nSubmission:     S-2025-0001\n")
    assert "Received:       2025-07-04, 14:30 (Europe/Berlin)" in told
    assert "Some of the rows were taken." in told
    assert "  300 = 5 + 280 + 9 + 6 + 0. Every row is accounted for." in told
    assert f"{catalogue()['value.format'].en} [8 rows] (value.format)" in told
    assert f"  Line 17, column Geburtsdatum: {catalogue()['value.format'].en} (value.format)" in told


def test_a_place_in_a_text_file_is_named_by_line_and_column() -> None:
    assert f"  Zeile 17, Spalte Geburtsdatum: {catalogue()['value.format'].de} (value.format)" in lines(PLAIN)


def test_a_place_in_a_workbook_is_named_as_the_spreadsheet_names_it() -> None:
    told = "\n".join(lines(SHEET))
    assert "Blatt Tabelle1, Zelle C17, Spalte Geburtsdatum:" in told
    assert "Blatt Tabelle1, Zeile 23:" in told
    cells = [(each.get("letter"), each["place"]) for each in as_json(SHEET)["findings"]]
    assert cells == [("C", 17), ("A", 19), ("H", 19), (None, 23), (None, 24)]


@pytest.mark.parametrize(("at", "letter"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA")])
def test_columns_are_lettered_as_in_a_spreadsheet(at: int, letter: str) -> None:
    moved = replace(SHEET, columns=POSITIONS | {"birth_date": at})
    assert f"Zelle {letter}17" in "\n".join(lines(moved))


def test_without_the_column_s_place_the_row_is_named() -> None:
    assert "Blatt Tabelle1, Zeile 17, Spalte Geburtsdatum:" in "\n".join(lines(replace(SHEET, columns={})))


@BOTH
def test_no_report_tells_who_is_known_to_the_hub(language: Language) -> None:
    secret = [code for code, reason in catalogue().items() if reason.coarse != code]
    assert {"person.unknown", "consent.withdrawn"} <= set(secret)
    rows = [(place, "last_name", code, "withheld") for place, code in enumerate(secret, 2)]
    report = replace(
        PLAIN,
        findings=found(*rows),
        reasons=dict.fromkeys(secret, 1),
        reason="consent.withdrawn",
        notices=("person.unknown",),
    )
    for told in (reports.text(language, report).decode(), reports.as_json(report).decode()):
        assert not any(code in told for code in secret)
        assert not any(catalogue()[code].de in told or catalogue()[code].en in told for code in secret)
        assert "Nachname" not in told
    assert as_json(report)["reasons"] == {"consent.none": len(secret)}


def test_two_fine_reasons_of_one_row_become_one_line() -> None:
    both = found((5, None, "person.unknown", "withheld"), (5, "module", "consent.fields", "withheld"))
    assert as_json(replace(PLAIN, findings=both))["findings"] == [
        {"place": 5, "code": "consent.none", "fate": "withheld"}
    ]


def test_findings_come_by_place_and_then_in_the_order_of_the_file() -> None:
    shuffled = replace(PLAIN, findings=PLAIN.findings.reverse())
    assert [(each["place"], each.get("column")) for each in as_json(shuffled)["findings"]] == [
        (17, "Geburtsdatum"),
        (19, "Nachname"),
        (19, "Fehldatum"),
        (23, None),
        (24, None),
    ]


@settings(deadline=None)
@given(st.text(max_size=80))
def test_a_hostile_sheet_name_cannot_break_out_of_its_line(name: str) -> None:
    report = replace(SHEET, sheet=name)
    usual = len(lines(replace(SHEET, sheet="x" * 31)))
    assert abs(len(lines(report)) - usual) <= 5  # wrapped a little otherwise, no line of its own
    assert len(as_json(report)["file"]["sheet"] or "") <= 31


def test_control_and_direction_signs_in_a_sheet_name_are_dropped() -> None:
    report = replace(SHEET, sheet="Ta\r\nbe\u202elle\x001\u2028" + "x" * 100)
    assert as_json(report)["file"]["sheet"] == "Tabelle1" + "x" * 22 + "…"
    assert "Blatt Tabelle1x" in "\n".join(lines(report))


@BOTH
def test_a_file_refused_as_a_whole_says_why_and_what_to_do(language: Language) -> None:
    none = dict.fromkeys(COUNTS, 0)
    report = replace(
        PLAIN, outcome="refused", reason="file.header", counts=none, reasons={}, findings=found(), notices=()
    )
    told = "\n".join(lines(report, language))
    reason = catalogue()["file.header"]
    assert WORDS[language].outcome["refused"] in told
    assert (reason.de if language == "de" else reason.en) in told
    assert (reason.remedy_de if language == "de" else reason.remedy_en) in " ".join(told.split())
    assert WORDS[language].places not in told
    assert as_json(report)["file"]["codes"] == ["file.header"]


def test_when_no_row_was_taken_the_report_does_not_say_that_some_were() -> None:
    report = replace(PLAIN, counts=COUNTS | {"delivered": 0, "already_delivered": 0, "received": 15})
    assert "Keine Zeile wurde übernommen." in "\n".join(lines(report))
    assert "No row was taken." in "\n".join(lines(report, "en"))


def test_all_taken_leaves_no_list_of_reasons() -> None:
    report = replace(
        PLAIN,
        outcome="accepted",
        counts=dict.fromkeys(COUNTS, 0) | {"received": 3, "delivered": 3},
        reasons={},
        findings=found(),
        notices=(),
    )
    told = "\n".join(lines(report))
    assert "Sie müssen nichts tun." in told
    assert "Gründe" not in told


@BOTH
def test_a_long_report_ends_with_how_many_more_places_there_are(language: Language) -> None:
    many = pl.DataFrame({"place": pl.int_range(2, 12_347, dtype=pl.UInt32, eager=True)}).with_columns(
        column=pl.lit("module"), code=pl.lit("value.code"), fate=pl.lit("refused")
    )
    report = replace(PLAIN, findings=many)
    told = lines(report, language)
    assert sum("(value.code)" in line for line in told) == 10_000
    assert f"  {WORDS[language].more.format(2_345)}" in told
    document = as_json(report)
    assert (len(document["findings"]), document["further_findings"]) == (12_345, 0)


def test_the_json_holds_100_000_places_and_the_number_of_the_rest() -> None:
    many = pl.DataFrame({"place": pl.int_range(2, 100_012, dtype=pl.UInt32, eager=True)}).with_columns(
        column=pl.lit("module"), code=pl.lit("value.code"), fate=pl.lit("refused")
    )
    document = as_json(replace(PLAIN, findings=many))
    assert (len(document["findings"]), document["further_findings"]) == (100_000, 10)


def test_the_json_says_all_that_the_text_says() -> None:
    document = as_json(SHEET)
    assert document["submission"] == "S-2025-0001"
    assert document["agreement"] == {"id": "E2", "version": "1.0.0"}
    assert document["rows"] == COUNTS
    assert document["reasons"] == {"consent.none": 6, "value.format": 8, "value.missing": 1}
    assert document["received_at"] == "2025-07-04T12:30:00+00:00"
    assert document["findings"][0] == {
        "place": 17,
        "sheet": "Tabelle1",
        "letter": "C",
        "column": "Geburtsdatum",
        "code": "value.format",
        "fate": "refused",
    }
    used = {each["code"] for each in document["findings"]} | document["reasons"].keys()
    assert document["codes"].keys() == used | {"file.header_reordered"}
    reason = catalogue()["value.format"]
    assert document["codes"]["value.format"] == {
        "de": reason.de,
        "en": reason.en,
        "remedy_de": reason.remedy_de,
        "remedy_en": reason.remedy_en,
    }


def test_a_code_without_a_sentence_is_told_by_its_name() -> None:
    report = replace(PLAIN, reason="file.of_tomorrow", outcome="withdrawn")
    assert "  - Siehe Code. (file.of_tomorrow)" in lines(report)
    assert "  - See the code. (file.of_tomorrow)" in lines(report, "en")


def test_no_report_is_written_over_rows_that_do_not_add_up() -> None:
    with pytest.raises(Corrupt) as caught:
        replace(PLAIN, counts=COUNTS | {"delivered": 6})
    assert caught.value.code == "report.counts"


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from([*catalogue(), "consent.new", "submission.recalled"]), st.integers(0, 99))
)
def test_coarse_counts_keep_every_row_and_no_fine_code(counts: dict[str, int]) -> None:
    told = reports.coarse(counts)
    assert sum(told.values()) == sum(counts.values())
    assert reports.coarse(told) == told
    assert not any(code.startswith(("person.", "consent.")) for code in told if code != "consent.none")
