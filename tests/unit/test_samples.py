"""Samples: plausible, repeatable, and with exactly the outcome that their plan says."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Literal

import openpyxl
import polars as pl
import pytest
from pydantic import ValidationError

from schemas.agreement import SHIPPED, Agreement, AtMost, NotAfter, Present, Unique, load_agreement
from schemas.checks import row_model
from schemas.reasons import catalogue, reason
from schemas.samples import (
    FileForm,
    Sample,
    broken_files,
    csv_bytes,
    recipe_names,
    sample,
    write_consents,
    write_sample,
)

AGREEMENTS = {path.stem: load_agreement(path) for path in SHIPPED.glob("*.yaml")}
E2, E3, E7 = AGREEMENTS["e2"], AGREEMENTS["e3"], AGREEMENTS["e7"]
FileFormat = Literal["csv", "xlsx"]
CASES: list[tuple[Agreement, FileFormat]] = [(E3, "csv"), (E2, "csv"), (E2, "xlsx"), (E7, "csv")]
TODAY = date(2026, 5, 4)


def judged(made: Sample) -> dict[int, set[str]]:
    """Every row's codes by a naive judge: pydantic for values, plain Python for the rules."""
    agreement, model = made.agreement, row_model(made.agreement)
    names = [field.name for field in agreement.fields]
    seen: dict[int, set[tuple[str, ...]]] = {}
    found: dict[int, set[str]] = {}
    for place, cells in enumerate(made.frame.iter_rows()):
        row = dict(zip(names, cells, strict=True))
        try:
            model.model_validate(row)
        except ValidationError as error:
            found[place] = {problem["type"] for problem in error.errors()}
        else:
            found[place] = rules_broken(agreement, row, seen)
    return found


def rules_broken(
    agreement: Agreement, row: dict[str, str], seen: dict[int, set[tuple[str, ...]]]
) -> set[str]:
    broken = set()
    for number, rule in enumerate(agreement.rules):
        if isinstance(rule, Unique):
            key = tuple(row[name] for name in rule.fields)
            if key in seen.setdefault(number, set()):
                broken.add(rule.code)
            seen[number].add(key)
        elif isinstance(rule, Present):
            broken |= set() if row[rule.field] else {rule.code}
        elif isinstance(rule, AtMost):
            broken |= {rule.code} if comma(row[rule.field]) > comma(row[rule.other]) else set()
        elif isinstance(rule, NotAfter):
            latest = TODAY.isoformat() if rule.other == "today" else iso(row[rule.other])
            earliest = iso(row[rule.field])
            if earliest > latest[: len(earliest)]:
                broken.add(rule.code)
    return broken


def comma(text: str) -> float:
    return float(text.replace(",", "."))


def iso(text: str) -> str:
    return "-".join(reversed(text.split("."))) if "." in text else text


@pytest.mark.parametrize(("agreement", "file_format"), CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_row_is_judged_as_planned(agreement: Agreement, file_format: FileFormat, seed: int) -> None:
    made = sample(agreement, 400, seed, errors=True, file_format=file_format)
    planned = {row: code for row, _, _, code, fate in made.plan.iter_rows() if fate == "refused"}
    in_the_file = {
        "row.field_count",
        "row.totals_row",
        "value.number_cell",
    }  # what only reading the file shows
    for place, codes in judged(made).items():
        expected = planned.get(place)
        if expected not in in_the_file:
            assert codes == ({expected} if expected else set()), f"row {place}"
    assert Counter(planned.values()) == Counter(made.expected)


@pytest.mark.parametrize(("agreement", "file_format"), CASES)
def test_a_sample_without_errors_has_only_good_rows(agreement: Agreement, file_format: FileFormat) -> None:
    made = sample(agreement, 500, 7, file_format=file_format)
    assert not any(judged(made).values())
    assert made.delivered == made.delivered_if_consented == 500
    assert not made.expected
    assert not made.withheld


def test_every_code_that_a_row_of_these_agreements_can_have_is_in_a_sample() -> None:
    shown = {
        code
        for agreement, form in CASES
        for code in sample(agreement, 400, 1, errors=True, file_format=form).expected
    }
    rows = {
        code
        for code, entry in catalogue().items()
        if entry.fate == "refused" and not code.startswith(("submission.", "review."))
    }
    assert shown == rows


def test_withheld_rows_are_counted_by_every_fine_code() -> None:
    made = sample(E3, 300, 1, errors=True)
    withheld = {code for code, entry in catalogue().items() if entry.fate == "withheld"}
    assert set(made.withheld) == withheld - {"consent.none"}
    assert made.delivered == 300 - sum(made.expected.values()) - sum(made.withheld.values())


def test_consents_have_a_line_for_everyone_but_the_unknown() -> None:
    made = sample(E3, 300, 1, errors=True)
    assert made.consents is not None
    assert made.consents["Teilnehmernummer"].is_unique().all()
    assert made.consents["Einwilligung_Nr"].is_unique().all()
    given = set(made.consents["Teilnehmernummer"])
    for row, _, _, code, _ in made.plan.filter(pl.col("fate") == "withheld").iter_rows():
        number = made.frame["Teilnehmernummer"][row]
        assert (number in given) == (code != "person.unknown")
        line = made.consents.filter(pl.col("Teilnehmernummer") == number)
        if code == "consent.withdrawn":
            assert line["Widerrufen_am"].to_list() == ["2025-03-01"]
        if code == "consent.fields":
            assert set(line["Felder"][0].split()) < {field.name for field in E3.released}


def test_consents_of_a_clean_sample_cover_every_released_field() -> None:
    made = sample(E3, 50, 1)
    assert made.consents is not None
    assert made.consents.height == 50
    assert set(made.consents["Felder"]) == {" ".join(field.name for field in E3.released)}
    assert set(made.consents["Zweck"]) == {E3.purpose}
    assert set(made.consents["Widerrufen_am"]) == {""}


def test_an_agreement_under_a_statute_has_no_consents(tmp_path: Path) -> None:
    made = sample(E2, 50, 1)
    assert made.consents is None
    with pytest.raises(ValueError, match="rests on no consent"):
        write_consents(made, tmp_path / "consents.csv")


@pytest.mark.parametrize(("agreement", "file_format"), CASES)
def test_the_same_seed_gives_the_same_bytes(
    agreement: Agreement, file_format: FileFormat, tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        made = sample(agreement, 200, seed, errors=True, file_format=file_format)
        write_sample(made, tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_only_the_named_errors_are_made() -> None:
    made = sample(E3, 100, 1, errors={"mojibake", "consent_expired"})
    assert dict(made.expected) == {"value.mojibake": 1}
    assert dict(made.withheld) == {"consent.expired": 1}
    assert made.delivered == 98


def test_an_unknown_recipe_and_too_few_rows_are_told() -> None:
    with pytest.raises(ValueError, match="no such recipe: earthquake"):
        sample(E3, 100, 1, errors={"earthquake"})
    with pytest.raises(ValueError, match="expected at least"):
        sample(E3, 20, 1, errors=True)
    assert "short_row" not in recipe_names(E2, "xlsx")
    assert "number_cell" in recipe_names(E2, "xlsx")


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_smallest_samples_are_good(rows: int) -> None:
    assert sample(E3, rows, 1).frame.height == rows


def test_a_canary_sits_in_every_name_and_in_the_bad_texts() -> None:
    made = sample(E3, 300, 1, errors=True, canary="Kanarienvogel")
    spoilt = set(made.plan["row"])
    for header in ("Nachname", "Vorname"):
        names = [name for place, name in enumerate(made.frame[header]) if place not in spoilt]
        assert all("Kanarienvogel" in name for name in names)
    bad = made.plan.filter(pl.col("recipe").is_in(["mojibake", "formula", "unknown_code", "day_not_in_form"]))
    assert all("Kanarienvogel" in made.frame[column][row] for row, _, column, _, _ in bad.iter_rows())


def test_short_and_long_rows_are_written_with_other_field_counts() -> None:
    made = sample(E3, 300, 1, errors=True)
    lines = csv_bytes(made).decode().splitlines()
    assert len(lines) == 301
    for place, mangling in made.mangled.items():
        assert lines[place + 1].count(";") == 14 + (1 if mangling == "long" else -1)


def test_the_form_of_a_csv_file_is_as_asked(tmp_path: Path) -> None:
    made = sample(E3, 50, 1, alphabet="windows-1252")
    form = FileForm(delimiter=",", encoding="windows-1252", newline="\r\n", decimal=".")
    write_sample(made, tmp_path / "a.csv", form)
    text = (tmp_path / "a.csv").read_bytes().decode("cp1252")
    assert text.count("\r\n") == 51
    assert text.startswith("Teilnehmernummer,Nachname")
    assert '"' not in text, "no decimal comma is left that would need quotes"
    write_sample(made, tmp_path / "b.csv", FileForm(bom=True))
    assert (tmp_path / "b.csv").read_bytes().startswith(b"\xef\xbb\xbfTeilnehmernummer;")


def test_a_workbook_holds_texts_and_numbers_only_where_planned(tmp_path: Path) -> None:
    made = sample(E2, 300, 1, errors=True, file_format="xlsx")
    write_sample(made, tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx")["Daten"]
    rows = list(sheet.iter_rows(values_only=True))
    assert rows[0] == tuple(made.frame.columns)
    numeric = {
        place for place, row in enumerate(rows[1:]) if any(isinstance(cell, int | float) for cell in row)
    }
    assert numeric == set(made.mangled)
    with pytest.raises(ValueError, match="expected a sample made for csv"):
        write_sample(made, tmp_path / "a.csv", FileForm())


@pytest.mark.parametrize("agreement", [E2, E3], ids=["e2", "e3"])
def test_broken_files_name_a_code_for_the_whole_file(agreement: Agreement) -> None:
    files = list(broken_files(agreement, 40, 1))
    assert len({one.name for one in files}) == len(files) >= 18
    assert {reason(one.expected_code).fate for one in files} == {"file", "notice"}
    assert [one.name for one in files if not one.content] == ["empty"]
    again = list(broken_files(agreement, 40, 1))
    assert files == again


@pytest.mark.slow
def test_a_million_rows_take_seconds(tmp_path: Path) -> None:
    made = sample(E3, 1_000_000, 1)
    assert made.frame["Teilnehmernummer"].n_unique() == 1_000_000
    write_sample(made, tmp_path / "big.csv")
    assert (tmp_path / "big.csv").stat().st_size > 90_000_000
