"""The batch is held against its suite by Great Expectations: in memory, offline, and closed when in doubt."""

import math
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from hub import batch_suite
from hub.batch_suite import Answer, Bounds
from hub.errors import Corrupt
from hub.expectations import Failure, Judgement, judge
from hub.suite_process import PROGRAM, SuiteProcess
from schemas.agreement import Agreement
from schemas.loading import load_agreement

ROOT: Final = Path(__file__).parents[2]
E3: Final = load_agreement(ROOT / "schemas" / "agreements" / "e3.yaml")
GOOD: Final = {
    "rows": 300.0,
    "refused_share": 0.02,
    "distinct_share:participant_number": 0.9,
    "empty_share:cefr_listening": 0.1,
    "mean:hours_planned": 400.0,
    "mean:hours_attended": 320.5,
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: object, **_more: object) -> NoReturn:
        message = "the batch suite tried to reach the network"
        raise AssertionError(message)

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket.socket, "connect_ex", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def expecting(*items: dict[str, Any]) -> Agreement:
    """E3 with other expectations."""
    return Agreement.model_validate(E3.model_dump() | {"expectations": items})


def expectation(metric: str = "rows", severity: str = "quarantine", **more: Any) -> dict[str, Any]:
    return {"metric": metric, "severity": severity, **more}


def test_a_batch_as_expected_passes() -> None:
    assert judge(GOOD, E3) == Judgement(passed=True, failures=())


def test_a_grave_failure_stops_the_batch_and_a_warning_does_not() -> None:
    warned = judge(GOOD | {"mean:hours_planned": 5000.0}, E3)
    assert warned == Judgement(
        passed=True, failures=(Failure("batch.mean", "mean", "hours_planned", "warn"),)
    )
    stopped = judge(GOOD | {"mean:hours_planned": 5000.0, "refused_share": 0.51}, E3)
    assert not stopped.passed
    assert [failure.code for failure in stopped.failures] == ["batch.refused_share", "batch.mean"]


def test_bounds_are_included() -> None:
    agreement = expecting(expectation(at_least=3, at_most=5))
    for rows, passed in ((2, False), (3, True), (5, True), (6, False), (2.999999, False), (5.000001, False)):
        assert judge({"rows": rows}, agreement).passed is passed


def test_two_expectations_on_one_figure_are_told_apart() -> None:
    agreement = expecting(expectation(at_least=1), expectation(at_least=100, severity="warn"))
    assert judge({"rows": 50}, agreement).failures == (Failure("batch.rows", "rows", None, "warn"),)
    assert [failure.severity for failure in judge({"rows": 0}, agreement).failures] == ["quarantine", "warn"]


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bounds", [{"at_least": 0}, {"at_most": 10}, {"at_least": -5, "at_most": 1}])
def test_what_could_not_be_counted_fails(figure: float, bounds: dict[str, Any]) -> None:
    assert not judge({"rows": figure}, expecting(expectation(**bounds))).passed


def test_an_empty_batch_fails() -> None:
    nothing = dict.fromkeys(GOOD, math.nan) | {"rows": 0.0}
    judgement = judge(nothing, E3)
    assert not judgement.passed
    assert len(judgement.failures) == len(E3.expectations)


def test_a_figure_that_was_not_counted_is_an_alarm() -> None:
    with pytest.raises(Corrupt, match=r"batch\.suite.*refused_share"):
        judge({"rows": 3.0}, E3)


def test_an_agreement_without_expectations_expects_nothing() -> None:
    assert judge({}, expecting()).passed


def test_an_error_inside_great_expectations_is_an_alarm_not_a_failure() -> None:
    def over_text(figures: Any, asked: Sequence[Bounds]) -> list[Answer]:
        return batch_suite.run(figures | {"rows": "Weber"}, asked)

    def of_other_columns(figures: Mapping[str, float], asked: Sequence[Bounds]) -> list[Answer]:
        return batch_suite.run(figures, [("elsewhere", low, high) for _, low, high in asked])

    def raising(*_args: object) -> NoReturn:
        message = "Weber"
        raise KeyError(message)

    for broken in (over_text, of_other_columns, raising):
        with pytest.raises(Corrupt, match=r"batch\.suite") as alarm:
            judge(GOOD, E3, broken)
        assert "Weber" not in str(alarm.value)
        assert alarm.value.__cause__ is None
        assert alarm.value.__suppress_context__ or alarm.value.__context__ is None


@pytest.mark.parametrize(
    "lose", [lambda results: results[:-1], lambda results: results[1:], lambda _results: []]
)
def test_an_answer_that_is_missing_is_an_alarm(lose: Callable[[list[Answer]], list[Answer]]) -> None:
    with pytest.raises(Corrupt, match=r"batch\.suite"):
        judge(GOOD, E3, lambda *question: lose(batch_suite.run(*question)))


def test_answers_in_any_order_count_the_same() -> None:
    bad = GOOD | {"mean:hours_attended": 0.0}
    assert judge(bad, E3, lambda *question: batch_suite.run(*question)[::-1]) == judge(bad, E3)


@pytest.mark.slow
def test_a_suite_in_a_process_of_its_own_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "great_expectations", raising=False)
    with closing(SuiteProcess()) as suite:
        suite.get_ready()
        monkeypatch.undo()
        for metrics in (GOOD, GOOD | {"mean:hours_attended": 0.0}, GOOD | {"mean:hours_planned": math.nan}):
            assert judge(metrics, E3, suite.answers) == judge(metrics, E3)
            assert suite._process  # it was the process that answered


def test_a_suite_whose_process_died_answers_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "great_expectations", raising=False)
    with closing(SuiteProcess()) as suite:
        suite.get_ready()
        monkeypatch.undo()
        assert suite._process
        suite._process.kill()
        assert judge(GOOD, E3, suite.answers) == judge(GOOD, E3)
        assert suite._process is None


def test_a_suite_that_is_loaded_already_needs_no_process() -> None:
    judge(GOOD, E3)
    with closing(SuiteProcess()) as suite:
        suite.get_ready()
        assert suite._process is None
        assert judge(GOOD, E3, suite.answers).passed


def test_the_suites_process_ends_when_nobody_is_left_to_ask() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-P", str(PROGRAM)], input=b"", capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert b" great_expectations\n" not in done.stderr  # not even loading was finished


def test_nothing_is_written_printed_or_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = dict(os.environ)
    judge(GOOD | {"rows": 0.0}, E3)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == environment


@pytest.mark.slow
def test_importing_and_judging_opens_no_connection_and_writes_no_file(tmp_path: Path) -> None:
    program = f"""
import os, sys
from pathlib import Path
from schemas.loading import load_agreement
from hub.expectations import judge
assert "great_expectations" not in sys.modules
reached = []
def hook(event, args):
    # urllib3 asks on import whether it could bind to ::1; that leaves the machine as little as it reads files
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg", "os.mkdir"):
        reached.append(event)
    if event == "open" and isinstance(args[0], str) and args[2] & 3 and not args[0].startswith("/dev/"):
        reached.append(args[0])
sys.dont_write_bytecode = True
sys.addaudithook(hook)
before = dict(os.environ)
agreement = load_agreement(Path({str(ROOT)!r}) / "schemas/agreements/e3.yaml")
print(judge({GOOD!r}, agreement).passed, reached, dict(os.environ) == before)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("True [] True\n", "")
    assert list(tmp_path.iterdir()) == []
