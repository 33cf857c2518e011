"""Measurements are of whole processes, and a job that fails is no measurement."""

import sys

import pytest

from benchmarks import measure
from benchmarks.measure import Measured
from hub.errors import Refused


def test_time_and_memory_are_those_of_the_finished_process() -> None:
    idle = measure.run([sys.executable, "-c", "pass"])
    busy = measure.run([sys.executable, "-c", "import time; held = b'x' * 200_000_000; time.sleep(0.3)"])
    assert busy.seconds > 0.3
    assert busy.peak_bytes - idle.peak_bytes > 150_000_000


def test_a_job_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(Refused, match=r"bench\.run: a measured job ended with status 3: no such thing"):
        measure.run(
            [sys.executable, "-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"]
        )


def test_jobs_are_run_in_turn_and_medians_are_quoted() -> None:
    turns: list[tuple[str, int]] = []

    def job(name: str, seconds: list[float]) -> measure.Job:
        def run(turn: int) -> Measured:
            turns.append((name, turn))
            return Measured(seconds[turn], 10 * (turn + 1))

        return run

    measured = measure.alternate(3, {"a": job("a", [9, 1, 2]), "b": job("b", [4, 4, 5])}, lambda _: None)
    assert turns == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert measure.median_seconds(measured["a"]) == 2
    assert measure.peak(measured["b"]) == 30
