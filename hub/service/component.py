"""One component of the running hub: a program that is kept running, and started again when it ends."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from hub.service.logs import open_log, trim
from hub.service.processes import find, kill_session
from hub.service.record import Record

State = Literal["waiting", "starting", "ready", "ended"]
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds before a component is started again
STEADY = 60.0  # seconds of life after which the pause is the first one again
# It begins only when its supervisor has recorded it; if that one dies before, it ends instead.
_STARTER = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh")

Tell = Callable[[str], None]


def _always(_since: datetime) -> bool:
    return True


def _nothing() -> None:
    """Begin without further ado."""


@dataclass(frozen=True)
class Component:
    """A program to keep running.

    ``before`` is done before each start; ``is_ready`` is asked, with the moment of the start (UTC), until it
    says yes. ``grace``: the seconds between being asked to end and being killed; ``stage`` orders the ends,
    lowest first.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    is_ready: Callable[[datetime], bool] = _always
    before: Callable[[], None] = _nothing
    grace: float = 10
    stage: int = 0


@dataclass(frozen=True)
class Status:
    """How one component is: its state, process id, how often it was started again, where it writes."""

    name: str
    state: State
    pid: int | None
    restarts: int
    log: Path


class Kept(Protocol):
    """Something the supervisor keeps running."""

    name: str
    stage: int
    failures: int

    def tick(self) -> None:
        """Look after it: start it, see whether it is ready, start it again."""

    def ask_to_end(self) -> None:
        """Ask it to end; returns at once."""

    def has_ended(self, *, hurry: bool) -> bool:
        """Tell whether all of it is gone; kill it when its time is up, or at once in a hurry."""

    def status(self) -> Status:
        """Tell how it is."""


class Program:
    """A component's life: started, watched, started again after a growing pause, ended."""

    def __init__(self, component: Component, logs: Path, record: Record, tell: Tell) -> None:
        self.name = component.name
        self.stage = component.stage
        self.failures = 0  # ends in a row before it was ready
        self._component = component
        self._log = logs / f"{component.name}.log"
        self._record = record
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._state: State = "waiting"
        self._pause = FIRST_PAUSE
        self._due = 0.0
        self._since = datetime.min.replace(tzinfo=UTC)
        self._began = 0.0
        self._asked: float | None = None
        self._starts = 0

    def tick(self) -> None:
        """Start it when it is due, notice that it is ready, notice that it has ended."""
        if self._process is None:
            if time.monotonic() >= self._due:
                self._start()
        elif self._process.poll() is not None:
            self._ended(self._process)
        elif self._state == "starting" and self._component.is_ready(self._since):
            self._state, self.failures = "ready", 0
            self._tell(f"{self.name}: ready")
        trim(self._log)

    def ask_to_end(self) -> None:
        """Ask the component itself; what it has started it ends in its own order."""
        self._asked = time.monotonic()
        if self._process is not None:
            self._process.terminate()

    def has_ended(self, *, hurry: bool) -> bool:
        """Tell whether the whole session is gone; the patience with it is the component's grace."""
        if self._process is None:
            return True
        over = self._asked is not None and time.monotonic() - self._asked > self._component.grace
        if self._process.poll() is None and not over and not hurry:
            return False
        kill_session(self._process.pid)
        self._process.wait()
        self._process, self._state = None, "ended"
        self._record.note(self.name, None)
        return True

    def status(self) -> Status:
        """Tell how it is."""
        process = self._process
        return Status(
            self.name, self._state, process.pid if process else None, max(0, self._starts - 1), self._log
        )

    def _start(self) -> None:
        self._component.before()
        self._since, self._began = datetime.now(UTC), time.monotonic()
        self._state, self._starts = "starting", self._starts + 1
        with open_log(self._log) as output:
            process = subprocess.Popen(
                [*_STARTER, *self._component.command],
                env=self._component.environment,
                cwd=self._component.folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                umask=0o077,
            )
        self._process = process
        leader = find(process.pid)
        if leader is not None:
            self._record.note(self.name, leader)
        if process.stdin is not None:
            try:
                process.stdin.write(b"go\n")
                process.stdin.close()
            except BrokenPipeError:
                pass  # killed before it began; the next look at it says so
        self._tell(f"{self.name}: starting")

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        """Clear up what it left (workers, tasks: their leases end with them), and have it started again."""
        kill_session(process.pid)
        self._record.note(self.name, None)
        if time.monotonic() - self._began > STEADY:
            self._pause = FIRST_PAUSE
        if self._state != "ready":
            self.failures += 1
        self._process, self._state = None, "waiting"
        self._due = time.monotonic() + self._pause
        self._tell(f"{self.name}: ended ({_how(process.returncode)}), starts again in {self._pause:g} s")
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def _how(status: int) -> str:
    return f"status {status}" if status >= 0 else f"signal {-status}"
