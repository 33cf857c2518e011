"""Technical logs: who came to the drop, what tasks and services did.

A part appends to one file for as long as it lives. So that no line grows too old, what it has written moves
aside (``<log>.1``) at half of the period and is removed at its end. Logs of tasks are removed as they are.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from hub import staging
from hub.office import Office
from hub.retention.ending import Announce, Counts
from schemas.retention import Rule

_ASIDE: Final = ".1"


class ServiceLogs:
    """Removes old files of logs; what it removes is announced before, since no transaction spans both."""

    def __init__(self, office: Office) -> None:
        self._services = office.settings.run / "logs"
        self._tasks = office.settings.airflow / "logs"
        self._found: list[Path] | None = None  # None until this run has announced them

    def waiting(self, session: Session, rule: Rule, at: datetime) -> Counts:  # noqa: ARG002 -- files alone
        """Count the files that are over."""
        found = sum(1 for _ in self._over(rule, at))
        return {"files": found} if found else {}

    def end(self, session: Session, rule: Rule, at: datetime, announce: Announce) -> Counts:  # noqa: ARG002
        """Announce all files that are over; they are removed once that is committed."""
        if self._found is not None:
            return {}
        self._found = list(self._over(rule, at))
        if not self._found:
            return {}
        counts = {"files": len(self._found)}
        announce(counts)
        return counts

    def sweep(self, office: Office) -> None:  # noqa: ARG002
        """Remove what was announced, and move aside what parts have written so far."""
        while self._found:
            staging.discard(self._found.pop())
        for log in sorted(self._services.glob("*.log")):
            if log.stat().st_size and not log.with_name(log.name + _ASIDE).exists():
                _move_aside(log)

    def _over(self, rule: Rule, at: datetime) -> Iterator[Path]:
        span = at - rule.period.cutoff(at)
        for path in sorted(self._tasks.rglob("*")):
            if path.is_file() and not path.is_symlink() and _changed(path) < at - span:
                yield path
        for aside in sorted(self._services.glob(f"*.log{_ASIDE}")):
            if _changed(aside) < at - span / 2:
                yield aside


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)


def _move_aside(log: Path) -> None:
    """Move what a log holds aside; its writer, who appends, goes on."""
    handle = os.open(
        log.with_name(log.name + _ASIDE), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
    )
    with log.open("rb") as source, os.fdopen(handle, "wb") as sink:
        shutil.copyfileobj(source, sink)
    os.truncate(log, 0)
