"""A hub for the tests that go through its doors; its database runs as long as the module's tests do."""

from collections.abc import Iterator

import pytest

from hub.runtime import initialise, open_office
from hub.settings import Settings
from tests.e2e.hub import Hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    home = tmp_path_factory.mktemp("a hub") / "home"
    initialise(Settings(home=home))
    with open_office(Settings(home=home)):
        yield Hub(home)
