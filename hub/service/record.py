"""The one supervisor of a HUB_HOME, and the record of what it started: so that its heir can clear up.

The lock lives and dies with the supervisor's process. The record is written *before* a component begins its
work, so that a kill -9 at any moment leaves nothing running that the record does not name.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub import staging
from hub.database.runfolder import lock_file
from hub.errors import Refused
from hub.service.processes import Process, find, kill_session, members, place, works_within


@contextmanager
def sole_supervisor(run: Path) -> Iterator["Record"]:
    """Be the only supervisor of a hub, with the record of whoever was it before.

    Raises:
        Refused: ``service.running`` beside a living one.
    """
    staging.make_folder(run)
    record = Record(run)
    with lock_file(run / "service.lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = record.owner()
            raise Refused(
                "service.running",
                f"this hub is up already{f' (process {owner})' if owner else ''}: {run.parent}",
                "use that one, end it first (Ctrl-C there), or set another HUB_HOME",
            ) from None
        yield record


class Record:
    """Which processes a supervisor has started, in ``run/service.json``."""

    def __init__(self, run: Path) -> None:
        self._file = run / "service.json"
        self._home = run.parent
        self._started: dict[str, Process] = {}

    def note(self, name: str, process: Process | None) -> None:
        """Remember (or, with None, forget) the leader of one component's session."""
        if process is None:
            self._started.pop(name, None)
        else:
            self._started[name] = process
        lines = [
            {"component": known, "pid": one.pid, "started": one.started}
            for known, one in sorted(self._started.items())
        ]
        content = {"place": place(), "supervisor": os.getpid(), "processes": lines}
        staging.replace(self._file, json.dumps(content, indent=1).encode())

    def owner(self) -> int | None:
        """Tell the process id of the supervisor that wrote the record last."""
        owner = self._read().get("supervisor")
        return owner if isinstance(owner, int) else None

    def sweep(self) -> list[str]:
        """Kill what a dead supervisor left running; returns the components' names."""
        content = self._read()
        swept = []
        if content.get("place") == place():
            for line in content.get("processes", ()):
                if self._is_left(line["pid"], line["started"]):
                    kill_session(line["pid"])
                    swept.append(str(line["component"]))
        staging.discard(self._file)
        return swept

    def _is_left(self, session: int, started: int) -> bool:
        """Tell whether a recorded session still is the one that was recorded.

        Its number can be another's only after its last member was gone. Then either its leader is a younger
        process, or, the leader being dead, its members have nothing to do with this hub's folder.
        """
        leader = find(session)
        if leader is not None:
            return leader.started == started and leader.session == session
        return any(works_within(process.pid, self._home) for process in members(session))

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
