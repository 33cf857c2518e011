"""One hub that is up serves all tests of this folder, kills included."""

from collections.abc import Iterator

import pytest

from tests.alive.hub_up import FIGURES, Alive, hub_up


@pytest.fixture(scope="session")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alive]:
    with hub_up(tmp_path_factory.mktemp("alive")) as found:
        yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures of the hub alive")
        for line in FIGURES:
            terminalreporter.line(line)
