"""Completeness: whether the log tells each submission from its arrival to its outcome and receipt.

Nothing is kept of a submission that is closed, so that memory grows with what is open.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from hub.kit.verifier.shapes import FATES, FOLLOWED, Value
from hub.kit.verifier.words import Findings

_PATIENCE = timedelta(days=7)  # with what is still open at the end
_CLOCK_PLAY = timedelta(minutes=5)
_SUMS = ("submissions", "transfers", "received", *FATES)
_ACKNOWLEDGED, _STOPPED = b"acknowledged", b"stopped"
Rows = tuple[int, ...]


class Intent(NamedTuple):
    """A parcel on its way: where it was intended, when, its name and digest, the counts in the intent."""

    at: int
    time: bytes
    parcel: tuple[Value, Value]
    counts: tuple[Value, ...]
    rows: Rows | None


class Open:
    """A submission whose end has not come: where it began or was first seen, and what is pending."""

    __slots__ = ("at", "before", "intent", "rests", "time")

    def __init__(self, at: int, time: bytes, *, before: bool) -> None:
        self.at, self.time, self.before = at, time, before
        self.rests = False
        self.intent: Intent | None = None


class Course:
    """Follows the entries in order, as `ASKED` tells them, and names what has no beginning or no end."""

    def __init__(self, first: int, found: Findings) -> None:
        self._found = found
        self._earlier = first > 0  # whether something may have begun before
        self._before = 0
        self.newest = b""
        self._open: dict[bytes, Open] = {}
        self._awaited: dict[tuple[bytes, bool], int] = {}  # receipts: by submission, whether `received`
        self._resting: dict[bytes, tuple[str, Rows]] = {}
        self._sums: dict[str, list[int]] = {}

    def forget(self) -> None:
        """A body is erased: whatever was open may have ended there."""
        self._earlier = True
        self._open.clear()
        self._awaited.clear()

    def take(self, index: int, kind: bytes, asked: tuple[Value, ...]) -> None:
        """Take the next entry."""
        time = asked[0] or b""
        if time >= self.newest:
            self.newest = time
        elif _between(time, self.newest) > _CLOCK_PLAY:
            self._found.note("note.clock", index)
        if kind not in FOLLOWED:
            return
        submission = asked[1] or b""
        if kind == b"receipt":
            self._awaited.pop((submission, asked[6] == b"received"), None)
        elif kind == b"submission":
            self._open[submission] = Open(index, time, before=False)
            self._awaited[submission, True] = index
            self._sum(asked)[0] += 1
        elif kind == b"intent":
            self._intend(index, submission, asked)
        elif kind == b"outcome":
            self._end(index, submission, asked)
        else:
            self._opened(index, time, submission)

    def close(self) -> dict[str, dict[str, int]]:
        """Tell what is still open at the end; gives the counts by agreement."""
        for one in self._open.values():
            if not one.rests:
                self._late(one.time, "submission_open", "open", one.at)
            if one.intent is not None:
                self._late(one.intent.time, "intent_open", "intent_open", one.intent.at)
        for index in sorted(self._awaited.values()):
            self._found.add("complete.receipt_missing", index)
        if self._before:
            self._found.note("note.before", self._before)
        return {name: dict(zip(_SUMS, sums)) for name, sums in sorted(self._sums.items())}

    def _opened(self, index: int, time: bytes, submission: bytes) -> Open:
        known = self._open.get(submission)
        if known is not None:
            return known
        one = Open(index, time, before=self._earlier)
        if self._earlier:
            self._before += 1
            self._open[submission] = one
        else:
            self._found.add("complete.submission_missing", index)
        return one

    def _intend(self, index: int, submission: bytes, asked: tuple[Value, ...]) -> None:
        time, counts = asked[0] or b"", asked[8:]
        one = self._opened(index, time, submission)
        if one.intent is not None:
            self._found.add("complete.intent_open", one.intent.at)
        one.intent = Intent(index, time, (asked[4], asked[5]), counts, _rows(counts))
        if one.intent.rows is None:
            self._found.add("complete.counts", index)
        if asked[7] is not None and asked[7] != asked[9]:
            self._found.add("commitment.rows", index)

    def _end(self, index: int, submission: bytes, asked: tuple[Value, ...]) -> None:
        one = self._open.get(submission) or self._opened(index, asked[0] or b"", submission)
        intent, counts = one.intent, asked[8:]
        parcel = None if asked[4] is None else (asked[4], asked[5])
        is_same = intent is not None and intent.parcel == parcel
        if asked[3] == _STOPPED and asked[8] is None:
            if is_same:
                one.intent = None
            elif not one.before:
                self._found.add("complete.intent_missing", index)
            return
        rows = intent.rows if intent is not None and intent.counts == counts else _rows(counts)
        fits = rows is not None
        if parcel is not None:
            self._sum(asked)[1] += 1
            if intent is not None and is_same:
                fits = fits and intent.counts[1] == asked[9]
            elif not one.before:
                self._found.add("complete.intent_missing", index)
        else:
            if intent is not None:
                self._found.add("complete.intent_open", intent.at)
            if rows is not None and rows[1] and not one.before:
                self._found.add("complete.intent_missing", index)
        if not fits:
            self._found.add("complete.counts", index)
        one.intent = None
        self._settle(index, submission, one, asked, rows)

    def _settle(
        self, index: int, submission: bytes, one: Open, asked: tuple[Value, ...], rows: Rows | None
    ) -> None:
        """Count the rows of an outcome in place of an earlier one's, and see whether the submission rests."""
        rested = one.rests
        one.rests = asked[13] not in (None, b"0") and asked[3] != _ACKNOWLEDGED
        if not (rested and one.rests):
            self._awaited[submission, False] = index
        earlier = self._resting.pop(submission, None)
        if earlier is not None:
            self._count(earlier, -1)
        counted = _name(asked[2]), rows or tuple(int(count or 0) for count in asked[8:])
        self._count(counted, 1)
        if one.rests:
            self._resting[submission] = counted
        else:
            self._open.pop(submission, None)

    def _count(self, counted: tuple[str, Rows], sign: int) -> None:
        sums = self._sums.setdefault(counted[0], [0] * len(_SUMS))
        for place, rows in enumerate(counted[1], 2):
            sums[place] += sign * rows

    def _sum(self, asked: tuple[Value, ...]) -> list[int]:
        return self._sums.setdefault(_name(asked[2]), [0] * len(_SUMS))

    def _late(self, time: bytes, finding: str, note: str, index: int) -> None:
        if _between(time, self.newest) > _PATIENCE:
            self._found.add(f"complete.{finding}", index)
        else:
            self._found.note(f"note.{note}", index)


def is_late(time: bytes, newest: bytes) -> bool:
    """Tell whether an entry is older than what may still be open at the end."""
    return _between(time, newest) > _PATIENCE


def _rows(counts: tuple[Value, ...]) -> Rows | None:
    """Give received and the five fates; None where one lacks, or they do not add up."""
    if None in counts:
        return None
    rows = tuple([int(count or 0) for count in counts])
    return rows if rows[0] * 2 == sum(rows) else None


def _between(earlier: bytes, later: bytes) -> timedelta:
    try:
        return _instant(later) - _instant(earlier)
    except ValueError:  # of the right form, and no day of the calendar
        return timedelta()


def _instant(time: bytes) -> datetime:
    return datetime.fromisoformat(time[:-1].decode("ascii"))  # all times of the log are UTC


def _name(value: Value) -> str:
    return (value or b"").decode("utf-8", "replace")
