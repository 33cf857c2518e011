"""Treatments are a closed set; rows under pseudonyms leave in an order that tells nothing."""

import numpy as np
import polars as pl
import pytest

from hub import minimisation
from hub.errors import Corrupt
from schemas.agreement import SHIPPED, load_agreement

E2, E3 = load_agreement(SHIPPED / "e2.yaml"), load_agreement(SHIPPED / "e3.yaml")


def rows_of(numbers: list[int]) -> pl.DataFrame:
    texts = {field.name: [f"{field.name} {number}" for number in numbers] for field in E3.fields}
    return pl.DataFrame({"place": pl.Series(numbers, dtype=pl.UInt32), **texts})


def ids_of(numbers: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.array([[number] * 16 for number in numbers], dtype=np.uint8)


def pseudonym(ids: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> pl.Series:
    return pl.Series([f"P{255 - one[0]:03d}" for one in ids.tolist()])


def test_only_the_agreed_columns_leave_in_the_agreed_order() -> None:
    made = minimisation.released(E3, rows_of([1, 2]), ids_of([1, 2]), pseudonym)
    assert made.columns == [field.released_as for field in E3.released]
    assert made["pseudonym"].to_list() == ["P254", "P253"]
    assert made["course_kind"].to_list() == ["course_kind 1", "course_kind 2"]


def test_rows_under_pseudonyms_leave_in_the_order_of_these_whatever_the_parts_were() -> None:
    parts = [minimisation.released(E3, rows_of(part), ids_of(part), pseudonym) for part in ([3, 1], [2, 4])]
    made = pl.concat(minimisation.ordered(E3, iter(parts), 3))
    assert made["pseudonym"].to_list() == ["P251", "P252", "P253", "P254"]
    assert made["course_kind"].to_list() == [f"course_kind {number}" for number in (4, 3, 2, 1)]


def test_the_order_is_that_of_the_whole_pseudonyms_also_where_they_begin_alike() -> None:
    draw = np.random.default_rng(1)
    alike = [f"P1AAAAAAAA{draw.integers(0, 50):04d}" for _ in range(300)]
    others = [f"P1{draw.integers(10**7, 10**8)}{draw.integers(0, 50):04d}" for _ in range(300)]
    for texts in (alike + others, others, alike, ["Q", "P2", "P10", ""], ["P1" + "A" * 20] * 3):
        mixed = [texts[place] for place in draw.permutation(len(texts))]
        frame = pl.DataFrame({"pseudonym": mixed, "place": [str(place) for place in range(len(mixed))]})
        made = pl.concat(minimisation.ordered(E3, iter([frame]), 100))
        assert made["pseudonym"].to_list() == sorted(texts)
        assert {mixed[int(place)] == text for text, place in made.iter_rows()} == {True}
        assert made["place"].n_unique() == len(texts)


def test_identified_rows_leave_as_they_came() -> None:
    parts = [pl.DataFrame({"last_name": ["b", "a"]}), pl.DataFrame({"last_name": ["c"]})]
    assert [part["last_name"].to_list() for part in minimisation.ordered(E2, iter(parts), 9)] == [
        ["b", "a"],
        ["c"],
    ]


def test_a_date_is_made_coarser_by_its_treatment() -> None:
    rows = pl.DataFrame({"day": ["2026-03-17", ""]})
    assert minimisation.treated(rows, "day", "month").to_list() == ["2026-03", ""]
    assert minimisation.treated(rows, "day", "year").to_list() == ["2026", ""]


def test_a_treatment_that_is_not_in_the_closed_set_is_an_error() -> None:
    with pytest.raises(Corrupt, match=r"minimisation\.treatment"):
        minimisation.treated(pl.DataFrame({"day": ["2026-03-17"]}), "day", "blur")


def test_what_counts_as_the_same_row_ignores_dropped_fields_and_the_pseudonym_key() -> None:
    before, after = rows_of([1]), rows_of([1]).with_columns(pl.lit("Korrigiert").alias("last_name"))
    assert minimisation.content(before, E3, ids_of([1])).equals(minimisation.content(after, E3, ids_of([1])))
    changed = rows_of([1]).with_columns(pl.lit("A2").alias("cefr_reading"))
    assert not minimisation.content(before, E3, ids_of([1])).equals(
        minimisation.content(changed, E3, ids_of([1]))
    )
    assert not minimisation.content(before, E3, ids_of([1])).equals(
        minimisation.content(before, E3, ids_of([2]))
    )
