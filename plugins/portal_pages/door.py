"""The way from the pages into the hub: one office per process, opened when the first page asks for it."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from hub.errors import Transient
from hub.office import Office
from hub.settings import Settings

PATIENCE = 10
"""Seconds that a page waits while another opens the office."""


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
            HubError: as `hub.runtime.open_office`; Transient ``hub.opening`` while that takes its time.
        """
        if self._office is not None:
            return self._office
        if not self._lock.acquire(timeout=PATIENCE):  # else one slow opening would hold up all of Airflow
            raise Transient("hub.opening", "the hub is being opened", "load the page again in a moment")
        try:
            if self._office is None:
                from hub.runtime import open_office  # noqa: PLC0415 -- seconds, for the first page alone

                self._office = self._open.enter_context(open_office(self._settings()))
            return self._office
        finally:
            self._lock.release()

    def public_log(self) -> Path:
        """Name the folder of what is open to everybody; needs no office."""
        return self._settings().public_log

    def close(self) -> None:
        """Give everything back."""
        with self._lock:
            self._office = None
            self._open.close()
