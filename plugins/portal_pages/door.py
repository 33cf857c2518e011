"""The way from the pages into the hub: one office per process, opened when the first page asks for it."""

import threading
from collections.abc import Callable
from contextlib import ExitStack

from hub.office import Office
from hub.settings import Settings


class Door:
    """Opens the hub's office once and keeps it open until the server ends."""

    def __init__(self, settings: Callable[[], Settings] = Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._office: Office | None = None

    def office(self) -> Office:
        """Give the office; what keeps it from opening now is tried again at the next page.

        Raises:
            HubError: as `hub.runtime.open_office`.
        """
        with self._lock:
            if self._office is None:
                from hub.runtime import open_office  # noqa: PLC0415 -- seconds, for the first page alone

                self._office = self._open.enter_context(open_office(self._settings()))
            return self._office

    def close(self) -> None:
        """Give everything back."""
        with self._lock:
            self._office = None
            self._open.close()
