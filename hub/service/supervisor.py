"""The supervisor: keeps components running in a thread of its own, and ends them in order."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

from hub.errors import HubError, Refused, Transient
from hub.service.component import Kept, Status

LOOK = 0.2  # seconds between two looks at each component
MOST_FAILURES = 5  # vain starts of one component after which the whole start is given up


class Supervisor:
    """Looks after components until it is stopped."""

    def __init__(self, kept: Sequence[Kept], tell: Callable[[str], None]) -> None:
        self._kept = kept
        self._tell = tell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="supervisor", daemon=True)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Start all components, keep them running during the block, and end them, whatever happens in it."""
        try:
            self._thread.start()
            yield
        finally:
            self._end()

    def wait_until_ready(self, patience: float) -> None:
        """Wait until every component answers.

        Raises:
            Refused: ``service.component`` when one ends again and again.
            Transient: ``service.slow`` when ``patience`` (seconds) ends first.
        """
        end = time.monotonic() + patience
        while waiting := [status for status in self.status() if status.state != "ready"]:
            for one in self._kept:
                if one.failures >= MOST_FAILURES:
                    raise Refused(
                        "service.component",
                        f"{one.name} ended {one.failures} times before it answered",
                        f"read {one.status().log}",
                    )
            if time.monotonic() > end:
                names = ", ".join(status.name for status in waiting)
                raise Transient(
                    "service.slow",
                    f"{names} did not answer within {patience:.0f} s",
                    f"read {waiting[0].log}; on a busy machine try again",
                )
            time.sleep(LOOK)

    def status(self) -> list[Status]:
        """Tell how each component is."""
        return [one.status() for one in self._kept]

    def _look_after(self) -> None:
        while not self._stopping.wait(LOOK):
            for one in self._kept:
                if self._stopping.is_set():
                    return
                try:
                    one.tick()
                except (HubError, OSError) as error:  # a full disk, no process to be had: later, again
                    self._tell(f"{one.name}: {error}")
                    self._stopping.wait(1)

    def _end(self) -> None:
        """End all, stage by stage. Being interrupted again shortens it, but nothing is left running."""
        hurry = False
        self._stopping.set()
        stages = groupby(sorted(self._kept, key=lambda one: one.stage), key=lambda one: one.stage)
        for _stage, members in [(stage, list(members)) for stage, members in stages]:
            asked = False
            while True:
                try:
                    self._thread.join()
                    if not asked:
                        asked = True
                        for one in members:
                            one.ask_to_end()
                    # Each of them, not only up to the first that still lives.
                    if all([one.has_ended(hurry=hurry) for one in members]):  # noqa: C419
                        break
                    time.sleep(LOOK / 4)
                except (KeyboardInterrupt, SystemExit):
                    hurry = True
