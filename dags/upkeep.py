"""Upkeep: what the hub looks after by itself, whether or not files come in."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from hub_steps import RETRIES, open_hub, told_to_airflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

KEPT = timedelta(days=90)
"""How long Airflow remembers its runs; what was transferred stands in the hub's own log."""

EXPLAINED = """\
**Deutsch.** Der Hub sieht nach dem Rechten: weckt, was unbemerkt wartet (`reconcile`), legt den neuesten
Prüfpunkt des Protokolls aus (`checkpoint`), führt die Liste der Vereinbarungen nach (`exchanges`), beendet,
was niemand rechtzeitig freigegeben hat (`expire`), löscht am Ende der Fristen (`retain`), räumt Airflows
eigene Aufzeichnungen auf (`clean`). Jede Aufgabe darf jederzeit wiederholt werden.

**English.** The hub looks after itself: it wakes what waits unnoticed (`reconcile`), lays out the log's
newest checkpoint (`checkpoint`), brings the list of agreements up to date (`exchanges`), ends what nobody
released in time (`expire`), deletes what is over (`retain`), and clears Airflow's own records (`clean`).
Every task may be repeated at any time.
"""


class Upkeep(BaseOperator):
    """A task of the hub's own upkeep; it returns ids and counts."""

    def __init__(self, *, work: Callable[[], dict[str, Any]], **kwargs: Any) -> None:
        super().__init__(**RETRIES | kwargs)
        self.work = work

    @told_to_airflow
    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 -- Airflow's
        """Do the work and write down what it found."""
        found = self.work()
        self.log.info("%s: %s", self.task_id, found)
        return found


def reconcile() -> dict[str, Any]:
    """Wake what waits unnoticed; fail where a parcel was announced long ago and never sent."""
    from hub import upkeep  # noqa: PLC0415

    with open_hub() as office:
        found = upkeep.reconcile(office)
    if found.unsettled:
        message = f"announced in the log, neither sent nor stopped: {', '.join(found.unsettled)}"
        raise AirflowFailException(message)
    return {"woken": list(found.woken), "abandoned": list(found.abandoned)}


def checkpoint() -> dict[str, Any]:
    """Lay out the transfer log's newest checkpoint and the hash tiles that it needs."""
    from hub import public_log  # noqa: PLC0415

    with open_hub() as office:
        found = public_log.publish(office)
    return {"size": found.size, "tiles": found.tiles, "new": found.new}


def exchanges() -> dict[str, Any]:
    """Bring the list that dags/exchanges.py reads up to date."""
    from hub import runtime  # noqa: PLC0415

    with open_hub() as office:
        runtime.publish_exchanges(office)
    return {}


def expire() -> dict[str, Any]:
    """Refuse what nobody released in time."""
    from hub import upkeep  # noqa: PLC0415

    with open_hub() as office:
        return {"expired": upkeep.expire(office)}


def retain() -> dict[str, Any]:
    """End what is over by the rules of retention."""
    from hub import upkeep  # noqa: PLC0415

    with open_hub() as office:
        return {"ended": upkeep.retain(office)}


def clean() -> dict[str, Any]:
    """Have Airflow forget its runs of long ago."""
    from hub import runtime  # noqa: PLC0415
    from hub.settings import Settings  # noqa: PLC0415

    # A task cannot see Airflow's database; the hub keeps that key as well.
    database = runtime.database_url(Settings(), "airflow").render_as_string(hide_password=False)
    environment = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database}
    environment.pop("AIRFLOW__CORE__SQL_ALCHEMY_CONN", None)
    before = (datetime.now(UTC) - KEPT).isoformat()
    command = [sys.executable, "-m", "airflow", "db", "clean", "--clean-before-timestamp", before]
    answer = subprocess.run(
        [*command, "--skip-archive", "--yes"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if answer.returncode != 0:
        message = f"airflow db clean ended with status {answer.returncode}"
        raise AirflowException(message)
    return {"before": before}


def upkeep_dag(dag_id: str, schedule: str, *works: Callable[[], dict[str, Any]]) -> DAG:
    """Make a DAG of tasks that do not depend on one another."""
    with DAG(
        dag_id=dag_id,
        description=", ".join(work.__name__ for work in works),
        doc_md=EXPLAINED,
        schedule=schedule,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=["upkeep"],
    ) as dag:
        for work in works:
            Upkeep(task_id=work.__name__, work=work)
    return dag


upkeep_dag("upkeep", "*/5 * * * *", reconcile, checkpoint, exchanges)
upkeep_dag("upkeep_hourly", "7 * * * *", expire)
upkeep_dag("upkeep_daily", "41 2 * * *", retain)
upkeep_dag("upkeep_weekly", "23 3 * * 0", clean)
