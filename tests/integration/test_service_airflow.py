"""Airflow's own program with this hub's configuration: `hub airflow`, before and without `hub up`."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from hub.database import postmaster
from hub.database.session import address
from hub.errors import Corrupt
from hub.runtime import airflow_access, initialise
from hub.service.airflow import airflow_settings, slots
from hub.service.logins import logins_file, make_logins
from hub.service.schema import end_job, prepare_airflow
from hub.settings import Settings

PROJECT = Path(__file__).parents[2]
HUB = (sys.executable, "-c", "from hub.cli import main; main()")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = Settings(home=tmp_path_factory.mktemp("airflow") / "hub home", free_bytes=0)
    initialise(made)
    return made


def hub_airflow(settings: Settings, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = settings.environment() | {"PYTHONPATH": str(PROJECT)} | more
    return subprocess.run(
        [*HUB, "airflow", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_airflow_is_prepared_once_and_runs_with_the_hubs_configuration_alone(settings: Settings) -> None:
    foreign = {"AIRFLOW__CORE__EXECUTOR": "SequentialExecutor", "AIRFLOW_HOME": str(settings.root / "no")}
    first = hub_airflow(settings, "config", "get-value", "core", "executor", **foreign)
    assert (first.returncode, first.stdout.strip()) == (0, "LocalExecutor"), first.stderr
    log = settings.run / "logs" / "migrate.log"
    made = log.stat().st_mtime_ns
    again = hub_airflow(settings, "db", "check-migrations", "--migration-wait-timeout", "0")
    assert again.returncode == 0, again.stderr
    assert log.stat().st_mtime_ns == made, "the tables are made once"
    assert postmaster.running(settings.postgres) is None, "what it started it has stopped"
    for file in (log, settings.airflow / "logins.json", settings.airflow / "airflow.cfg"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = (settings.airflow / "airflow.cfg").read_text(encoding="ascii").splitlines()
    assert [line for line in written if not line.startswith("#")] == [], (
        "no default is frozen, no secret copied"
    )


def test_airflows_status_is_the_status(settings: Settings) -> None:
    assert hub_airflow(settings, "no-such-word").returncode == 2


def test_tables_that_are_gone_are_made_anew(settings: Settings) -> None:
    told: list[str] = []
    with airflow_access(settings) as access:
        prepare_airflow(settings, access, told.append)
        assert told == []
        with psycopg.connect(address(access.database)) as connection:
            connection.execute("DROP TABLE alembic_version")
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        prepare_airflow(settings, access, told.append)
        assert len(told) == 1


def test_a_dead_schedulers_job_is_written_down_and_no_other(settings: Settings) -> None:
    insert = "INSERT INTO job (state, job_type, hostname) VALUES ('running', %s, %s)"
    here = os.uname().nodename
    with airflow_access(settings) as access:
        with psycopg.connect(address(access.database)) as connection:
            for kind, host in (("SchedulerJob", here), ("SchedulerJob", "elsewhere"), ("TriggererJob", here)):
                connection.execute(insert, [kind, host])
        end_job(access, "SchedulerJob")
        with psycopg.connect(address(access.database)) as connection:
            rows = connection.execute("SELECT job_type, hostname, state, end_date IS NOT NULL FROM job")
            assert set(rows.fetchall()) == {
                ("SchedulerJob", here, "failed", True),
                ("SchedulerJob", "elsewhere", "running", False),
                ("TriggererJob", here, "running", False),
            }


def test_everything_is_bound_to_this_machine_and_nothing_is_sent_home(settings: Settings) -> None:
    with airflow_access(settings) as access:
        found = airflow_settings(settings, access)
    assert found["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8080/execution/"
    assert found["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert slots() >= 4
    assert {len(secret) for secret in access.secrets.values()} == {32}
    assert len(set(access.secrets.values())) == 3


def test_a_password_stays_and_a_missing_one_is_made(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    settings.airflow.mkdir(parents=True)
    first = make_logins(settings)
    assert make_logins(settings) == first
    assert len(set(first.values())) == 4
    logins_file(settings).write_text(json.dumps({"admin": "chosen"}), encoding="utf-8")
    second = make_logins(settings)
    assert second["admin"] == "chosen"
    assert second["steward"] not in first.values()


def test_a_file_of_logins_that_holds_something_else_is_an_alarm(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    settings.airflow.mkdir(parents=True)
    logins_file(settings).write_text('{"admin": 1}', encoding="utf-8")
    with pytest.raises(Corrupt, match=r"service\.logins"):
        make_logins(settings)
