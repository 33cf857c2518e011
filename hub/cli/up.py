"""``hub up`` and ``hub airflow``: the hub alive, and Airflow's own program with this hub's configuration."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from hub.cli.answers import BERLIN, STDERR, Json, progress, say, told
from hub.settings import Settings


def up(as_json: Json = False) -> None:  # noqa: FBT002
    """Run the whole hub in the foreground until Ctrl-C: database, drop server, Airflow with its pages."""
    from hub.service import running  # noqa: PLC0415 -- the parts load when they are needed

    settings = Settings()
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else somebody wants it to outlive its terminal
        signal.signal(signal.SIGHUP, lambda number, _frame: sys.exit(128 + number))
    with told(as_json=as_json), running(settings, _tell) as hub:
        say(
            {
                "addresses": hub.addresses,
                "logins_file": hub.logins_file,
                "components": [
                    {"name": one.name, "pid": one.pid, "log": one.log, "state": one.state}
                    for one in hub.status()
                ],
            },
            as_json=as_json,
            text=lambda: "\n".join(
                (
                    "The hub is up. Ctrl-C ends it.",
                    f"pages:  {hub.addresses['pages']}",
                    f"logins: {hub.logins_file}  ({', '.join(hub.logins)})",
                    f"drop:   {hub.addresses['drop']}",
                    f"logs:   {settings.run / 'logs'}",
                )
            ),
        )
        sys.stdout.flush()
        try:
            while True:
                signal.pause()
        except KeyboardInterrupt:
            _tell("ending; again Ctrl-C: at once")


def _tell(line: str) -> None:
    STDERR.print(f"{datetime.now(UTC).astimezone(BERLIN):%H:%M:%S} {line}", markup=False)


def airflow(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="What Airflow's own program is asked to do.")
    ] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Run Airflow's own program with this hub's configuration, as in: hub airflow dags list.

    The answer is Airflow's; with --json before its words, what the hub itself has to say is JSON.
    """
    from hub.runtime import airflow_access  # noqa: PLC0415 -- the parts load when they are needed
    from hub.service import airflow_command, airflow_environment  # noqa: PLC0415
    from hub.service.schema import prepare_airflow  # noqa: PLC0415

    settings = Settings()
    with told(as_json=as_json), airflow_access(settings) as access:
        with progress("preparing Airflow") as tell:
            prepare_airflow(settings, access, tell)
        command, environment = airflow_command(*(arguments or ())), airflow_environment(settings, access)
        os.umask(0o077)
        if settings.database_url is not None:
            os.execve(command[0], command, environment)  # noqa: S606 -- the program takes this process over
        # The embedded server runs as long as this process does: it stays, and hands signals on.
        with subprocess.Popen(command, env=environment) as running:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda number, _frame: running.send_signal(number))
            status = running.wait()
    sys.exit(status if status >= 0 else 128 - status)
