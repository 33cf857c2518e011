"""What Airflow's parser reads: every agreement in force a DAG, quickly, and nothing heavy with it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dags.standing import STEPS

PROJECT = Path(__file__).parents[2]
HEAVY = ("polars", "great_expectations", "openpyxl", "connectors")
HEAVY_OF_THE_HUB = ("hub.runtime", "hub.database", "hub.exchange", "hub.lots")
UPKEEP = {"upkeep", "upkeep_hourly", "upkeep_daily", "upkeep_weekly"}
EXCHANGES = [
    {"agreement": "E2", "title": "Übersicht", "sender": "schule", "recipient": "amt"},
    {"agreement": "E12", "title": "Zweite", "sender": "amt", "recipient": "betrieb-01"},
]
# Runs in a process of its own: Airflow is no guest in the process of tests.
READER = """
import json, os, sys, time
from airflow.dag_processing.dagbag import DagBag
folder, empty = sys.argv[1:]
def parsed(path):
    began = time.perf_counter()
    bag = DagBag(path)
    return bag, time.perf_counter() - began
def waits(dag):
    return dag.timetable.asset_condition.objects if dag.dag_id.startswith("exchange") else []
parsed(empty)
bag, seconds = parsed(folder)
seconds = min(parsed(folder)[1] for _ in range(3))
nothing = min(parsed(empty)[1] for _ in range(3))
os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = "exchange_e12"  # as Airflow sets it where a task runs
json.dump({
    "of_a_task": sorted(name for name in parsed(folder)[0].dags if name.startswith("exchange")),
    "errors": bag.import_errors,
    "files": sorted({dag.fileloc.rpartition("/")[2] for dag in bag.dags.values()}),
    "dags": {name: {
        "tasks": {task.task_id: [sorted(task.downstream_task_ids), task.trigger_rule.value, task.retries]
                  for task in dag.tasks},
        "at_once": dag.max_active_runs, "catchup": dag.catchup, "paused": dag.is_paused_upon_creation,
        "tags": sorted(dag.tags), "doc": dag.doc_md, "description": dag.description,
        "assets": [asset.name for asset in waits(dag)],
        "triggers": [watcher.trigger.serialize() for asset in waits(dag) for watcher in asset.watchers],
        "outlets": sorted(asset.name for task in dag.tasks for asset in task.outlets),
    } for name, dag in bag.dags.items()},
    "modules": sorted(sys.modules),
    "seconds": seconds, "nothing": nothing,
}, sys.stdout)
"""


def read(home: Path) -> dict[str, Any]:
    """Let Airflow read the project's dags folder, with a HUB_HOME of its own."""
    empty = home / "nothing.py"
    empty.write_text("from airflow.sdk import DAG\nDAG('nothing')\n", encoding="utf-8")
    environment = {
        **os.environ,
        "HUB_HOME": str(home),
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "dags"), str(PROJECT / "plugins")]),
    }
    answer = subprocess.run(
        [sys.executable, "-c", READER, str(PROJECT / "dags"), str(empty)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    found: dict[str, Any] = json.loads(answer.stdout[answer.stdout.index('{"of_a_task"') :])
    return found


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("dags")
    (home / "exchanges.json").write_text(json.dumps(EXCHANGES), encoding="utf-8")
    return read(home)


pytestmark = pytest.mark.slow


def test_every_file_is_read_without_an_error(bag: dict[str, Any]) -> None:
    assert bag["errors"] == {}
    assert bag["files"] == ["exchanges.py", "upkeep.py"]


def test_every_agreement_in_force_is_a_dag_of_six_tasks_in_a_row(bag: dict[str, Any]) -> None:
    assert set(bag["dags"]) == {"exchange_e2", "exchange_e12", *UPKEEP}
    for name in ("exchange_e2", "exchange_e12"):
        tasks = bag["dags"][name]["tasks"]
        assert tuple(tasks) == STEPS
        assert [tasks[step][0] for step in STEPS] == [*([step] for step in STEPS[1:]), []]
        assert [tasks[step][1] for step in STEPS] == ["all_success", *["all_done"] * 5]
        assert all(tasks[step][2] >= 3 for step in STEPS), "what passes by itself is tried again"


def test_a_task_reads_the_exchange_that_it_belongs_to_and_no_other(bag: dict[str, Any]) -> None:
    assert bag["of_a_task"] == ["exchange_e12"]


def test_runs_of_an_exchange_follow_one_another_and_are_never_made_up(bag: dict[str, Any]) -> None:
    for dag in bag["dags"].values():
        assert (dag["at_once"], dag["catchup"], dag["paused"]) == (1, False, False)


def test_sender_exchange_and_recipient_are_drawn(bag: dict[str, Any]) -> None:
    dag = bag["dags"]["exchange_e2"]
    assert (dag["assets"], dag["outlets"]) == (["E2 from schule"], ["E2 to amt"])
    assert dag["tags"] == ["exchange", "from:schule", "to:amt"]
    assert dag["description"] == "schule → amt: Übersicht"
    assert all(word in dag["doc"] for word in ("Grün", "Rot", "Green", "Red", "Clear", "Trigger"))


def test_a_trigger_is_stored_by_its_agreement_alone(bag: dict[str, Any]) -> None:
    assert bag["dags"]["exchange_e12"]["triggers"] == [["hub_triggers.WaitingWork", {"agreement": "E12"}]]


def test_reading_loads_nothing_heavy(bag: dict[str, Any]) -> None:
    assert [name for name in bag["modules"] if name.startswith(HEAVY + HEAVY_OF_THE_HUB)] == []


def test_reading_takes_little_longer_than_reading_nothing(
    bag: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\nparsed in {bag['seconds']:.3f} s; an empty DAG in {bag['nothing']:.3f} s")  # noqa: T201
    assert bag["seconds"] < 100 * bag["nothing"] + 1


def test_before_there_is_a_hub_there_is_no_exchange_and_no_error(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found["errors"] == {}
    assert set(found["dags"]) == UPKEEP
