"""One hub that is up serves all tests of this folder."""

import socket
from collections.abc import Iterator

import pytest

from tests.dags.standing import Standing, standing


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    home = tmp_path_factory.mktemp("a hub that is up") / "home"
    with standing(home, {"web": free_port(), "drop": free_port()}) as found:
        yield found
