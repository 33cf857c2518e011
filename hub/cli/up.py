"""``hub up`` and ``hub airflow``: the hub alive, and Airflow's own program with this hub's configuration."""

import os
import signal
import subprocess
import sys
from typing import Annotated

import typer

from hub.cli.answers import progress, told
from hub.settings import Settings


def airflow(
    arguments: Annotated[list[str], typer.Argument(help="What Airflow's own program is asked to do.")],
) -> None:
    """Run Airflow's own program with this hub's configuration, as in: hub airflow dags list."""
    from hub.runtime import airflow_access  # noqa: PLC0415 -- the parts load when they are needed
    from hub.service.airflow import airflow_command, airflow_environment  # noqa: PLC0415
    from hub.service.schema import prepare_airflow  # noqa: PLC0415

    settings = Settings()
    with told(as_json=False), airflow_access(settings) as access:
        with progress("preparing Airflow") as tell:
            prepare_airflow(settings, access, tell)
        command, environment = airflow_command(*arguments), airflow_environment(settings, access)
        os.umask(0o077)
        if settings.database_url is not None:
            os.execve(command[0], command, environment)  # noqa: S606 -- the program takes this process over
        # The embedded server runs as long as this process does: it stays, and hands signals on.
        with subprocess.Popen(command, env=environment) as running:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda number, _frame: running.send_signal(number))
            status = running.wait()
    sys.exit(status if status >= 0 else 128 - status)
