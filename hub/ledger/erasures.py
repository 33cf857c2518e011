"""Erased bodies, for the verifier: which entries have none any more, and which later entry says so.

An entry of kind ``retention`` explains exactly the entries that its ``span`` names, all of them before it,
with as many of each kind as its ``counts`` tell. What it says counts once the replay has proved it. Memory
grows with the number of spans. Nothing here is shared with the modules that write the log.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hub.ledger.findings import Collector, span

Announcement = tuple[int, bytes]
"""An entry of kind ``retention`` as stored, unproved: index and body."""

KEPT = frozenset({"retention", "restore", "key", "agreement"})
"""What explains the log itself is never erased."""


@dataclass(slots=True)
class _Span:
    first: int
    last: int
    announced: int
    kinds: Counter[str] = field(default_factory=Counter)
    proved: bool = False


class Erasures:
    """Holds each entry without a body against the entry that announces its erasure."""

    def __init__(self, found: Collector, announcements: Iterable[Announcement]) -> None:
        self.count = 0
        self._found = found
        read = (_read(index, body) for index, body in announcements)
        self._spans = sorted((one for one in read if one is not None), key=lambda one: one.first)
        self._firsts = [one.first for one in self._spans]
        self._announced = {one.announced: one for one in self._spans}
        self._alone: tuple[int, int] | None = None  # the run of unexplained entries, its end not included

    def take(self, index: int, kind: str) -> None:
        """Take an entry whose body is gone, in the order of the log; its kind as its column tells it."""
        self.count += 1
        at = bisect_right(self._firsts, index) - 1
        if kind in KEPT or at < 0 or index > self._spans[at].last:
            self._miss(index)
        else:
            self._spans[at].kinds[kind] += 1

    def hear(self, index: int, said: dict[str, Any]) -> None:
        """Hear an entry of kind ``retention`` that is proved to be the one that was logged."""
        one = self._announced.get(index)
        if one is None or said.get("span") != {"first": one.first, "last": one.last}:
            return
        one.proved = True
        if said.get("counts") != dict(one.kinds):
            self._found.add("retention.counts", str(index))

    def close(self) -> None:
        """Tell what nothing explains."""
        self._tell()
        for one in self._spans:
            if one.kinds and not one.proved:
                self._found.add("entry.erased", span(one.first, one.last + 1))

    def _miss(self, index: int) -> None:
        if self._alone is not None and self._alone[1] == index:
            self._alone = self._alone[0], index + 1
        else:
            self._tell()
            self._alone = index, index + 1

    def _tell(self) -> None:
        if self._alone is not None:
            self._found.add("entry.erased", span(*self._alone))
            self._alone = None


def _read(index: int, body: bytes) -> _Span | None:
    """Read which entries an announcement names; None where it names none, or none before itself."""
    try:
        said = json.loads(body)["span"]
        first, last = said["first"], said["last"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(first, int) or not isinstance(last, int) or not 0 <= first <= last < index:
        return None
    return _Span(first, last, index)
