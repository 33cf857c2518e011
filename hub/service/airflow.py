"""Airflow's configuration, all of it, as the environment of its programs.

No file configures Airflow here, so nothing can contradict this one; secrets reach it through the environment
(which only the same user can read), never by a command line.
"""

import base64
import os
import sys
from pathlib import Path

from sqlalchemy import URL

from hub.runtime import AirflowAccess
from hub.service.logins import ROLES, logins_file
from hub.settings import Settings

PROJECT = Path(__file__).parents[2]
LEAST_SLOTS, MOST_SLOTS = 4, 32


def airflow_command(*arguments: str) -> list[str]:
    """Write the command that runs Airflow's own program with these arguments.

    What forks a process for each task has the hub loaded beforehand.
    """
    forks = arguments[:1] == ("scheduler",) or arguments[:2] == ("celery", "worker")
    return [sys.executable, "-m", "hub.service.warm" if forks else "airflow", *arguments]


def airflow_environment(settings: Settings, access: AirflowAccess) -> dict[str, str]:
    """Give a program of Airflow its whole environment: the caller's, this hub's, its configuration."""
    return settings.environment() | airflow_settings(settings, access)


def airflow_settings(settings: Settings, access: AirflowAccess) -> dict[str, str]:
    """Configure Airflow for this hub: ``AIRFLOW__SECTION__KEY`` and the few variables beside them."""
    values = {
        "core": _core(settings, access),
        "database": _database(access.database),
        "logging": _logging(settings),
        "api": _pages(settings, access),
        "api_auth": {"jwt_secret": access.secrets["tokens"].hex(), "jwt_issuer": "hub"},
        "workers": WORKERS,
        "scheduler": SCHEDULER,
        "triggerer": TRIGGERER,
        "dag_processor": DAG_PROCESSOR,
    }
    if settings.broker_url is not None:
        values["celery"] = _celery(settings, access)
        values["celery_broker_transport_options"] = BROKER
    return {
        f"AIRFLOW__{section.upper()}__{key.upper()}": value
        for section, keys in values.items()
        for key, value in keys.items()
    } | {
        "AIRFLOW_HOME": str(settings.airflow),
        "AIRFLOW_CONFIG": str(settings.airflow / "airflow.cfg"),
        "PYTHONPATH": str(PROJECT),
        "PYTHONSAFEPATH": "1",  # the folder one happens to be in holds no modules
        "PYTHONUNBUFFERED": "1",
        "TZ": "UTC",
    }


def slots() -> int:
    """How many tasks run at once: two for each core, at least four."""
    return max(LEAST_SLOTS, min(2 * (os.cpu_count() or 1), MOST_SLOTS))


# After a kill that nobody tells of, work goes on within a minute instead of five. Less than 30 s would not
# do: on two busy cores a living scheduler is silent for 10 s at times, takes itself for dead and ends its
# tasks. `hub up` tells of the dead (hub.service.schema.end_job), so that nothing has to wait for these.
SCHEDULER = {
    "scheduler_idle_sleep_time": "0.5",  # half of it is lost between two tasks of a run
    "scheduler_health_check_threshold": "30",
    "orphaned_tasks_check_interval": "5",
    "task_instance_heartbeat_timeout": "30",
    "task_instance_heartbeat_timeout_detection_interval": "3",
    "task_queued_timeout": "60",
    "task_queued_timeout_check_interval": "10",
    "enable_health_check": "False",
    "catchup_by_default": "False",
}
WORKERS = {
    "execution_api_timeout": "20",  # on a busy machine an answer takes its time
    # A supervisor that just misses the end of its task sleeps for so many seconds: at 5, the default, a run
    # of six tasks loses seconds time and again.
    "min_heartbeat_interval": "1",
}
TRIGGERER = {
    "triggerer_health_check_threshold": "30",
    "capacity": "200",
}
DAG_PROCESSOR = {
    "parsing_processes": "1",
    "min_file_process_interval": "60",
    "refresh_interval": "60",
    "print_stats_interval": "0",
}


# What a worker had taken from Redis and not finished when it was killed comes back after this many seconds.
# It comes back as well when a task merely takes longer: Airflow's api-server then says that it is under way,
# and the second worker leaves it. What a dead worker had begun the scheduler misses (see above).
BROKER = {
    "visibility_timeout": "30",
    "unacked_restore_interval": "5",
    "unacked_restore_throttle": "1",
    "unacked_mutex_expire": "10",
}


def _core(settings: Settings, access: AirflowAccess) -> dict[str, str]:
    return {
        "dags_folder": str(PROJECT / "dags"),
        "plugins_folder": str(PROJECT / "plugins"),
        "load_examples": "False",
        "executor": "LocalExecutor" if settings.broker_url is None else "CeleryExecutor",
        "mp_start_method": "fork",  # workers inherit what the scheduler has loaded
        "parallelism": str(slots() * settings.workers),
        "default_pool_task_slot_count": str(slots() * settings.workers),
        "max_active_tasks_per_dag": str(slots() * settings.workers),
        "dags_are_paused_at_creation": "False",
        "dagbag_import_timeout": "60",
        "default_task_retries": "3",
        "default_task_retry_delay": "5",
        "execution_api_server_url": f"{settings.work_address}/execution/",
        "fernet_key": base64.urlsafe_b64encode(access.secrets["fernet"]).decode("ascii"),
        "hostname_callable": "socket.gethostname",  # asks no name server
        "simple_auth_manager_users": ",".join(f"{name}:{role}" for name, role in ROLES.items()),
        "simple_auth_manager_passwords_file": str(logins_file(settings)),
        "test_connection": "Disabled",
    }


def _database(url: URL) -> dict[str, str]:
    address = url.render_as_string(hide_password=False)
    return {
        "sql_alchemy_conn": address,
        "sql_alchemy_conn_async": address,  # psycopg serves both
        "sql_alchemy_pool_size": "3",
        "sql_alchemy_max_overflow": "10",
        "check_migrations": "True",
    }


def _logging(settings: Settings) -> dict[str, str]:
    return {
        "base_log_folder": str(settings.airflow / "logs"),
        "dag_processor_child_process_log_directory": str(settings.airflow / "logs" / "dag_processor"),
        "file_task_handler_new_folder_permissions": "0o700",
        "file_task_handler_new_file_permissions": "0o600",
        "colored_console_log": "False",
    }


def _pages(settings: Settings, access: AirflowAccess) -> dict[str, str]:
    return {
        "host": settings.web_host,
        "port": str(settings.web_port),
        "base_url": settings.web_address,
        "workers": "1",
        "secret_key": access.secrets["pages"].hex(),
        "expose_config": "False",
        "expose_stacktrace": "False",
        "enable_swagger_ui": "False",
        "instance_name": "Datenaustausch",
    }


def _celery(settings: Settings, access: AirflowAccess) -> dict[str, str]:
    broker = settings.broker_url.get_secret_value() if settings.broker_url else ""
    return {
        "broker_url": broker,
        "result_backend": "db+" + access.database.render_as_string(hide_password=False),
        "worker_concurrency": str(slots()),
        "worker_prefetch_multiplier": "1",  # a worker holds back nothing that another one could begin
        "task_acks_late": "True",
    }
