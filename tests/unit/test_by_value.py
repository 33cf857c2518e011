"""What is found out once for each text is what would have been found out for each row."""

import polars as pl
import pytest

from hub import by_value as module
from hub.by_value import by_value

WANTED = (
    pl.col("level").str.contains("^B"),
    pl.when(pl.col("level") == "").then(pl.lit("none")).otherwise(pl.col("level").str.to_lowercase()),
    pl.lit(value=True),
)


@pytest.mark.parametrize("texts", [["B1", "", "A2", "Ä", "B1"], ["B1"], [""], [f"{n}" for n in range(2_000)]])
@pytest.mark.parametrize("repeated", [1, 3, 700])
def test_rows_get_what_holds_for_their_texts(texts: list[str], repeated: int) -> None:
    column = pl.Series("level", texts * repeated)
    straight = column.to_frame().with_columns(w.alias(str(place)) for place, w in enumerate(WANTED))
    for place, found in enumerate(by_value(column, *WANTED)):
        assert found.to_list() == straight[str(place)].to_list()


def test_nulls_and_nothing_are_columns_as_well() -> None:
    missing = pl.Series("level", ["B1", None] * 1_000)
    assert by_value(missing, WANTED[0])[0].to_list() == [True, None] * 1_000
    assert by_value(pl.Series("level", [], dtype=pl.String), WANTED[0])[0].to_list() == []


def test_a_text_is_asked_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def count(texts: pl.Series) -> pl.Series:
        asked.append(len(texts))
        return texts

    counting = pl.col("level").map_batches(count, return_dtype=pl.String, is_elementwise=True)
    column = pl.Series("level", ["A1", "A2", "B1"] * 1_000)
    assert by_value(column, counting)[0].to_list() == column.to_list()
    monkeypatch.setattr(module, "_FEW", 2)
    assert by_value(column, counting)[0].to_list() == column.to_list()
    assert asked == [3, 3_000]
