"""A lot is carried together, and no submission of it stands in the way of another."""

import io
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

import pytest

from hub import intake, lease, lots, staging
from hub.case import now
from hub.database.models import Submission
from hub.errors import Corrupt, Transient
from hub.intake import Totals
from hub.office import Office
from hub.registry import SHIPPED
from schemas.agreement import load_agreement
from schemas.samples import FileForm, csv_bytes, sample
from tests.integration.desk import (
    STRAIGHT,
    carried,
    change,
    damage,
    entries,
    gone,
    hand_in,
    history,
    open_desk,
    row,
    states,
)

NEWLINES: tuple[Literal["\n"], Literal["\r\n"]] = ("\n", "\r\n")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    home = tmp_path_factory.mktemp("lots") / "home"
    with open_desk(home, lot_submissions=4, lot_bytes=20_000) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_waits(office: Office) -> Iterator[None]:
    """Each test leaves an empty desk."""
    yield
    while lot := lots.claim(office, "E7").submissions:
        carried(office, lot)


def test_a_lot_goes_through_all_six_steps_and_is_delivered_once(office: Office) -> None:
    handed_in = [hand_in(office) for _ in range(3)]
    assert lots.waiting(office) == ["E7"]
    lot = lots.claim(office, "E7")
    assert (lot.submissions, lot.more) == (tuple(handed_in), False)
    carried(office, lot.submissions)
    carried(office, lot.submissions)
    assert [history(office, one) for one in handed_in] == [STRAIGHT] * 3
    assert [entries(office, one, "intent") for one in handed_in] == [1, 1, 1]
    assert len(lots.sent(office, handed_in)) == 3
    assert lots.waiting(office) == []


def test_a_step_that_is_not_due_changes_nothing(office: Office) -> None:
    submission = hand_in(office)
    for step in ("acknowledge", "deliver", "protect", "authorise", "validate"):
        done = lots.take(office, step, [submission])
        assert (done.taken, done.passed) == ([], [submission])
    assert history(office, submission) == ["received"]


def test_a_bad_submission_never_stops_its_lot(office: Office) -> None:
    first, bad, last = (hand_in(office) for _ in range(3))
    damage(office, bad)
    with pytest.raises(Corrupt, match=rf"lot\.alarm: receive met staging\.damaged in {bad}"):
        lots.take(office, "receive", [first, bad, last])
    carried(office, [first, bad, last])
    assert states(office, [first, bad, last]) == ["acknowledged", "received", "acknowledged"]
    assert lots.troubled(office, [first, bad, last]) == {bad: "staging.damaged"}
    assert entries(office, bad, "alarm") == 1


def test_what_met_an_alarm_is_held_until_somebody_takes_it_on(office: Office) -> None:
    bad = hand_in(office)
    sealed = (office.inbox / f"{bad}.sealed").read_bytes()
    damage(office, bad)
    with pytest.raises(Corrupt):
        lots.take(office, "receive", [bad])
    (office.inbox / f"{bad}.sealed").write_bytes(sealed)
    assert lots.claim(office, "E7").submissions == ()
    assert lots.take(office, "receive", [bad]).passed == [bad], "nor by name, as a cleared task would"
    lots.take_on(office, bad)
    assert lots.claim(office, "E7").submissions == (bad,)
    carried(office, [bad])
    assert states(office, [bad]) == ["acknowledged"]
    assert lots.troubled(office, [bad]) == {}


def test_what_another_process_works_on_is_tried_again_and_is_no_failure(office: Office) -> None:
    busy, free = hand_in(office), hand_in(office)
    with office.database.transaction() as session:
        held = lease.claim(session, busy, 60)
    with pytest.raises(Transient, match=rf"lot\.unfinished: receive met lease\.held in {busy}"):
        lots.take(office, "receive", [busy, free])
    assert row(office, busy).failures == 0
    assert lots.claim(office, "E7").submissions == (free,), "nor does another run take it"
    carried(office, [free])
    assert lots.waiting(office) == [], "nor is anybody called for it"
    with office.database.transaction() as session:
        lease.release(session, held)
    assert lots.waiting(office) == ["E7"]
    carried(office, [busy, free])
    assert states(office, [busy, free]) == ["acknowledged", "acknowledged"]


def test_what_cannot_be_done_now_is_left_alone_for_longer_each_time(office: Office) -> None:
    """The outbox cannot be written: a disk that is away, not a bad file."""
    submission = hand_in(office)
    for step in ("receive", "validate", "authorise", "protect"):
        lots.take(office, step, [submission])
    outbox = office.settings.data / "outbox"
    staging.make_folder(outbox)
    aside = outbox.with_name("outbox aside")
    outbox.rename(aside)
    outbox.write_text("in the way", encoding="utf-8")
    waits = []
    try:
        for _ in range(2):
            with pytest.raises(Transient, match=r"lot\.unfinished"):
                lots.take(office, "deliver", [submission])
            with office.database.transaction() as session:
                later = session.get_one(Submission, submission).not_before
                assert later is not None
                waits.append((later - now(session)).total_seconds())
            assert lots.claim(office, "E7").submissions == ()
    finally:
        outbox.unlink()
        aside.rename(outbox)
    assert waits[0] > 0
    assert waits[1] > 1.5 * waits[0]
    assert lots.troubled(office, [submission]) == {submission: "later"}
    carried(office, [submission])
    assert states(office, [submission]) == ["acknowledged"]
    assert row(office, submission).failures == 0
    assert entries(office, submission, "intent") == 1


def test_what_a_dead_process_left_is_claimed_at_once(office: Office) -> None:
    submission = hand_in(office)
    change(
        office, submission, f"lease_holder = '{gone()}', lease_until = clock_timestamp() + interval '1 hour'"
    )
    assert lots.waiting(office) == ["E7"]
    assert lots.claim(office, "E7").submissions == (submission,)


def test_what_its_worker_died_over_comes_last(office: Office) -> None:
    deadly, *others = (hand_in(office) for _ in range(3))
    change(office, deadly, f"lease_holder = '{gone()}', lease_until = clock_timestamp() + interval '1 hour'")
    taken = lots.take(office, "receive", [deadly, *others]).taken
    assert taken == [*others, deadly]
    assert row(office, deadly).failures == 0, "it went well after all"


def test_a_submission_that_kills_its_workers_gives_way_to_others(office: Office) -> None:
    deadly = hand_in(office)
    for failures in (1, 2):
        change(
            office,
            deadly,
            f"lease_holder = '{gone()}', lease_until = clock_timestamp() + interval '1 hour'",
        )
        lots.take(office, "validate", [deadly])  # not due: it is only looked at
        assert row(office, deadly).failures == failures
        assert lots.claim(office, "E7").submissions == (), "for a while"
    other = hand_in(office)
    change(office, deadly, "not_before = NULL")
    assert lots.claim(office, "E7").submissions == (other, deadly)


def test_the_lease_of_a_living_process_is_no_death(office: Office) -> None:
    submission = hand_in(office)
    with office.database.transaction() as session:
        held = lease.claim(session, submission, 60)
    assert str(os.getpid()) in str(row(office, submission).lease_holder)
    lots.take(office, "validate", [submission])
    assert row(office, submission).failures == 0
    with office.database.transaction() as session:
        lease.release(session, held)


def test_a_lot_is_bounded_in_number_and_the_rest_is_told_of(office: Office) -> None:
    handed_in = [hand_in(office) for _ in range(6)]
    lot = lots.claim(office, "E7")
    assert (lot.submissions, lot.more) == (tuple(handed_in[:4]), True)
    carried(office, lot.submissions)
    assert lots.claim(office, "E7").submissions == tuple(handed_in[4:])


def test_a_lot_is_bounded_in_bytes_and_holds_at_least_one(office: Office) -> None:
    large = [hand_in(office, rows=300) for _ in range(2)]
    assert row(office, large[0]).bytes > office.settings.lot_bytes
    lot = lots.claim(office, "E7")
    assert (lot.submissions, lot.more) == ((large[0],), True)


def test_work_in_which_nothing_has_changed_for_a_while_is_told_apart(office: Office) -> None:
    submission = hand_in(office)
    assert lots.waiting(office, timedelta(minutes=3)) == []
    change(office, submission, "changed_at = clock_timestamp() - interval '4 minutes'")
    assert lots.waiting(office, timedelta(minutes=3)) == ["E7"]


def test_the_same_rows_in_one_lot_are_delivered_once(office: Office) -> None:
    """Decided together, sent one by one: what the first delivery bears on is decided anew, and only that."""
    made = sample(load_agreement(SHIPPED / "e7.yaml"), 5, 4711)
    twins = [
        intake.accept(office, io.BytesIO(csv_bytes(made, FileForm(newline=end))), "E7", Totals())
        for end in NEWLINES
    ]
    other = hand_in(office)
    carried(office, [*twins, other])
    assert states(office, [*twins, other]) == ["acknowledged", "validated", "acknowledged"]
    assert history(office, other) == STRAIGHT
    carried(office, twins)
    assert [row(office, one).delivered for one in twins] == [5, 0]
    assert row(office, twins[1]).already_delivered == 5
    assert len(lots.sent(office, twins)) == 1
