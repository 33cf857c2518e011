"""The six steps as tasks of Airflow: each takes the lot of its run, and speaks to Airflow in ids and counts.

A task decides nothing. Which submission is due for a step is asked of the hub's state machine each time, so
that a task may be cleared, marked, repeated or started by hand: what is done is passed over, what is not done
is done by the next run. The hub is imported where a task runs; Airflow's parser reads this file all the time.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRuntimeError,
    AirflowSkipException,
    DownstreamTasksSkipped,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow.sdk import Asset, Context

    from hub.lots import Taken
    from hub.office import Office

P = ParamSpec("P")
R = TypeVar("R")

STEPS = ("receive", "validate", "authorise", "protect", "deliver", "acknowledge")
RETRIES: dict[str, Any] = {
    "retries": 5,  # for what passes by itself: a database away, a worker killed, an orphan still at work
    "retry_delay": 3,
    "retry_exponential_backoff": 2,
    "max_retry_delay": 60,
}


def told_to_airflow(work: Callable[P, R]) -> Callable[P, R]:
    """Translate the hub's errors: what may pass is tried again, all else fails at once, nothing is quoted.

    What is raised has neither cause nor context: the log of a task shows a code, a message and a remedy, and
    of an unforeseen error its kind and place.
    """

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from hub.errors import HubError, Transient, defect  # noqa: PLC0415

        try:
            return work(*args, **kwargs)
        except (AirflowException, AirflowRuntimeError):
            raise
        except Transient as delay:
            told: AirflowException = AirflowException(f"{delay} ({delay.remedy})")
        except HubError as error:
            told = AirflowFailException(f"{error} ({error.remedy})")
        except Exception as error:  # noqa: BLE001 -- it may quote a row
            found = defect(error)
            told = AirflowFailException(f"{found} ({found.remedy})")
        raise told

    return run


@contextmanager
def open_hub() -> Iterator[Office]:
    """Open the hub that this Airflow belongs to."""
    from hub.runtime import open_office  # noqa: PLC0415
    from hub.settings import Settings  # noqa: PLC0415

    with open_office(Settings()) as office:
        yield office


class Step(BaseOperator):
    """One step over the lot that the run has claimed; skipped where nothing of it is due for the step."""

    def __init__(self, *, agreement: str, **kwargs: Any) -> None:
        super().__init__(**RETRIES | kwargs)
        self.agreement = agreement

    @told_to_airflow
    def execute(self, context: Context) -> dict[str, int]:
        """Take the lot through the step; returns counts."""
        lot = claimed(context)
        with open_hub() as office:
            done = self.take(office, lot)
            self.after(office, context, lot, done)
        if not done.taken:
            message = "nothing of this lot is due for this step"
            raise AirflowSkipException(message)
        return {"taken": len(done.taken), "passed": len(done.passed)}

    def take(self, office: Office, lot: Sequence[str]) -> Taken:
        """Take what is due through the step, and write down how many that were."""
        from hub import lots  # noqa: PLC0415

        done = lots.take(office, self.task_id, lot)
        self.log.info("%s: %d taken, %d passed over", self.task_id, len(done.taken), len(done.passed))
        return done

    def after(self, office: Office, context: Context, lot: Sequence[str], done: Taken) -> None:
        """Do what follows from the step, where something does."""


class Receive(Step):
    """Claims the lot of the run, then reads its files. Where nothing waits the run ends at once, green."""

    @told_to_airflow
    def execute(self, context: Context) -> dict[str, int]:
        """Claim a lot and take it through the first step; returns counts."""
        from hub import lots  # noqa: PLC0415

        with open_hub() as office:
            lot = lots.claim(office, self.agreement)
            if not lot.submissions:
                self.log.info("nothing waits")
                raise DownstreamTasksSkipped(tasks=[*STEPS[1:]])
            # Before any work: what follows goes on with the rest of a lot of which one could not be read.
            context["ti"].xcom_push("lot", list(lot.submissions))
            self.log.info("claimed %d; more wait: %s", len(lot.submissions), lot.more)
            done = self.take(office, lot.submissions)
        return {"claimed": len(lot.submissions), "taken": len(done.taken), "passed": len(done.passed)}


class Deliver(Step):
    """Sends, and tells Airflow's map of assets which parcels went out."""

    def __init__(self, *, delivery: Asset, **kwargs: Any) -> None:
        super().__init__(outlets=[delivery], **kwargs)
        self.delivery = delivery

    def after(self, office: Office, context: Context, lot: Sequence[str], done: Taken) -> None:
        """Name the parcels that are out; where none is, the task is skipped and no delivery appears."""
        from hub import lots  # noqa: PLC0415

        parcels = lots.sent(office, lot) if done.taken else []
        if not parcels:
            message = "no parcel of this lot went out"
            raise AirflowSkipException(message)
        context["outlet_events"][self.delivery].extra = {"parcels": [*parcels], "count": len(parcels)}


class Acknowledge(Step):
    """Ends the run: receipts, a call for what still waits, and the run's colour.

    It is the run's only leaf. Red where the hub could not do its work for one of the lot, whichever step
    that was: by what the hub has noted, and by what became of the other tasks.
    """

    @told_to_airflow
    def execute(self, context: Context) -> dict[str, int]:
        """Take the lot through the last step, call for more, and say whether the hub did its work."""
        from hub import lots  # noqa: PLC0415

        lot = claimed(context)
        with open_hub() as office:
            done = self.take(office, lot)
            if self.agreement in lots.waiting(office):
                lots.wake(office, self.agreement)
            held = lots.troubled(office, lot)
        failed = failed_tasks(context)
        if held or failed:
            submissions = ", ".join(f"{name} ({code})" for name, code in held.items())
            message = f"left undone: {submissions or 'none'}; failed tasks: {', '.join(failed) or 'none'}"
            raise AirflowFailException(message)
        return {"taken": len(done.taken), "passed": len(done.passed)}


def claimed(context: Context) -> list[str]:
    """Give the ids of the run's lot; none where it was never claimed."""
    return list(context["ti"].xcom_pull(task_ids=STEPS[0], key="lot") or [])


def failed_tasks(context: Context) -> list[str]:
    """Name the tasks of this run that failed for good."""
    ti = context["ti"]
    found = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])
    states = found.get(ti.run_id, {})
    return [step for step in STEPS[:-1] if states.get(step) in {"failed", "upstream_failed"}]
