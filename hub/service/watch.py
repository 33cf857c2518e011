"""Watching the log of a hub that is up: whether it can be written, and whether it is still the one it was.

Traffic stops by itself where an entry cannot be written. But a hub without traffic, or without its database,
would say nothing of it: so somebody looks from time to time, and raises the alarm.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hub import logbook, outage, standing
from hub.errors import HubError
from hub.runtime import open_office
from hub.settings import Settings


@contextmanager
def watching(settings: Settings, tell: Callable[[str], None]) -> Iterator[None]:
    """Look after the log while the block runs, four times as often as patience lasts."""
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(settings, tell, over), name="log watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join(1)


def _watch(settings: Settings, tell: Callable[[str], None], over: threading.Event) -> None:
    known = ""
    while not over.wait(settings.log_patience / 4):
        found = look(settings)
        if found != known:
            tell(f"transfer log: {found or 'can be written again'}")
            if found == "hub.closed":
                outage.raise_alarm(settings, found, "an older database was put back: hub restore show")
        known = found


def look(settings: Settings) -> str:
    """Look once; gives the code of what is wrong, or nothing."""
    try:
        with open_office(settings) as office:
            flaw = standing.look(office).flaw
            if flaw is not None:
                return flaw.code
            if not logbook.probe(office):
                known = outage.current(settings)
                return known.code if known else "ledger.unavailable"
    except HubError as error:
        outage.failed(settings, error)
        return error.code
    return ""
