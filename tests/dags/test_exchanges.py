"""Exchanges under a real Airflow: what its runs do, and what its buttons cannot.

Clear, Mark, Trigger and backfill are pressed through the API that Airflow's own pages use.
"""

import io
import re
from datetime import datetime

import pytest

from hub import intake
from hub.intake import Totals
from hub.registry import SHIPPED
from schemas.agreement import load_agreement
from schemas.samples import csv_bytes, sample
from tests.dags.standing import STEPS, Standing, until
from tests.integration.desk import STRAIGHT, damage, entries, hand_in, history, row, states

pytestmark = pytest.mark.slow

E7 = load_agreement(SHIPPED / "e7.yaml")


def carried(up: Standing, *submissions: str) -> None:
    """Wait until submissions are done and their run is over."""
    until(
        lambda: states(up.office, submissions) == ["acknowledged"] * len(submissions) or None,
        f"{submissions} to be done",
    )
    up.rest("E7")


def hand_in_bad_rows(up: Standing) -> str:
    """Hand in a file of which every row is wrong: its batch fails and waits for people."""
    made = sample(E7, 6, 99)
    lines = csv_bytes(made).decode().splitlines()
    no_day = re.compile(r"\d{2}\.\d{2}\.\d{4}|\d{4}-\d{2}-\d{2}")
    spoilt = [lines[0], *(no_day.sub("31.02.2026", line) for line in lines[1:])]
    return intake.accept(up.office, io.BytesIO("\n".join(spoilt).encode() + b"\n"), "E7", Totals())


def test_a_file_is_carried_by_six_tasks_and_its_parcel_is_an_asset(
    up: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in_first = hand_in(up.office)  # the first run of all warms the machine
    carried(up, hand_in_first)
    submission = hand_in(up.office)
    carried(up, submission)
    run = up.run_with("E7", submission)
    assert up.end_of("E7", run) == "success"
    assert up.colours("E7", run) == ["success"] * 6
    assert history(up.office, submission) == STRAIGHT
    with capsys.disabled():
        tell_seconds(up, run, submission)

    events = up.ask("GET", "assets/events?source_dag_id=exchange_e7&order_by=-timestamp&limit=1")
    (delivery,) = events["asset_events"]
    assert delivery["name"] == f"E7 to {E7.recipient.id}"
    assert delivery["extra"] == {"parcels": [f"P-{submission}-1"], "count": 1}
    xcoms = up.xcoms("E7", run)
    assert xcoms.pop("receive.lot") == [submission]
    assert xcoms["deliver.return_value"] == {"taken": 1, "passed": 0}
    assert all(isinstance(count, int) for value in xcoms.values() for count in value.values())


def tell_seconds(up: Standing, run: str, submission: str) -> None:
    """Print where the time went, from the file's arrival to its receipt."""
    came = row(up.office, submission).created_at
    tasks = up.tasks("E7", run)
    told = []
    for step in STEPS:
        start, end = (datetime.fromisoformat(tasks[step][key]) for key in ("start_date", "end_date"))
        told.append(f"{step} {(start - came).total_seconds():.1f}-{(end - came).total_seconds():.1f}")
    done = row(up.office, submission).changed_at
    print(f"\ndrop to receipt {(done - came).total_seconds():.1f} s: {', '.join(told)}")  # noqa: T201


def test_a_run_with_nothing_to_do_is_green_and_ends_at_once(up: Standing) -> None:
    up.rest("E7")
    run = up.trigger("E7")
    assert up.end_of("E7", run) == "success"
    assert up.colours("E7", run) == ["success"] + ["skipped"] * 5


def test_clearing_a_finished_run_sends_nothing_twice(up: Standing) -> None:
    submission = hand_in(up.office)
    carried(up, submission)
    run = up.run_with("E7", submission)
    parcels = up.office.settings.data / "outbox" / E7.recipient.id
    before = sorted(parcels.iterdir()), entries(up.office, submission, "intent")

    up.clear("E7", run, "deliver")
    assert up.end_of("E7", run) == "success"
    assert up.colours("E7", run)[4:] == ["skipped", "success"]
    up.clear("E7", run)
    assert up.end_of("E7", run) == "success"
    assert up.colours("E7", run) == ["success"] + ["skipped"] * 5, "a run claims anew, and nothing waits"
    assert (sorted(parcels.iterdir()), entries(up.office, submission, "intent")) == before
    assert history(up.office, submission) == STRAIGHT


def test_marking_tasks_as_done_skips_no_step_and_no_check(up: Standing) -> None:
    up.rest("E7")
    up.pause("E7")
    submission = hand_in(up.office)
    run = up.trigger("E7")
    for step in STEPS[1:5]:
        up.mark("E7", run, step)
    up.go_on("E7")
    up.end_of("E7", run)
    carried(up, submission)
    assert history(up.office, submission) == STRAIGHT
    assert entries(up.office, submission, "intent") == 1
    assert up.run_with("E7", submission)


def test_marking_a_whole_run_as_done_leaves_its_submissions_to_the_next(up: Standing) -> None:
    up.rest("E7")
    up.pause("E7")
    submission = hand_in(up.office)
    run = up.trigger("E7")
    up.ask("PATCH", f"{up.dag('E7')}/dagRuns/{run}", state="success")
    assert history(up.office, submission) == ["received"]
    up.go_on("E7")
    carried(up, submission)
    assert history(up.office, submission) == STRAIGHT
    assert entries(up.office, submission, "intent") == 1


def test_what_waits_for_people_is_moved_by_no_button(up: Standing) -> None:
    submission = hand_in_bad_rows(up)
    until(lambda: states(up.office, [submission]) == ["quarantined"] or None, "quarantine")
    run = up.run_with("E7", submission)
    assert up.end_of("E7", run) == "success", "the hub did its work: it decided"
    up.clear("E7", run, "authorise")
    assert up.end_of("E7", run) == "success"
    for step in STEPS[2:5]:
        up.mark("E7", run, step)
    assert up.end_of("E7", up.trigger("E7")) == "success"
    assert history(up.office, submission) == ["received", "quarantined"]
    assert entries(up.office, submission, "intent") == 0


def test_a_bad_submission_makes_its_run_red_and_stops_no_other(up: Standing) -> None:
    up.rest("E7")
    up.pause("E7")
    first, bad, last = (hand_in(up.office) for _ in range(3))
    damage(up.office, bad)
    up.go_on("E7")
    run = up.run_with("E7", bad)
    assert up.end_of("E7", run) == "failed"
    assert up.colours("E7", run) == ["failed", *["success"] * 4, "failed"]
    assert up.tasks("E7", run)["receive"]["try_number"] == 1, "an alarm is not tried again"
    assert states(up.office, [first, bad, last]) == ["acknowledged", "received", "acknowledged"]

    log = up.log("E7", run, "receive")
    assert f"lot.alarm: receive met staging.damaged in {bad}" in log
    assert "staging.py" not in log, "neither cause nor context: no frame of the hub, no value"
    assert f"left undone: {bad} (staging.damaged); failed tasks: receive" in up.log("E7", run, "acknowledge")

    up.clear("E7", run)
    assert up.end_of("E7", run) == "success", "it claims anew; the held one is no button's business"
    assert history(up.office, bad) == ["received"]


def test_a_step_that_cannot_be_done_now_is_tried_again(up: Standing) -> None:
    """The outbox cannot be written: a disk that is away, not a bad file."""
    up.rest("E7")
    outbox = up.office.settings.data / "outbox"
    aside = outbox.rename(outbox.with_name("outbox aside"))
    outbox.write_text("in the way", encoding="utf-8")
    submission = hand_in(up.office)
    run = up.run_with("E7", submission)
    until(lambda: up.tasks("E7", run)["deliver"]["try_number"] > 1 or None, "a second try")
    outbox.unlink()
    aside.rename(outbox)
    assert up.end_of("E7", run) == "success"
    assert states(up.office, [submission]) == ["acknowledged"]
    assert entries(up.office, submission, "intent") == 1
    assert "lot.unfinished: deliver met disk.write" in up.log("E7", run, "deliver")


def test_an_exchange_cannot_be_backfilled(up: Standing) -> None:
    answer = up.answer(
        "POST",
        "backfills",
        dag_id="exchange_e7",
        from_date="2026-01-01T00:00:00Z",
        to_date="2026-01-03T00:00:00Z",
        run_backwards=False,
        dag_run_conf={},
        reprocess_behavior="completed",
        max_active_runs=1,
    )
    assert answer.status_code >= 400, answer.text


def test_upkeep_does_its_rounds_and_lays_the_checkpoint_out(up: Standing) -> None:
    names = ("upkeep", "upkeep_hourly", "upkeep_daily", "upkeep_weekly")
    runs = {name: up.ask("POST", f"dags/{name}/dagRuns", logical_date=None)["dag_run_id"] for name in names}
    for name, run in runs.items():
        until(
            lambda name=name, run=run: (  # type: ignore[misc]
                up.ask("GET", f"dags/{name}/dagRuns/{run}")["state"] == "success" or None
            ),
            f"the end of {name}",
        )
    assert (up.office.settings.public_log / "checkpoint").is_file()
