"""The batch held against its Great Expectations suite: is this the delivery that was to be expected?

Great Expectations sees one row of figures that ``hub.validation`` has counted, never a row of a person, so
that nothing it stores, prints or raises can hold a value (see ``hub.batch_suite``).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hub import batch_suite
from hub.batch_suite import Answer, Bounds
from hub.errors import Corrupt
from schemas.agreement import Agreement
from schemas.terms import Expectation

Suite = Callable[[Mapping[str, float], Sequence[Bounds]], list[Answer]]


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


def judge(metrics: Mapping[str, float], agreement: Agreement, suite: Suite = batch_suite.run) -> Judgement:
    """Hold a batch's figures against the agreement's expectations.

    Args:
        metrics: figures by ``metric_key``. One that could not be counted (the mean of nothing) is NaN; it
            fails every expectation on it.
        agreement: whose ``expectations`` make the suite.
        suite: who runs it; in this process unless said otherwise.

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
    holds = _answers(suite, figures, list(asked))
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


def _answers(suite: Suite, figures: Mapping[str, float], asked: Sequence[Bounds]) -> dict[Bounds, bool]:
    """Let Great Expectations answer; what it raises or catches may quote anything, so none of it is kept."""
    try:
        answers = suite(figures, asked)
    except Exception:  # noqa: BLE001 -- a library of this size raises what it likes
        raise _broken("errors", "Great Expectations to answer") from None
    if any(answer.holds is None for answer in answers):
        raise _broken("errors", "Great Expectations to count")
    counted = {answer.key: answer.holds is True for answer in answers if answer.bounds is None}
    holds = {answer.bounds: answer.holds is True for answer in answers if answer.bounds is not None}
    if counted.keys() != figures.keys():
        raise _broken("others", "every figure counted")
    return {bounds: good and counted[bounds[0]] for bounds, good in holds.items()}
