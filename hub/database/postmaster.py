"""What runs on a data folder right now, asked of the kernel.

PostgreSQL's own pid file names a process id, which another program may bear after a blackout. So every
question here is answered by /proc: a server of ours is a live process of the program ``postgres`` whose
working folder is the data folder (PostgreSQL changes into it before it does anything there).
"""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PID_FILE = "postmaster.pid"
PROC = Path("/proc")


@dataclass(frozen=True)
class Running:
    """A postmaster at work: its process id, port and socket folder (none at first), as its pid file says."""

    pid: int
    port: int
    sockets: Path | None


def processes(data: Path) -> set[int]:
    """Find every live PostgreSQL process of a data folder: postmaster, backends, orphans."""
    return {int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit() and _is_ours(entry, data)}


def running(data: Path) -> Running | None:
    """Read who serves a data folder; None where its pid file is missing, unfinished or stale."""
    try:
        lines = (data / PID_FILE).read_text(encoding="utf-8").splitlines()
        pid, port, sockets = int(lines[0]), int(lines[3]), lines[4].strip()
    except (OSError, ValueError, IndexError):
        return None
    if not _is_ours(PROC / str(pid), data):
        return None
    return Running(pid, port, Path(sockets) if sockets else None)


def stop(data: Path, patience: float) -> bool:
    """End the server of a data folder: politely, then firmly, each within ``patience`` seconds."""
    server = running(data)
    if server is not None:
        _signal({server.pid}, signal.SIGINT)  # "fast": rolls open transactions back, writes a checkpoint
        if wait_gone(data, patience):
            return True
    return end_orphans(data, patience)


def end_orphans(data: Path, patience: float) -> bool:
    """End what is left on a data folder without a postmaster; afterwards its memory is free.

    Backends notice the death of their postmaster by themselves unless they are busy.
    """
    if wait_gone(data, min(patience, 1.0)):
        return True
    for step in (signal.SIGQUIT, signal.SIGKILL):
        _signal(processes(data), step)
        if wait_gone(data, patience):
            return True
    return False


def wait_gone(data: Path, patience: float) -> bool:
    """Wait until no process works on a data folder any more; false when patience (seconds) ends first."""
    end = time.monotonic() + patience
    while processes(data):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _signal(pids: set[int], what: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


def _is_ours(entry: Path, data: Path) -> bool:
    """Hold one /proc entry against a data folder; a zombie has left its folder and does not count."""
    try:
        program = (entry / "exe").readlink().name.removesuffix(" (deleted)")
        return (
            program == "postgres"
            and (entry / "cwd").stat().st_ino == data.stat().st_ino
            and ((entry / "cwd").stat().st_dev == data.stat().st_dev)
        )
    except OSError:
        return False
