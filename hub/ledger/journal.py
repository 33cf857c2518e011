"""The journal: what the log and the consents went through, kept where no backup of the database reaches.

One line a record, appended and flushed before anybody goes on; each is sealed under the hub's own keys and
bound to the one before, so that nothing can be changed, taken out or put in unnoticed. In the clear stand a
number, a kind, and size and root of the log, against which a database that was put back is held. A cut end
cannot be told from an end: that is what other people's checkpoints are for.
"""

import base64
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from hub.disk import disk_errors, make_folder, read_errors
from hub.errors import Corrupt, Transient
from hub.ledger.tree import EMPTY_ROOT
from hub.ledger.turn import Floor

LINES: Final = "journal.jsonl"
_BACKWARDS: Final = 1 << 16
_PROBE: Final = 1 << 16
_START: Final = "0" * 64


class Sealer(Protocol):
    """Seals records, each under a context of its own (hub.keys.KeyRing)."""

    def wrap(self, key: bytes, context: str) -> bytes:
        """Seal."""

    def unwrap(self, blob: bytes, context: str) -> bytes:
        """Open; Corrupt for anything else."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number (from 1), its kind, the log's size and root then, and its content."""

    number: int
    kind: str
    size: int
    root: bytes
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tip:
    """The journal's end: the last record's number, size and root of the log, and the digest of its line."""

    number: int
    size: int
    root: bytes
    digest: str

    @property
    def floor(self) -> Floor:
        """What the log is known to have been."""
        return Floor(self.size, self.root)


_NOTHING: Final = Tip(0, 0, EMPTY_ROOT, _START)


class Pen:
    """The right to write, held by one process at a time; ``tip`` moves on with each record."""

    def __init__(self, handle: int, path: Path, sealer: Sealer, tip: Tip) -> None:
        self.tip = tip
        self._handle, self._path, self._sealer = handle, path, sealer

    def write(self, kind: str, content: dict[str, Any], *, floor: Floor | None = None) -> None:
        """Append a record; durable on return. ``floor`` is the log's new size and root, if they changed.

        Raises:
            Transient: ``disk.full``, ``disk.write``; it may or may not be there then, and stands no risk of
                being taken for another.
        """
        known, number = floor or self.tip.floor, self.tip.number + 1
        head = {"n": number, "kind": kind, "size": known.size, "root": known.root.hex()}
        plain = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        sealed = self._sealer.wrap(plain, _context(head, self.tip.digest))
        told = head | {"sealed": base64.b64encode(sealed).decode("ascii"), "before": self.tip.digest}
        line = json.dumps(told).encode("ascii") + b"\n"
        with disk_errors(self._path):
            left = memoryview(line)
            while left:
                left = left[os.write(self._handle, left) :]
            os.fsync(self._handle)
        self.tip = Tip(number, known.size, known.root, hashlib.sha256(line).hexdigest())


class Journal:
    """The journal of one hub in a folder of its own; any number of processes may read it."""

    def __init__(self, folder: Path, sealer: Sealer, name: str = LINES) -> None:
        self.folder = folder
        self.path = folder / name
        self._sealer = sealer
        self._seen: tuple[tuple[int, int], Tip] | None = None

    def exists(self) -> bool:
        """Tell whether a journal has been begun here (and its place is mounted)."""
        return self.path.is_file()

    def begin(self) -> None:
        """Make folder and file where they are missing."""
        make_folder(self.folder)
        with disk_errors(self.path):
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def tip(self) -> Tip:
        """Read the end. Raises Transient ``journal.away`` where it cannot be read, Corrupt if damaged."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise away(self.folder) from None
        try:
            return self._tip(handle)
        finally:
            os.close(handle)

    def _tip(self, handle: int) -> Tip:
        with read_errors(self.path):
            found = os.fstat(handle)
            mark = (found.st_ino, found.st_size)
            if self._seen is None or self._seen[0] != mark:
                line = _last_line(handle, found.st_size)
                self._seen = (mark, _tip_of(line) if line else _NOTHING)
        return self._seen[1]

    def probe(self) -> None:
        """Find out whether a record could be written. Raises Transient ``disk.full``, ``disk.write``."""
        place = self.folder / ".probe"
        with disk_errors(place):
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(handle, bytes(_PROBE))
                os.fsync(handle)
            finally:
                os.close(handle)
                place.unlink()

    @contextmanager
    def held(self) -> Iterator[Pen]:
        """Be the only writer. A line that a killed writer left half written is taken away first.

        Raises:
            Transient: ``disk.full``, ``disk.write``, ``disk.read``.
        """
        handle = self._locked()
        try:
            with disk_errors(self.path):
                size = os.fstat(handle).st_size
                whole = _whole(handle, size)
                if whole < size:
                    os.ftruncate(handle, whole)
            yield Pen(handle, self.path, self._sealer, self._tip(handle))
        finally:
            os.close(handle)  # lets go of the lock as well

    def _locked(self) -> int:
        """Open and lock the file that bears the name now: whoever held it before may have renewed it."""
        while True:
            with disk_errors(self.path):
                handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
                fcntl.flock(handle, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(handle), self.path.stat()):
                    return handle
                os.close(handle)

    def records(self) -> Iterator[Record]:
        """Read everything, opened and proved record by record; a half-written last line is passed over.

        Raises:
            Corrupt: ``journal.damaged``, naming the record; ``keys.wrapped`` under other keys.
        """
        before, expected = _START, 1
        with read_errors(self.path), self.path.open("rb") as source:
            for line in source:
                if not line.endswith(b"\n"):
                    return
                told = _read(line, expected)
                head = {name: told[name] for name in ("n", "kind", "size", "root")}
                if told["n"] != expected or told["before"] != before:
                    raise _damaged(expected)
                blob = base64.b64decode(told["sealed"])
                content = json.loads(self._sealer.unwrap(blob, _context(head, before)))
                root = bytes.fromhex(told["root"])
                yield Record(expected, told["kind"], told["size"], root, content)
                before, expected = hashlib.sha256(line).hexdigest(), expected + 1


def away(folder: Path) -> Transient:
    """Say that the journal is not where it should be."""
    return Transient(
        "journal.away",
        f"expected the hub's journal in {folder}, found none; nothing is sent without it",
        "mount it, or name its place in HUB_JOURNAL; if it is lost for good: hub restore show",
    )


def _context(head: dict[str, Any], before: str) -> str:
    return f"journal/{head['n']}/{head['kind']}/{head['size']}/{head['root']}/{before}"


def _read(line: bytes, number: int) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        raise _damaged(number) from None
    if not isinstance(told, dict) or not {"n", "kind", "size", "root", "sealed", "before"} <= told.keys():
        raise _damaged(number)
    return told


def _tip_of(line: bytes) -> Tip:
    told = _read(line, 0)
    root = bytes.fromhex(told["root"])
    return Tip(told["n"], told["size"], root, hashlib.sha256(line).hexdigest())


def _whole(handle: int, size: int) -> int:
    """Find where the last whole line ends."""
    end = size
    while end:
        start = max(end - _BACKWARDS, 0)
        at = os.pread(handle, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def _last_line(handle: int, size: int) -> bytes:
    end = _whole(handle, size)
    start = _whole(handle, end - 1) if end else 0
    return os.pread(handle, end - start, start)


def _damaged(number: int) -> Corrupt:
    return Corrupt(
        "journal.damaged",
        f"record {number or 'at the end'} of the hub's journal is not the one that was written",
        "keep it as it is, and bring a sound copy from where the journal is kept a second time",
    )
