"""Airflow's own tables: brought to the shape that the installed release wants, and told who is dead."""

import json
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import psycopg

from hub import staging
from hub.database.session import CONNECT_SECONDS, address, translated
from hub.errors import Corrupt, Refused
from hub.runtime import AirflowAccess
from hub.service.airflow import airflow_command, airflow_environment
from hub.service.logins import make_logins
from hub.service.logs import open_log
from hub.settings import Settings

PROGRAM = "apache-airflow-core"
# Where there is no such file Airflow writes one, with every default and every secret of its environment.
NO_SETTINGS = b"# Airflow is configured by its environment (hub/service/airflow.py). Nothing in here.\n"


def prepare_airflow(settings: Settings, access: AirflowAccess, tell: Callable[[str], None]) -> dict[str, str]:
    """Make Airflow's folders, logins and tables where they are missing; returns the logins.

    Raises:
        Refused: ``service.airflow`` when Airflow cannot make its tables; its own words stand in a log.
    """
    for folder in (settings.airflow, settings.airflow / "logs", settings.run, settings.run / "logs"):
        staging.make_folder(folder)
    configuration = settings.airflow / "airflow.cfg"
    if not configuration.exists() or configuration.read_bytes() != NO_SETTINGS:
        staging.replace(configuration, NO_SETTINGS)
    logins = make_logins(settings)
    mark = settings.airflow / "tables.json"
    if not _is_present(access, mark):
        tell("making Airflow's tables (once, up to a minute)")
        _migrate(settings, access)
        revision = _revision(access)
        if revision is None:
            raise Corrupt(
                "service.airflow", "Airflow made no tables but said it did", f"read {_log(settings)}"
            )
        staging.replace(mark, json.dumps({"airflow": version(PROGRAM), "revision": revision}).encode())
    return logins


def end_job(access: AirflowAccess, kind: str) -> None:
    """Write down that this machine's last scheduler or triggerer is dead; its successor goes on at once.

    Airflow itself would wait until the dead one has been silent for a while; where this fails, it does.
    """
    statement = """
        UPDATE job SET state = 'failed', end_date = clock_timestamp()
        WHERE state = 'running' AND job_type = %s AND hostname = %s
    """
    with (
        suppress(psycopg.Error),
        psycopg.connect(address(access.database), connect_timeout=CONNECT_SECONDS) as connection,
    ):
        connection.execute(statement, [kind, socket.gethostname()])


def _is_present(access: AirflowAccess, mark: Path) -> bool:
    """Tell whether the database holds what this very release once made; asking Airflow would take seconds."""
    if not mark.exists():
        return False
    try:
        known = json.loads(mark.read_bytes())
    except ValueError:
        return False
    return bool(known == {"airflow": version(PROGRAM), "revision": _revision(access)})


def _revision(access: AirflowAccess) -> str | None:
    """Read which revision Airflow's tables have; None where there are none."""
    with (
        translated(),
        psycopg.connect(address(access.database), connect_timeout=CONNECT_SECONDS) as connection,
    ):
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _log(settings: Settings) -> Path:
    return settings.run / "logs" / "migrate.log"


def _migrate(settings: Settings, access: AirflowAccess) -> None:
    with open_log(_log(settings)) as output:
        answer = subprocess.run(
            airflow_command("db", "migrate"),
            env=airflow_environment(settings, access),
            cwd=settings.airflow,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            umask=0o077,
            check=False,
        )
    if answer.returncode != 0:
        raise Refused(
            "service.airflow",
            f"`airflow db migrate` failed with status {answer.returncode}",
            f"read {_log(settings)}, correct the cause, then try again",
        )
