"""Recent answers: a client that fetches a folder asks for each of its files two or three times."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

SECONDS: Final = 1.0
A_WHILE: Final = 30.0
"""Seconds for which a name that was listed is taken to be there: replies and parcels are never changed."""

_MOST: Final = 256
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Keeps answers for a moment; may be asked from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Key, tuple[float, Value]] = {}

    def get(self, key: Key, make: Callable[[], Value], within: float = SECONDS) -> Value:
        """Give the answer to ``key``, made anew if the last one is older than ``within`` seconds."""
        with self._lock:
            at, value = self._answers.get(key, (-within, None))
        if value is not None and time.monotonic() - at < within:
            return value
        began, made = time.monotonic(), make()
        with self._lock:
            while len(self._answers) >= _MOST:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = (began, made)
        return made

    def forget(self, key: Key) -> None:
        """Ask anew next time: something has changed."""
        with self._lock:
            self._answers.pop(key, None)
