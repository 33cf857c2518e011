"""Extents: which stretches of a content are there, while it comes in any order."""

from bisect import bisect_left, bisect_right


class Extents:
    """Which stretches of a content have been written."""

    def __init__(self, prefix: int = 0) -> None:
        self._starts = [0] if prefix else []
        self._ends = [prefix] if prefix else []

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def end(self) -> int:
        """The end of the last stretch."""
        return self._ends[-1] if self._ends else 0

    def add(self, start: int, end: int) -> None:
        """Note a stretch as written."""
        if start < end:
            low, high = bisect_left(self._ends, start), bisect_right(self._starts, end)
            if low < high:
                start, end = min(start, self._starts[low]), max(end, self._ends[high - 1])
            self._starts[low:high], self._ends[low:high] = [start], [end]

    def cut(self, size: int) -> None:
        """Forget what lies at ``size`` and beyond."""
        kept = bisect_left(self._starts, size)
        del self._starts[kept:], self._ends[kept:]
        if self._ends:
            self._ends[-1] = min(self._ends[-1], size)

    def run(self, start: int) -> int:
        """Count the bytes that are there without a gap from ``start`` on."""
        at = bisect_right(self._starts, start) - 1
        return max(self._ends[at] - start, 0) if at >= 0 else 0
