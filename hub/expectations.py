"""The batch held against its Great Expectations suite: is this the delivery that was to be expected?

Great Expectations sees one row of figures that ``hub.validation`` has counted, never a row of a person, so
that nothing it stores, prints or raises can hold a value. It works in memory only: no stores on disk, no data
documents, no progress bars, no analytics.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.errors import Corrupt
from schemas.agreement import Agreement
from schemas.terms import Expectation

Bounds = tuple[str, float | None, float | None]


@dataclass(frozen=True)
class Failure:
    """An expectation that does not hold: its code, the figure, the column (None: all rows), its severity."""

    code: str
    metric: str
    column: str | None
    severity: str


@dataclass(frozen=True)
class Judgement:
    """What the suite says: ``passed`` unless one of severity ``quarantine`` fails; these come first."""

    passed: bool
    failures: tuple[Failure, ...]


def metric_key(metric: str, column: str | None) -> str:
    """Name a figure of the metrics: ``rows``, ``mean:hours_attended``."""
    return metric if column is None else f"{metric}:{column}"


def judge(metrics: Mapping[str, float], agreement: Agreement) -> Judgement:
    """Hold a batch's figures against the agreement's expectations.

    Args:
        metrics: figures by ``metric_key``. One that could not be counted (the mean of nothing) is NaN; it
            fails every expectation on it.
        agreement: whose ``expectations`` make the suite.

    Raises:
        Corrupt: ``batch.suite`` if a figure is missing, or Great Expectations fails, answers another
            question than was asked, or answers not at all.
    """
    asked = {_bounds(expectation): expectation for expectation in agreement.expectations}
    if not asked:
        return Judgement(passed=True, failures=())
    if missing := sorted({bounds[0] for bounds in asked} - metrics.keys()):
        raise _broken("none", "figures for " + ", ".join(missing))
    figures = {key: float(metrics[key]) for key, _, _ in asked}
    figures = {key: figure if math.isfinite(figure) else math.nan for key, figure in figures.items()}
    holds = _answers(figures, list(asked))
    if holds.keys() != asked.keys():
        raise _broken("others", "an answer to each question")
    failures = [
        Failure(expectation.code, expectation.metric, expectation.column, expectation.severity)
        for expectation in agreement.expectations
        if not holds[_bounds(expectation)]
    ]
    failures.sort(key=lambda failure: failure.severity != "quarantine")
    return Judgement(
        passed=all(failure.severity != "quarantine" for failure in failures), failures=tuple(failures)
    )


def _bounds(expectation: Expectation) -> Bounds:
    low, high = (None if end is None else float(end) for end in (expectation.at_least, expectation.at_most))
    return metric_key(expectation.metric, expectation.column), low, high


def _broken(found: str, expected: str) -> Corrupt:
    return Corrupt(
        code="batch.suite",
        message=f"the batch suite expected {expected}, found {found}",
        remedy="The delivery waits. Retry the submission; if it fails again, report it.",
    )


def _answers(figures: Mapping[str, float], asked: Sequence[Bounds]) -> dict[Bounds, bool]:
    """Let Great Expectations answer; what it raises or catches may quote anything, so none of it is kept."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = _run(figures, asked)
    except Exception:  # noqa: BLE001 -- a library of this size raises what it likes
        raise _broken("errors", "Great Expectations to answer") from None
    counted: dict[str, bool] = {}
    holds: dict[Bounds, bool] = {}
    for result in results:
        if result.exception_info.get("raised_exception") is not False:  # otherwise one entry for each metric
            raise _broken("errors", "Great Expectations to count")
        kind, asks = result.expectation_config.type, result.expectation_config.kwargs
        if kind == "expect_column_values_to_not_be_null":
            counted[asks["column"]] = result.success is True
        elif kind == "expect_column_values_to_be_between":
            bounds = (asks["column"], asks.get("min_value"), asks.get("max_value"))
            holds[bounds] = result.success is True
    if counted.keys() != figures.keys():
        raise _broken("others", "every figure counted")
    return {bounds: good and counted[bounds[0]] for bounds, good in holds.items()}


def _run(figures: Mapping[str, float], asked: Sequence[Bounds]) -> list[Any]:
    """Run the suite; results come in any order. Imports take seconds, so they wait until somebody asks."""
    import pandas as pd
    from great_expectations import ExpectationSuite, get_context
    from great_expectations.core.result_format import ResultFormat
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )
    from great_expectations.expectations.core import (
        ExpectColumnValuesToBeBetween,
        ExpectColumnValuesToNotBeNull,
    )

    # 1.24 no longer ships an analytics client; the switch stays off for a version that brings one back.
    config = DataContextConfig(
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
    )
    context = get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("hub").add_dataframe_asset("metrics")
    batch = asset.add_batch_definition_whole_dataframe("batch").get_batch(
        {"dataframe": pd.DataFrame({key: [figure] for key, figure in figures.items()}, dtype="float64")}
    )
    suite = ExpectationSuite(
        name="batch",
        expectations=[
            *(ExpectColumnValuesToNotBeNull(column=key) for key in figures),
            *(
                ExpectColumnValuesToBeBetween(column=key, min_value=low, max_value=high)
                for key, low, high in asked
            ),
        ],
    )
    return list(batch.validate(suite, result_format=ResultFormat.BOOLEAN_ONLY).results)
