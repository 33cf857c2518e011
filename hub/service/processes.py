"""Processes as the kernel knows them: whole sessions, and whether a process is still the same.

Every component leads a session of its own. Whatever it starts stays in that session, also when the component
dies, and the kernel gives its number to nobody else as long as one member lives; names, titles and process
groups change (Airflow's do). So a component and all that it left is: the members of its session.
"""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_STATE, _SESSION, _STARTED = 0, 3, 19  # behind the name in /proc/<pid>/stat, see proc_pid_stat(5)


@dataclass(frozen=True)
class Process:
    """One process: its id, and when it began in the kernel's own clock (ticks since the machine's start)."""

    pid: int
    started: int
    session: int


def place() -> str:
    """Name this machine's present run and this space of process ids: elsewhere a record means nothing."""
    boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"


def find(pid: int) -> Process | None:
    """Look a process up; None when it is gone (a zombie is)."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    if fields[_STATE] in "ZX":
        return None
    return Process(pid, int(fields[_STARTED]), int(fields[_SESSION]))


def members(session: int) -> list[Process]:
    """Find the living processes of a session."""
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [process for process in map(find, pids) if process is not None and process.session == session]


def works_within(pid: int, folder: Path) -> bool:
    """Tell whether a process works in a folder or below it."""
    try:
        return (PROC / str(pid) / "cwd").readlink().is_relative_to(folder)
    except OSError:
        return False


def kill_session(session: int, patience: float = 10) -> bool:
    """Kill all members of a session until none is left; false when ``patience`` (seconds) ends first."""
    end = time.monotonic() + patience
    while left := members(session):
        for process in left:
            send(process.pid, signal.SIGKILL)
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; fine when the process is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
