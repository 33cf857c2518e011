"""What the running hub consists of: drop server and Airflow's four programs, above one database."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from hub.database import postmaster
from hub.errors import HubError
from hub.runtime import AirflowAccess, airflow_access
from hub.service.airflow import PROJECT, airflow_command, airflow_environment
from hub.service.component import FIRST_PAUSE, LONGEST_PAUSE, Component, State, Status
from hub.service.health import AirflowHealth, answers_at
from hub.service.schema import end_job
from hub.settings import Settings

LOOK = 1.0  # seconds between two looks at the database
# What ends first can still be served by what ends later.
FIRST, SECOND, LAST = 1, 2, 3


def hub_components(settings: Settings, access: AirflowAccess) -> Sequence[Component]:
    """List the programs that make up this hub."""
    airflow, health = (
        airflow_environment(settings, access),
        AirflowHealth(settings.web_host, settings.web_port),
    )
    folder = settings.airflow
    own = settings.environment() | {
        "PYTHONPATH": str(PROJECT),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }
    hub = (sys.executable, "-c", "from hub.cli import main; main()")
    # --skip-serve-logs: their log servers would listen on every interface; the pages read the files instead.
    return (
        Component(
            "drop",
            (*hub, "drop"),
            own,
            folder,
            answers_at(settings.drop_host, settings.drop_port, b"SSH-2.0"),
            stage=FIRST,
        ),
        Component(
            "api-server", airflow_command("api-server"), airflow, folder, health.is_open, grace=5, stage=LAST
        ),
        Component(
            "scheduler",
            airflow_command("scheduler", "--skip-serve-logs"),
            airflow,
            folder,
            health.beats("scheduler"),
            partial(end_job, access, "SchedulerJob"),
            grace=25,
            stage=SECOND,
        ),
        Component(
            "dag-processor",
            airflow_command("dag-processor"),
            airflow,
            folder,
            health.beats("dag_processor"),
            partial(end_job, access, "DagProcessorJob"),
            stage=LAST,
        ),
        Component(
            "triggerer",
            airflow_command("triggerer", "--skip-serve-logs"),
            airflow,
            folder,
            health.beats("triggerer"),
            partial(end_job, access, "TriggererJob"),
            stage=LAST,
        ),
    )


class EmbeddedDatabase:
    """The embedded server, held by the supervisor itself; started again when it is gone."""

    name = "database"
    stage = LAST

    def __init__(self, settings: Settings, tell: Callable[[str], None]) -> None:
        self.failures = 0
        self._settings = settings
        self._tell = tell
        self._next = 0.0
        self._pause = FIRST_PAUSE
        self._restarts = 0
        self._state: State = "ready"
        self._server = postmaster.running(settings.postgres)

    def tick(self) -> None:
        """Have it started again where it is gone, unless another part of the hub has done so."""
        if time.monotonic() < self._next:
            return
        server = postmaster.running(self._settings.postgres)
        if server is not None and self._server is not None and server.pid != self._server.pid:
            self._restarts += 1
            self._tell("database: ended, started again by who needed it first")
            self._tell("database: ready")
        elif server is None:
            self._state, self._restarts = "starting", self._restarts + 1
            self._tell("database: ended, starts again")
            try:
                with airflow_access(self._settings):
                    pass  # it goes on running: the supervisor is within such a block already
            except HubError as error:
                self._tell(f"database: {error.message}; {error.remedy}")
                self._next = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                return
            self._tell("database: ready")
            server = postmaster.running(self._settings.postgres)
        self._server = server or self._server
        self._state, self._pause = "ready", FIRST_PAUSE
        self._next = time.monotonic() + LOOK

    def ask_to_end(self) -> None:
        """Nothing: it ends with the supervisor's hold on it."""

    def has_ended(self, *, hurry: bool) -> bool:  # noqa: ARG002 -- the others' question
        """Say yes: nothing here has to be waited for."""
        self._state = "ended"
        return True

    def status(self) -> Status:
        """Tell how it is."""
        server = postmaster.running(self._settings.postgres)
        log = self._settings.run / "postgres.log"
        return Status(self.name, self._state, server.pid if server else None, self._restarts, log)
