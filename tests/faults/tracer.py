"""Finds every point at which a process writes, and makes it die, fail or stand still at one of them.

Points are found, not picked: commits of psycopg connections, and every call of the operating system by which
a file under the watched folder comes to be, changes, moves or goes. An audit hook (PEP 578) watches the
watchers: a write that none of the traced calls made is reported as a gap.
"""

import builtins
import errno
import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import psycopg

Mode = Literal["trace", "before", "after", "failed", "refused", "paused"]

FILE_CALLS = (
    "open",
    "write",
    "pwrite",
    "ftruncate",
    "fsync",
    "replace",
    "rename",
    "mkdir",
    "rmdir",
    "unlink",
    "remove",
    "link",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
AUDITED = {
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
}


class Tracer:
    """Counts the points of one process; at point ``at`` it does what ``mode`` says.

    ``before`` and ``after`` kill the process with SIGKILL around the write; ``failed`` lets the write happen
    and then says that it failed (failed but persisted), ``refused`` says so without it; ``paused`` stops the
    process (SIGSTOP) before it.
    """

    def __init__(self, watched: Path, mode: Mode, at: int, log: Path, journal: Path | None = None) -> None:
        self.watched = os.path.realpath(watched)
        self.places = [self.watched, *([os.path.realpath(journal)] if journal else [])]
        self.mode = mode
        self.at = at
        self.points: list[str] = []
        self.gaps: list[str] = []
        self._log = log
        self._inside = 0

    def install(self) -> None:
        """Wrap the calls of this process."""
        for name in FILE_CALLS:
            setattr(os, name, self._file_call(name, getattr(os, name)))
        psycopg.Connection.commit = self._commit(psycopg.Connection.commit)  # type: ignore[method-assign]
        sys.addaudithook(self._audit)

    def save(self) -> None:
        """Write down what was found."""
        with builtins.open(self._log, "w", encoding="utf-8") as sink:
            json.dump({"points": self.points, "gaps": self.gaps}, sink)

    def _point(self, name: str, write: Callable[[], Any], failure: Callable[[], Exception]) -> Any:
        self.points.append(name)
        here = len(self.points) == self.at
        if here and self.mode == "before":
            self._die()
        if here and self.mode == "paused":
            os.kill(os.getpid(), signal.SIGSTOP)
        if here and self.mode == "refused":
            raise failure()
        self._inside += 1
        try:
            result = write()
        finally:
            self._inside -= 1
            if here and self.mode == "after":  # a call that was refused (a folder is there) counts as well
                self._die()
        if here and self.mode == "failed":
            raise failure()
        return result

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _commit(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def commit(connection: psycopg.Connection) -> None:
            if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE or not _writes(
                connection
            ):
                return original(connection)

            def failure() -> Exception:
                connection.close()
                return psycopg.OperationalError("server closed the connection unexpectedly")

            return self._point("commit", lambda: original(connection), failure)  # type: ignore[no-any-return]

        return commit

    def _file_call(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*args: Any, **keywords: Any) -> Any:
            if not self._concerns(name, args, keywords):
                return original(*args, **keywords)
            where = os.path.relpath(self._path(args, keywords), self.watched).split(os.sep)[0]
            return self._point(
                f"{name} {where}",
                lambda: original(*args, **keywords),
                lambda: OSError(errno.EIO, os.strerror(errno.EIO)),
            )

        return call

    def _concerns(self, name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
        if name == "open":
            flags = args[1] if len(args) > 1 else keywords.get("flags", 0)
            if not flags & WRITING:
                return False
        return self._within(self._path(args, keywords))

    def _path(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> str:
        target = args[0]
        if isinstance(target, int):
            return os.readlink(f"/proc/self/fd/{target}")
        base = keywords.get("dir_fd") or keywords.get("src_dir_fd")
        folder = os.readlink(f"/proc/self/fd/{base}") if base is not None else os.getcwd()
        return os.path.join(folder, os.fsdecode(target))

    def _within(self, path: str) -> bool:
        found = os.path.realpath(path)
        return any(found.startswith(place + os.sep) for place in self.places)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if self._inside or (event != "open" and event not in AUDITED):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & WRITING):
            return
        if isinstance(args[0], (str, bytes)) and self._within(os.fsdecode(args[0])):
            self.gaps.append(f"{event} {os.path.basename(os.fsdecode(args[0]))}")


def _writes(connection: psycopg.Connection) -> bool:
    """Tell whether the open transaction has changed anything (it has a transaction id then)."""
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS:
        return True
    row = connection.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL").fetchone()
    return bool(row and row[0])
