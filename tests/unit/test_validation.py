"""Every row ends as good, refused or quarantined; findings name places and codes and never a value."""

import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub import keys_seen, validation
from hub.batch_metrics import Metrics
from hub.keys_seen import KeysSeen, TextsSeen
from hub.validation import FINDINGS, Validated, refuse_repeated, validate_part
from schemas.agreement import Agreement
from schemas.checks import CHECKS, row_model
from schemas.loading import load_agreement
from schemas.reasons import catalogue

AGREEMENTS: Final = Path(__file__).parents[2] / "schemas" / "agreements"
E3: Final = load_agreement(AGREEMENTS / "e3.yaml")
E2: Final = load_agreement(AGREEMENTS / "e2.yaml")
TODAY: Final = date(2026, 5, 19)
LEARNER: Final = {
    "participant_number": "KVHS-0012345",
    "last_name": "Müller-Lüdenscheidt",
    "first_name": "Zoë",
    "birth_date": "23.05.1987",
    "course_number": "00012345",
    "course_kind": "Allgemein",
    "reporting_month": "04.2026",
    "hours_planned": "0600",
    "hours_attended": "99,50",
    "cefr_listening": "A2",
    "cefr_reading": "",
    "cefr_speaking": "B1",
    "cefr_writing": "",
    "dtz_result": "unter A2",
    "lid_result": "",
}
ABSENCE: Final = {
    "last_name": "Şahin",
    "first_name": "Ayşe",
    "birth_date": "1990-00-00",
    "course_number": "00012345",
    "course_kind": "Intensiv",
    "module": "3",
    "missed_hours": "4,5",
    "missed_on": "17.04.2026",
    "obligation_ground": "SGB II",
}


def judged_part(frame: pl.DataFrame, agreement: Agreement, seen: KeysSeen) -> Validated:
    return refuse_repeated(validate_part(frame, agreement, TODAY), agreement, seen)


def learner(number: int = 12345, **changes: str) -> dict[str, str]:
    return LEARNER | {"participant_number": f"KVHS-{number:07}"} | changes


def absence(**changes: str) -> dict[str, str]:
    return ABSENCE | changes


def part(*rows: dict[str, str], first_place: int = 2) -> pl.DataFrame:
    places = pl.Series("place", range(first_place, first_place + len(rows)), dtype=pl.UInt32)
    agreement = E2 if rows and "module" in rows[0] else E3
    schema = {field.name: pl.String for field in agreement.fields}
    return pl.DataFrame(list(rows), schema=schema).insert_column(0, places)


def validated(
    *rows: dict[str, str], agreement: Agreement | None = None, seen: KeysSeen | None = None
) -> Validated:
    default = E2 if rows and "module" in rows[0] else E3
    return judged_part(part(*rows), agreement or default, seen or KeysSeen())


def found(*rows: dict[str, str], agreement: Agreement | None = None) -> list[tuple[Any, ...]]:
    return validated(*rows, agreement=agreement).findings.rows()


def altered(agreement: Agreement, **changes: Any) -> Agreement:
    return Agreement.model_validate(agreement.model_dump() | changes)


def test_good_rows_come_back_in_canonical_text() -> None:
    judged = validated(learner())
    assert judged.findings.is_empty()
    assert judged.findings.schema == FINDINGS
    assert judged.frame.columns == ["place", *LEARNER]
    assert judged.frame.row(0, named=True) == {
        **learner(),
        "place": 2,
        "birth_date": "1987-05-23",
        "course_kind": "general",
        "reporting_month": "2026-04",
        "hours_planned": "600",
        "hours_attended": "99.5",
        "dtz_result": "below",
    }


def test_names_are_brought_into_normal_form_c() -> None:
    judged = validated(learner(first_name="Zoe\u0308"))
    assert judged.frame["first_name"].to_list() == ["Zoë"]


def test_a_part_without_rows_gives_none() -> None:
    judged = validated()
    assert (judged.frame.height, judged.findings.height) == (0, 0)
    assert judged.frame.schema == part().schema
    assert judged.findings.schema == FINDINGS


def test_a_missing_required_value_is_refused_and_a_missing_optional_one_is_not() -> None:
    assert found(learner(first_name="")) == [(2, "first_name", "value.missing", "refused")]
    assert found(learner(cefr_listening="")) == []


def test_a_row_has_a_finding_for_each_bad_value_and_one_fate() -> None:
    twice_bad = learner(1, birth_date="31.02.1990", course_kind="Kochen")
    assert found(twice_bad, learner(2), learner(3, last_name="=A1")) == [
        (2, "birth_date", "value.range", "refused"),
        (2, "course_kind", "value.code", "refused"),
        (4, "last_name", "value.formula", "refused"),
    ]


@pytest.mark.parametrize(
    ("changes", "column", "code"),
    [
        ({"participant_number": "KVHS-12345"}, "participant_number", "value.leading_zero"),
        ({"course_number": "1,23E+07"}, "course_number", "value.scientific"),
        ({"course_number": "١٢٣٤٥٦٧٨"}, "course_number", "value.format"),
        ({"course_number": "00012345\n"}, "course_number", "value.format"),
        ({"birth_date": "31920"}, "birth_date", "value.serial_date"),
        ({"last_name": "MÃ¼ller"}, "last_name", "value.mojibake"),
        ({"last_name": "Шевченко"}, "last_name", "value.characters"),
        ({"last_name": "A" * 121}, "last_name", "value.too_long"),
        ({"hours_planned": "1501"}, "hours_planned", "value.range"),
        ({"hours_attended": "-1"}, "hours_attended", "value.range"),
        ({"cefr_listening": "A3"}, "cefr_listening", "value.code"),
    ],
)
def test_typical_errors_have_their_own_codes(changes: dict[str, str], column: str, code: str) -> None:
    assert found(LEARNER | changes) == [(2, column, code, "refused")]


def test_more_hours_attended_than_planned_are_refused_whatever_their_form() -> None:
    assert found(learner(hours_planned="99", hours_attended="99,0")) == []
    assert found(learner(hours_planned="100", hours_attended="99,99")) == []
    assert found(learner(hours_planned="99", hours_attended="100")) == [
        (2, "hours_attended", "row.hours_exceed", "refused")
    ]


def test_a_month_counts_as_not_after_today_until_it_has_begun() -> None:
    assert found(learner(reporting_month="05.2026")) == []
    assert found(learner(reporting_month="2026-06")) == [(2, "reporting_month", "row.future_date", "refused")]


def test_a_day_after_today_is_refused() -> None:
    assert found(absence(missed_on="19.05.2026")) == []
    assert found(absence(missed_on="2026-05-20")) == [(2, "missed_on", "row.future_date", "refused")]


def test_an_absence_without_obligation_is_refused() -> None:
    assert found(absence(obligation_ground="")) == [
        (2, "obligation_ground", "row.obligation_missing", "refused")
    ]


def test_dates_in_the_wrong_order_are_refused_and_unknown_days_get_the_benefit_of_the_doubt() -> None:
    late = {"missed_on": "17.04.2026"}
    for birth, ordered in (
        ("17.04.2026", True),
        ("18.04.2026", False),
        ("00.04.2026", True),
        ("00.00.2026", True),
        ("00.05.2026", False),
        ("2027-00-00", False),
    ):
        codes = [code for _, _, code, _ in found(absence(birth_date=birth, **late))]
        assert codes == ([] if ordered else ["row.date_order"])


def test_an_unknown_later_date_refuses_nothing() -> None:
    rule = {"kind": "not_after", "field": "missed_on", "other": "birth_date", "code": "row.date_order"}
    agreement = altered(E2, rules=(rule,))
    assert found(absence(missed_on="17.04.2026", birth_date="00.04.2026"), agreement=agreement) == []
    assert found(absence(missed_on="17.04.2026", birth_date="00.00.2026"), agreement=agreement) == []
    assert found(absence(missed_on="17.04.2026", birth_date="00.03.2026"), agreement=agreement) != []


def test_rules_let_missing_values_pass() -> None:
    fields = [field.model_dump() for field in E3.fields]
    for field in fields:
        if field["name"] in ("hours_planned", "hours_attended", "reporting_month"):
            field["required"] = False
    agreement = altered(E3, fields=tuple(fields))
    rows = [
        learner(1, hours_planned=""),
        learner(2, hours_attended=""),
        learner(3, reporting_month=""),
    ]
    assert found(*rows, agreement=agreement) == []


def test_rules_are_not_asked_about_a_row_with_bad_values() -> None:
    assert found(absence(obligation_ground="", module="11")) == [(2, "module", "value.range", "refused")]


def test_a_later_repetition_is_refused_and_the_first_stays() -> None:
    judged = validated(learner(1), learner(2), learner(1, last_name="Weber"), learner(1))
    assert judged.frame["place"].to_list() == [2, 3]
    assert judged.findings.rows() == [(place, None, "row.duplicate", "refused") for place in (4, 5)]


def test_a_repetition_is_known_by_its_canonical_text() -> None:
    rows = learner(1, reporting_month="04.2026"), learner(1, reporting_month="2026-04")
    assert [code for _, _, code, _ in found(*rows)] == ["row.duplicate"]


def test_a_refused_row_is_not_the_first_of_its_key() -> None:
    judged = validated(learner(1, birth_date="x"), learner(1, hours_attended="900"), learner(1), learner(1))
    assert judged.frame["place"].to_list() == [4]
    assert judged.findings["code"].to_list() == ["value.format", "row.hours_exceed", "row.duplicate"]


def test_a_repetition_in_a_later_part_is_refused() -> None:
    seen = KeysSeen()
    assert validated(learner(1), learner(2, first_name=""), seen=seen).frame.height == 1
    later = judged_part(part(learner(2), learner(1), first_place=4), E3, seen)
    assert later.frame["place"].to_list() == [4]
    assert later.findings.rows() == [(5, None, "row.duplicate", "refused")]


def test_two_unique_rules_hold_each_for_itself() -> None:
    rules = tuple({"kind": "unique", "fields": (name,)} for name in ("participant_number", "last_name"))
    agreement = altered(E3, rules=rules)
    rows = (
        learner(1, last_name="A"),
        learner(1, last_name="B"),
        learner(2, last_name="B"),
        learner(3, last_name="A"),
    )
    assert [(place, code) for place, _, code, _ in found(*rows, agreement=agreement)] == [
        (3, "row.duplicate"),
        (5, "row.duplicate"),
    ]


@pytest.fixture
def _doubting_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen that stops every row, as if it were too strict."""
    monkeypatch.setattr(validation, "_field_screen", lambda field: pl.col(field.name).is_null())


@pytest.mark.usefixtures("_doubting_screen")
def test_a_row_that_only_the_screen_stops_is_quarantined() -> None:
    judged = validated(learner(1), learner(2, first_name=""), learner(3, hours_attended="900"))
    assert judged.frame.is_empty()
    assert judged.findings.rows() == [
        (2, None, "validation.disagreement", "quarantined"),
        (3, "first_name", "value.missing", "refused"),
        (4, "hours_attended", "row.hours_exceed", "refused"),
    ]


@pytest.mark.usefixtures("_doubting_screen")
def test_a_quarantined_row_is_not_the_first_of_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = KeysSeen()
    assert validated(learner(1), seen=seen).frame.is_empty()
    monkeypatch.undo()
    assert validated(learner(1), seen=seen).frame.height == 1


BAD_TEXT: Final = st.one_of(
    st.sampled_from(
        ["", "0", "-1", "=1", "31.02.1990", "A2", "1,5", "1.5", "2026-04", "99999999999", "Ü", "\n"]
    ),
    st.text(max_size=12),
)


def cells(agreement: Agreement, good: dict[str, str]) -> st.SearchStrategy[dict[str, str]]:
    """Rows in which any cell may hold anything that a reader hands over (stripped at both ends)."""
    texts = {
        name: st.one_of(st.just(text), st.just(text), BAD_TEXT.map(str.strip)) for name, text in good.items()
    }
    return st.fixed_dictionaries({field.name: texts[field.name] for field in agreement.fields})


@settings(max_examples=25, deadline=None)
@given(
    st.one_of(st.lists(cells(E3, LEARNER), max_size=6), st.lists(cells(E2, ABSENCE), min_size=1, max_size=6))
)
def test_every_row_meets_exactly_one_fate_for_known_reasons(rows: list[dict[str, str]]) -> None:
    agreement = E2 if rows and "module" in rows[0] else E3
    judged = validated(*rows)
    places = set(range(2, 2 + len(rows)))
    good, bad = set(judged.frame["place"]), set(judged.findings["place"])
    assert good | bad == places
    assert not good & bad
    assert judged.findings.group_by("place").agg(pl.col("fate").n_unique())["fate"].to_list() == [1] * len(
        bad
    )
    for _, column, code, fate in judged.findings.rows():
        assert catalogue()[code].fate == fate
        assert column is None or column in rows[0]
    model = row_model(agreement)
    for place in good:
        model.model_validate(rows[place - 2])
    canonical = judged.frame
    assert sum(canonical.null_count().row(0)) == 0
    for field in agreement.fields:
        filled = canonical.filter(pl.col(field.name) != "")
        assert filled.select(CHECKS[field.check].conforms(pl.col(field.name), field).all()).item()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=24), st.integers(1, 6))
def test_cutting_a_file_into_parts_changes_nothing(numbers: list[tuple[int, bool]], size: int) -> None:
    rows = [learner(number, birth_date="1.1.1990" if bad else "01.01.1990") for number, bad in numbers]
    whole = validated(*rows)
    seen, frames, findings = KeysSeen(), [whole.frame.clear()], [whole.findings.clear()]
    for start in range(0, len(rows), size):
        judged = judged_part(part(*rows[start : start + size], first_place=start + 2), E3, seen)
        frames.append(judged.frame)
        findings.append(judged.findings)
    assert pl.concat(frames).equals(whole.frame)
    assert pl.concat(findings).equals(whole.findings)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abc;:~"), st.sampled_from(["", "x", "x,", "1:x"])), max_size=9)
    )
)
def test_texts_seen_agree_with_a_set(parts: list[list[tuple[str, str]]]) -> None:
    seen, plain = TextsSeen(), set[tuple[str, str]]()
    for rows in parts:
        fresh = seen.add(pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row"))
        expected = []
        for row in rows:
            expected.append(row not in plain)
            plain.add(row)
        assert fresh.tolist() == expected
    assert len(seen) == len(plain)


def test_keys_whose_first_words_are_equal_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def colliding(_key: bytes, texts: pl.Series) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        numbers = texts.str.extract(r"(\d+),$").cast(pl.UInt64).to_numpy()
        return np.stack([np.zeros_like(numbers), numbers], axis=1).view(np.uint8).reshape(-1, 16)

    monkeypatch.setattr(keys_seen, "cmac_texts", colliding)
    seen = TextsSeen()
    for start in (0, 5, 3, 0):
        numbers = range(start, start + 6)
        expected = [number >= len(seen) for number in numbers]
        assert seen.add(pl.DataFrame({"n": [str(number) for number in numbers]})).tolist() == expected


def test_seen_texts_take_sixteen_bytes_a_row() -> None:
    seen = TextsSeen()
    for start in range(0, 50_000, 1_000):
        seen.add(pl.DataFrame({"n": [str(number) for number in range(start, start + 1_000)]}))
    assert len(seen) == 50_000
    assert sum(run.nbytes for run in seen._runs) == 16 * 50_000
    assert len(seen._runs) <= math.log2(50)


def metrics_of(agreement: Agreement, *parts: tuple[dict[str, str], ...]) -> dict[str, float]:
    metrics, seen, received = Metrics(agreement), KeysSeen(), 0
    for rows in parts:
        frame = part(*rows, first_place=received + 2)
        judged = judged_part(frame, agreement, seen)
        metrics.add(frame, judged.frame, judged.findings["place"].n_unique())
        received += frame.height
    return metrics.figures(received)


def test_metrics_count_over_all_parts() -> None:
    items = [
        {"metric": metric, "column": column, "at_least": 0.0, "severity": "warn"}
        for metric, column in (
            ("rows", None),
            ("refused_share", None),
            ("empty_share", "cefr_listening"),
            ("empty_share", "first_name"),
            ("distinct_share", "last_name"),
            ("distinct_share", "cefr_reading"),
            ("mean", "hours_attended"),
        )
    ]
    first = learner(1, hours_attended="10,5"), learner(2, hours_attended="20", cefr_listening="")
    second = learner(3, hours_attended="30", last_name="Weber"), learner(4, first_name="", last_name="Nie")
    assert metrics_of(altered(E3, expectations=tuple(items)), first, second) == {
        "rows": 4,
        "refused_share": 0.25,
        "empty_share:cefr_listening": 0.25,
        "empty_share:first_name": 0.25,
        "distinct_share:last_name": pytest.approx(2 / 3),
        "distinct_share:cefr_reading": pytest.approx(math.nan, nan_ok=True),
        "mean:hours_attended": pytest.approx(60.5 / 3),
    }


def test_metrics_of_nothing_are_not_numbers() -> None:
    figures = metrics_of(E3)
    assert figures.pop("rows") == 0
    assert all(math.isnan(figure) for figure in figures.values())
    assert len(figures) == len(E3.expectations) - 1


def secrets_in(rows: list[dict[str, str]]) -> Iterator[str]:
    return (text for row in rows for text in row.values() if len(text) > 4)


def test_findings_hold_no_value() -> None:
    bad = [learner(birth_date="31.13.1999", last_name="Wéb3r-Canary", participant_number="KVHS-99")]
    said = str(validated(*bad).findings.to_dicts())
    assert not [text for text in secrets_in(bad) if text in said]
