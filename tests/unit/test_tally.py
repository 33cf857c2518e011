"""Every row is counted once, by its first finding."""

import polars as pl

from hub.reports import FINDINGS
from hub.states import Fate
from hub.tally import Tally


def findings(*rows: tuple[int, str | None, str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=FINDINGS, orient="row")


def test_a_row_with_several_findings_counts_once_by_the_first() -> None:
    tally = Tally()
    tally.refuse_first_reasons(
        findings(
            (2, "last_name", "value.missing", "refused"),
            (2, "birth_date", "value.format", "refused"),
            (5, None, "row.duplicate", "refused"),
        )
    )
    assert tally.codes() == {"row.duplicate": 1, "value.missing": 1}
    assert tally.of(Fate.REFUSED) == 2


def test_a_row_that_the_hub_cannot_judge_is_quarantined_whatever_else_is_found() -> None:
    tally = Tally()
    tally.refuse_first_reasons(
        findings(
            (2, "last_name", "value.missing", "refused"),
            (2, None, "validation.disagreement", "quarantined"),
        )
    )
    assert tally.codes(Fate.QUARANTINED) == {"validation.disagreement": 1}
    assert tally.of(Fate.REFUSED) == 0


def test_what_a_step_kept_is_taken_up_by_the_next() -> None:
    first, second = Tally(), Tally()
    first.add(Fate.WITHHELD, "consent.missing", 3)
    first.add(Fate.REFUSED, "row.duplicate", 0)
    second.take(first.facts())
    assert second.codes() == {"consent.missing": 3}
    assert second.counts()["withheld"] == 3
