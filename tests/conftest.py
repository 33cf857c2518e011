"""Tests name what they need of the operating system; a run ends with what was left out for lack of it.

``@pytest.mark.needs("ssh-keygen")``: without that program the test is left out, and under
``--no-missing-tools`` (.ci/run) it fails. scripts/test-needs.txt says how to get each program.
"""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

NEEDS = Path(__file__).parents[1] / "scripts" / "test-needs.txt"
STRICT = "--no-missing-tools"
MISSING = "missing program"
# What tests fetch for themselves from the package index, why, and where it comes from.
FETCHED = {"pymerkle": ("another Merkle tree that ours agrees with", "a package index that pip reaches")}
ROOTS = ("mount",)  # of use to root only


settings.register_profile("hub", deadline=None)  # a busy machine is slow; what is told is right or wrong
settings.load_profile("hub")


def known_needs() -> dict[str, tuple[str, str]]:
    """Read which program comes from which Debian package, and why tests need it."""
    lines = NEEDS.read_text(encoding="utf-8").splitlines()
    rows = [line.split(maxsplit=2) for line in lines if line.strip() and not line.startswith("#")]
    return {program: (package, why) for program, package, why in rows}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(STRICT, action="store_true", help="fail tests whose programs are missing")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*programs): programs of the operating system that a test uses")


def pytest_runtest_setup(item: pytest.Item) -> None:
    known = known_needs()
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if program not in known:
                pytest.fail(f"{program} is not listed in {NEEDS.name}", pytrace=False)
            if shutil.which(program) is None or (program in ROOTS and os.geteuid() != 0):
                item.user_properties.append((MISSING, program))  # travels with the report, also from workers
                reason = f"{program} is missing: {remedy(program)}"
                if item.config.getoption(STRICT):
                    pytest.fail(reason, pytrace=False)
                pytest.skip(reason)


def left_out(request: pytest.FixtureRequest, package: str, reason: str) -> NoReturn:
    """Leave a test out because a package that it fetches for itself is out of reach; the summary says so."""
    request.node.user_properties.append((MISSING, package))
    pytest.skip(reason)


def remedy(program: str) -> str:
    """Say how to get a program."""
    return FETCHED[program][1] if program in FETCHED else f"apt install {known_needs()[program][0]}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for kind in ("skipped", "failed", "error") for one in terminalreporter.stats.get(kind, [])]
    missing = Counter(
        program
        for report in reports
        if report.when == "setup"
        for name, program in report.user_properties
        if name == MISSING
    )
    if missing:
        terminalreporter.section("left out for lack of a program")
        for program, tests in sorted(missing.items()):
            why = FETCHED[program][0] if program in FETCHED else known_needs()[program][1]
            terminalreporter.line(f"{program} ({why}): {tests} test(s); get it by: {remedy(program)}")
