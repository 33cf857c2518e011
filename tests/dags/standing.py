"""A hub that is up, as its administrator meets it: files handed in, and Airflow's own pages by their API."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

from hub import lots
from hub.office import Office
from hub.runtime import initialise, open_office
from hub.service import running
from hub.settings import Settings

T = TypeVar("T")
STEPS = ("receive", "validate", "authorise", "protect", "deliver", "acknowledge")
PATIENCE = 180  # seconds; only what hangs takes so long
ENDED = {"success", "failed"}


def until(found: Callable[[], T | None], what: str) -> T:
    """Wait until something is there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.3)
    message = f"waited in vain for: {what}"
    raise AssertionError(message)


@dataclass
class Standing:
    """A running hub: its office, and its Airflow with an administrator's login."""

    office: Office
    address: str
    token: str

    def ask(self, method: str, path: str, status: int = 200, **content: Any) -> Any:
        """Ask Airflow's API; a mapping that it answers comes back."""
        answer = self.answer(method, path, **content)
        assert answer.status_code == status, (answer.status_code, answer.text[:500])
        return answer.json() if answer.content else None

    def answer(self, method: str, path: str, **content: Any) -> requests.Response:
        return requests.request(
            method,
            f"{self.address}/api/v2/{path}",
            headers={"Authorization": f"Bearer {self.token}"},
            json=content or None,
            timeout=30,
        )

    def dag(self, agreement: str) -> str:
        return f"dags/exchange_{agreement.lower()}"

    def runs(self, agreement: str) -> list[dict[str, Any]]:
        """The exchange's runs, newest first."""
        path = f"{self.dag(agreement)}/dagRuns?order_by=-id&limit=50"
        return list(self.ask("GET", path)["dag_runs"])

    def trigger(self, agreement: str) -> str:
        """Press Trigger; gives the run."""
        return str(self.ask("POST", f"{self.dag(agreement)}/dagRuns", logical_date=None)["dag_run_id"])

    def pause(self, agreement: str) -> None:
        """Have files wait: no run starts."""
        self.ask("PATCH", self.dag(agreement), is_paused=True)

    def go_on(self, agreement: str) -> None:
        """Let runs start again, and say so, or it would be noticed only after a while."""
        self.ask("PATCH", self.dag(agreement), is_paused=False)
        lots.wake(self.office, agreement)

    def clear(self, agreement: str, run: str, *tasks: str) -> None:
        """Press Clear on tasks of a run, and what follows them."""
        self.ask(
            "POST",
            f"{self.dag(agreement)}/clearTaskInstances",
            dry_run=False,
            dag_run_id=run,
            task_ids=list(tasks or STEPS),
            include_downstream=True,
            only_failed=False,
            reset_dag_runs=True,
        )

    def mark(self, agreement: str, run: str, task: str, state: str = "success") -> None:
        """Press Mark success (or failed) on a task."""
        self.ask("PATCH", f"{self.dag(agreement)}/dagRuns/{run}/taskInstances/{task}", new_state=state)

    def end_of(self, agreement: str, run: str) -> str:
        """Wait until a run is over; gives its colour."""
        path = f"{self.dag(agreement)}/dagRuns/{run}"

        def over() -> str | None:
            state = str(self.ask("GET", path)["state"])
            return state if state in ENDED else None

        return until(over, f"the end of {run}")

    def rest(self, agreement: str) -> None:
        """Wait until no run of an exchange is under way."""
        until(lambda: all(run["state"] in ENDED for run in self.runs(agreement)), f"rest of {agreement}")

    def tasks(self, agreement: str, run: str) -> dict[str, dict[str, Any]]:
        """The tasks of a run by name."""
        found = self.ask("GET", f"{self.dag(agreement)}/dagRuns/{run}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}

    def colours(self, agreement: str, run: str) -> list[str]:
        """The states of the six tasks, in their order."""
        tasks = self.tasks(agreement, run)
        return [str(tasks[step]["state"]) for step in STEPS]

    def xcoms(self, agreement: str, run: str) -> dict[str, Any]:
        """Everything that the tasks of a run left for each other."""
        values = {}
        for step in STEPS:
            path = f"{self.dag(agreement)}/dagRuns/{run}/taskInstances/{step}/xcomEntries"
            for entry in self.ask("GET", path)["xcom_entries"]:
                values[f"{step}.{entry['key']}"] = self.ask("GET", f"{path}/{entry['key']}")["value"]
        return values

    def log(self, agreement: str, run: str, task: str, attempt: int = 1) -> str:
        """What a task's log says, as its page shows it."""
        path = f"{self.dag(agreement)}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}?full_content=true"
        return str(self.answer("GET", path).text)

    def run_with(self, agreement: str, submission: str) -> str:
        """Find the run that has claimed a submission."""

        def found() -> str | None:
            for run in self.runs(agreement):
                path = (
                    f"{self.dag(agreement)}/dagRuns/{run['dag_run_id']}/taskInstances/receive/xcomEntries/lot"
                )
                answer = self.answer("GET", path)
                if answer.ok and submission in answer.json()["value"]:
                    return str(run["dag_run_id"])
            return None

        return until(found, f"a run with {submission}")


@contextmanager
def standing(home: Path, ports: Mapping[str, int]) -> Iterator[Standing]:
    """Have a hub run, from an empty folder on."""
    settings = Settings(home=home, web_port=ports["web"], drop_port=ports["drop"])
    initialise(settings)
    with running(settings) as up, open_office(settings) as office:
        address = up.addresses["pages"]
        login = {"username": "admin", "password": up.logins["admin"]}
        answer = requests.post(f"{address}/auth/token", json=login, timeout=30)
        answer.raise_for_status()
        yield Standing(office, address, answer.json()["access_token"])
