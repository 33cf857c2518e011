"""How fast one person may turn the pages of the log: each reading adds an entry, and the log is for good."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable


class TooFast(Exception):  # noqa: N818 -- what the reader is
    """This reader has turned more pages than anybody can read."""


class Pace:
    """Lets each reader take ``most`` steps in any ``seconds``, in this process."""

    def __init__(
        self, most: int = 120, seconds: float = 60, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._lock = threading.Lock()
        self._steps: dict[str, deque[float]] = defaultdict(deque)

    def step(self, reader: str) -> None:
        """Count one step; raises `TooFast` where it is one too many, and does not count it."""
        with self._lock:
            now, steps = self._clock(), self._steps[reader]
            while steps and steps[0] <= now - self._seconds:
                steps.popleft()
            if len(steps) >= self._most:
                raise TooFast
            steps.append(now)
