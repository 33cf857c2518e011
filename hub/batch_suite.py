"""Great Expectations itself: a suite run over one row of figures, in this process or in one of its own.

Run as a program it loads Great Expectations at once and then answers one line of JSON with another until its
input ends: loading is seconds of Python, which a second core does while the first one reads rows. It works in
memory only: no stores on disk, no data documents, no progress bars, no analytics. It imports nothing of the
hub, so that the program starts without any of it.
"""

import gc
import json
import math
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, NamedTuple, NoReturn

Bounds = tuple[str, float | None, float | None]
"""What is asked of a figure: its key, the least and the most it may be, both included."""


class Answer(NamedTuple):
    """One answer: ``bounds`` of a figure, or its key alone (was it counted?), and whether that holds.

    ``holds`` is None where Great Expectations could not say.
    """

    key: str
    bounds: Bounds | None
    holds: bool | None


def load() -> None:
    """Import Great Expectations, once in a process.

    The garbage collector rests meanwhile: it would spend a third of the time on finding that nothing of what
    is being imported is garbage.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import great_expectations  # noqa: F401
    finally:
        if collecting:
            gc.enable()


def run(figures: Mapping[str, float], asked: Sequence[Bounds]) -> list[Answer]:
    """Let Great Expectations say of each figure whether it was counted, of each question whether it holds.

    Answers come in any order. Raises whatever Great Expectations does; its errors may quote anything.
    """
    return list(_told(tuple(figures.items()), tuple(asked)))


@lru_cache(maxsize=256)
def _told(figures: tuple[tuple[str, float], ...], asked: tuple[Bounds, ...]) -> tuple[Answer, ...]:
    """Ask once: small files have the same few figures again and again, and get the same answers."""
    load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(_answer(result) for result in _results(dict(figures), asked))


def _answer(result: Any) -> Answer:
    # What it caught itself it tells as a dictionary of metrics instead of this one entry.
    said = result.exception_info.get("raised_exception") is False
    kind, asks = result.expectation_config.type, result.expectation_config.kwargs
    key = str(asks["column"])
    bounds = (key, asks.get("min_value"), asks.get("max_value"))
    holds = result.success is True if said else None
    return Answer(key, bounds if kind == "expect_column_values_to_be_between" else None, holds)


def _results(figures: Mapping[str, float], asked: tuple[Bounds, ...]) -> list[Any]:
    import pandas as pd
    from great_expectations.core.result_format import ResultFormat

    batch = metrics_frames().get_batch(
        {"dataframe": pd.DataFrame({key: [figure] for key, figure in figures.items()}, dtype="float64")}
    )
    suite = _suite(tuple(figures), asked)
    return list(batch.validate(suite, result_format=ResultFormat.BOOLEAN_ONLY).results)


@cache
def metrics_frames() -> Any:
    """Give Great Expectations its place for frames of figures: one in a process, best made before a fork."""
    from great_expectations import get_context
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    # 1.24 no longer ships an analytics client; the switch stays off for a version that brings one back.
    config = DataContextConfig(
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
    )
    context = get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("hub").add_dataframe_asset("metrics")
    return asset.add_batch_definition_whole_dataframe("batch")


@lru_cache(maxsize=64)
def _suite(keys: tuple[str, ...], asked: tuple[Bounds, ...]) -> Any:
    """Write the expectations of one agreement; its submissions are all asked the same."""
    from great_expectations import ExpectationSuite
    from great_expectations.expectations.core import (
        ExpectColumnValuesToBeBetween,
        ExpectColumnValuesToNotBeNull,
    )

    return ExpectationSuite(
        name="batch",
        expectations=[
            *(ExpectColumnValuesToNotBeNull(column=key) for key in keys),
            *(
                ExpectColumnValuesToBeBetween(column=key, min_value=low, max_value=high)
                for key, low, high in asked
            ),
        ],
    )


def question(figures: Mapping[str, float], asked: Sequence[Bounds]) -> bytes:
    """Write a question as the line that the program takes."""
    counted = {key: None if math.isnan(figure) else figure for key, figure in figures.items()}
    return json.dumps([counted, asked]).encode() + b"\n"


def answers(line: bytes) -> list[Answer]:
    """Read the program's line of answers; ValueError or TypeError if it is none."""
    return [Answer(key, tuple(bounds) if bounds else None, holds) for key, bounds, holds in json.loads(line)]


def serve(lines: BinaryIO, sink: BinaryIO) -> NoReturn:
    """Answer questions until there are no more; ``null`` where Great Expectations raised an error."""
    asked_for: SimpleQueue[bytes] = SimpleQueue()

    def listen() -> None:
        for line in lines:
            asked_for.put(line)
        os._exit(0)  # nobody is left to ask (or was killed): not even loading is worth finishing

    Thread(target=listen, daemon=True).start()
    load()
    while True:
        line = asked_for.get()
        told: list[Answer] | None
        try:
            counted, asked = json.loads(line)
            figures = {key: math.nan if figure is None else figure for key, figure in counted.items()}
            told = run(figures, [(key, low, high) for key, low, high in asked])
        except Exception:  # noqa: BLE001 -- whoever asked does it again and tells what went wrong
            told = None
        sink.write(json.dumps(told).encode() + b"\n")
        sink.flush()


if __name__ == "__main__":
    answers_sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    serve(sys.stdin.buffer, answers_sink)
