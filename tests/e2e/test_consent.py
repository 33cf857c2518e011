"""A row that rests on consent leaves only while that consent is valid, up to the moment of sending."""

import functools
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from connectors.outbox import Outbox
from hub import (
    authorisation,
    consent,
    consent_register,
    delivered,
    exchange,
    intake,
    overview,
    persons,
    pseudonyms,
    staging,
)
from hub.case import Case, open_results, part_name
from hub.database.models import Submission
from hub.database.session import raw
from hub.errors import Transient
from hub.office import Office
from hub.runtime import open_office
from hub.states import State
from schemas.samples import Sample, sample
from schemas.samples.consents import LACKS
from tests.e2e.hub import COLLECTOR, Answer, Hub, agreement, conserved, plain_csv

E3 = agreement("E3")
STOPPED_ONCE = [
    ("submission", None),
    ("intent", None),
    ("outcome", "stopped"),
    ("intent", None),
    ("outcome", "acknowledged"),
]


@pytest.fixture
def office(hub: Hub) -> Iterator[Office]:
    with open_office(hub.settings) as opened:
        yield opened


def consented(hub: Hub, rows: int, seed: int) -> Sample:
    """Good rows whose persons have all consented."""
    made = sample(E3, rows, seed)
    assert hub.bring_consents(made).status == 0
    return made


def number(made: Sample, row: int) -> str:
    return str(made.frame["Teilnehmernummer"][row])


def before(step: State, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen once, in the gap before the step that starts from a state."""
    pending = [act]
    real = exchange.STEPS[step]

    @functools.wraps(real)
    def interrupted(case: Case) -> None:
        if pending:
            pending.pop()()
        real(case)

    monkeypatch.setitem(exchange.STEPS, step, interrupted)


def after_intent(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen once, after the intent is durable and before the moment of sending."""
    pending = [act]
    real = delivered.write

    def interrupted(office: Office, parcel: str, macs: delivered.Macs) -> bytes:
        if pending:
            pending.pop()()
        return real(office, parcel, macs)

    monkeypatch.setattr(delivered, "write", interrupted)


def people_in(hub: Hub, answer: Answer | dict[str, Any], made: Sample) -> set[str]:
    """The participants whose rows are in a submission's parcel, known by the hub's own keys."""
    parcel = hub.parcel(answer)
    assert E3.person is not None
    numbers = made.frame["Teilnehmernummer"]
    with open_office(hub.settings) as office, office.database.transaction() as session:
        ids, known = persons.find(
            raw(session), E3.person.space, persons.number_macs(office.ring, E3.person.space, numbers)
        )
        written = pseudonyms.pseudonyms(office.ring, E3.recipient.id, E3.purpose, exchange.EPOCH, ids)
    by_pseudonym = dict(zip(written.filter(pl.Series(known)), numbers.filter(pl.Series(known)), strict=True))
    return {by_pseudonym[one] for one in parcel["pseudonym"]}


@pytest.mark.parametrize("lack", LACKS, ids=lambda lack: lack.name)
def test_a_row_without_valid_consent_never_leaves(hub: Hub, lack: Any) -> None:
    made = sample(E3, 12, 100 + LACKS.index(lack), errors=[lack.name])
    hub.bring_consents(made)
    answer = hub.submit(made)
    assert answer.status == 0
    assert answer.json["reasons"] == {lack.code: 1}
    assert (answer.json["rows"]["delivered"], answer.json["rows"]["withheld"]) == (11, 1)
    ((row, *_),) = made.plan.iter_rows()
    assert people_in(hub, answer, made) == set(made.frame["Teilnehmernummer"]) - {number(made, row)}


def test_asking_for_persons_and_reading_all_of_them_say_the_same(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sample(E3, 60, 109, errors=[lack.name for lack in LACKS])
    hub.bring_consents(made)
    hub.withdraw(number(made, 1))
    assert E3.person is not None
    found = []
    with open_office(hub.settings) as office, office.database.transaction() as session:
        # Twice, in another order: a person may stand in several rows.
        numbers = pl.concat([made.frame["Teilnehmernummer"], made.frame["Teilnehmernummer"].reverse()])
        macs = persons.number_macs(office.ring, E3.person.space, numbers)
        for most in (0, 1 << 40):
            monkeypatch.setattr(persons, "_BYTES_EACH", most)
            monkeypatch.setattr(consent, "_BYTES_EACH", most)
            ids, known = persons.find(raw(session), E3.person.space, macs)
            verdicts = consent.decide(raw(session), E3, ids, datetime.now(UTC))
            found.append((ids.tolist(), known.tolist(), verdicts.tolist()))
    assert found[0] == found[1]
    assert set(found[0][2]) == set(range(len(consent.CODES)))


def test_a_file_of_which_nobody_has_consented_sends_nothing_at_all(hub: Hub) -> None:
    made = sample(E3, 6, 110)
    answer = hub.submit(made)
    assert (answer.status, answer.json["parcels"]) == (0, [])
    assert answer.json["reasons"] == {"person.unknown": 6}
    assert hub.log_of(answer.json["submission"]) == [("submission", None), ("outcome", "acknowledged")]


def test_a_withdrawal_between_validate_and_authorise_counts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consented(hub, 10, 111)
    before(State.VALIDATED, monkeypatch, lambda: hub.withdraw(number(made, 4)))
    answer = hub.submit(made)
    assert_withheld(hub, answer, made, {4}, "consent.withdrawn")
    kinds = hub.log_of(answer.json["submission"])
    assert kinds == [("submission", None), ("intent", None), ("outcome", "acknowledged")]


@pytest.mark.parametrize("step", [State.AUTHORISED, State.PROTECTED])
def test_a_withdrawal_after_the_decision_stops_the_parcel_and_counts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, step: State
) -> None:
    made = consented(hub, 10, 112 if step is State.AUTHORISED else 113)
    before(step, monkeypatch, lambda: hub.withdraw(number(made, 7)))
    answer = hub.submit(made)
    assert_withheld(hub, answer, made, {7}, "consent.withdrawn")
    assert_stopped_once(hub, answer)


def test_a_withdrawal_after_the_intent_stops_the_parcel_and_counts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consented(hub, 10, 114)
    after_intent(monkeypatch, lambda: hub.withdraw(number(made, 2)))
    answer = hub.submit(made)
    assert_withheld(hub, answer, made, {2}, "consent.withdrawn")
    assert_stopped_once(hub, answer)
    assert hub.run("log", "verify").status == 0


def test_a_withdrawal_of_everybody_after_the_intent_leaves_nothing_to_send(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consented(hub, 3, 115)
    after_intent(monkeypatch, lambda: [hub.withdraw(number(made, row)) for row in range(3)])
    answer = hub.submit(made)
    assert (answer.status, answer.json["state"]) == (0, "acknowledged")
    assert answer.json["rows"]["withheld"] == 3
    assert [parcel["state"] for parcel in answer.json["parcels"]] == ["stopped"]
    assert hub.log_of(answer.json["submission"]) == [*STOPPED_ONCE[:3], STOPPED_ONCE[4]]


def test_a_withdrawal_of_somebody_else_stops_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    made, others = consented(hub, 5, 116), consented(hub, 5, 117)
    after_intent(monkeypatch, lambda: hub.withdraw(number(others, 0)))
    answer = hub.submit(made)
    assert answer.json["rows"]["delivered"] == 5
    assert len(answer.json["parcels"]) == 1


def test_a_consent_that_runs_out_between_decision_and_sending_counts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody changes the consent: its last instant has simply passed, so no change is numbered."""
    made = consented(hub, 8, 118)

    def runs_out() -> None:
        with open_office(hub.settings) as office, hub.superuser() as database:
            mac = persons.number_macs(office.ring, COLLECTOR, pl.Series([number(made, 5)])).tobytes()
            changed = database.execute(
                """
                UPDATE hub.consent SET valid_until = clock_timestamp() WHERE person_id =
                (SELECT person_id FROM hub.person_number WHERE space = %s AND mac = %s)
                """,
                [COLLECTOR, mac],
            )
            assert changed.rowcount == 1

    before(State.PROTECTED, monkeypatch, runs_out)
    answer = hub.submit(made)
    assert_withheld(hub, answer, made, {5}, "consent.expired")
    assert_stopped_once(hub, answer)


def test_a_withdrawal_while_the_submission_lies_still_counts_when_it_is_taken_up_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consented(hub, 6, 119)

    def dies() -> None:
        code = "database.away"
        raise Transient(code, "the database does not answer", "try again")

    before(State.PROTECTED, monkeypatch, dies)
    left = hub.submit(made)
    assert (left.status, left.code) == (1, "database.away")
    (lying,) = hub.run("submission", "list", "--state", "protected").json["submissions"]
    hub.withdraw(number(made, 1))
    answer = hub.run("submission", "retry", lying["submission"])
    assert_withheld(hub, answer, made, {1}, "consent.withdrawn")


def test_a_consent_given_later_makes_the_row_deliverable_when_it_is_sent_again(hub: Hub) -> None:
    made = sample(E3, 9, 120, errors=["person_unknown"])
    hub.bring_consents(made)
    first = hub.submit(made)
    assert (first.json["rows"]["delivered"], first.json["rows"]["withheld"]) == (8, 1)
    whole = sample(E3, 9, 120)
    assert whole.frame.equals(made.frame)
    assert hub.bring_consents(whole).json["new"] == 1
    second = hub.submit(made)
    assert second.json["rows"] == {
        **first.json["rows"],
        "delivered": 1,
        "already_delivered": 8,
        "withheld": 0,
    }
    ((row, *_),) = made.plan.iter_rows()
    assert people_in(hub, second, made) == {number(made, row)}


def test_a_consent_that_was_withdrawn_keeps_later_rows_back_and_what_was_sent_stays_logged(hub: Hub) -> None:
    made = consented(hub, 5, 121)
    first = hub.submit(made)
    told = hub.withdraw(number(made, 3))
    assert (told.status, told.json["withdrawn"]) == (0, 1)
    hours = made.frame["Stunden_Besucht"].scatter(list(range(5)), ["1"] * 5)
    second = hub.submit_csv(made, made.frame.with_columns(hours))
    assert_withheld(hub, second, made, {3}, "consent.withdrawn")
    assert hub.show(first.json["submission"]) == first.json
    assert hub.withdraw(number(made, 3)).json["withdrawn"] == 0
    (held,) = hub.run("consent", "show", "--collector", COLLECTOR, "--number", number(made, 3)).json[
        "consents"
    ]
    assert held["withdrawn_at"]


def test_an_imported_consent_does_not_take_back_a_withdrawal(hub: Hub) -> None:
    made = consented(hub, 4, 122)
    hub.withdraw(number(made, 0))
    again = hub.bring_consents(made)
    assert (again.json["new"], again.json["withdrawn"]) == (0, 0)
    assert_withheld(hub, hub.submit(made), made, {0}, "consent.withdrawn")


def test_a_withdrawal_waits_for_a_sending_that_has_begun(
    hub: Hub, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consented(hub, 4, 123)
    identity = received(office, made)
    sending, go_on = threading.Event(), threading.Event()
    real = Outbox.send

    def slow(outbox: Outbox, recipient: str, name: str, sealed: Path) -> None:
        sending.set()
        assert go_on.wait(30)
        real(outbox, recipient, name, sealed)

    monkeypatch.setattr(Outbox, "send", slow)
    with ThreadPoolExecutor() as threads:
        carried = threads.submit(exchange.carry, office, identity)
        assert sending.wait(60)
        ended = threads.submit(consent_register.end, office, COLLECTOR, number(made, 2))
        time.sleep(0.5)
        assert not ended.done(), "the withdrawal must wait"
        go_on.set()
        assert (carried.result(60), ended.result(60)) == (State.ACKNOWLEDGED, 1)
    assert hub.show(identity)["rows"]["delivered"] == 4
    sent, withdrawn = instants(hub, office, identity, number(made, 2))
    assert sent < withdrawn


def test_a_withdrawal_that_races_with_the_sending_is_either_after_it_or_heeded(
    hub: Hub, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(5)  # noqa: S311 -- delays, no secrets
    heeded = []
    for round_ in range(8):
        made = consented(hub, 3, 130 + round_)
        identity = received(office, made)
        line = threading.Barrier(2)
        with monkeypatch.context() as patched, ThreadPoolExecutor() as threads:
            after_intent(patched, functools.partial(line.wait, 60))

            def withdraw(made: Sample = made, line: threading.Barrier = line) -> int:
                line.wait(60)
                time.sleep(chance.uniform(0, 0.04))
                return consent_register.end(office, COLLECTOR, number(made, 1))

            ended = threads.submit(withdraw)
            assert exchange.carry(office, identity) is State.ACKNOWLEDGED
            assert ended.result(60) == 1
        answer = hub.show(identity)
        assert conserved(answer["rows"])
        sent, withdrawn = instants(hub, office, identity, number(made, 1))
        in_parcel = number(made, 1) in people_in(hub, answer, made)
        assert in_parcel == (sent < withdrawn)
        heeded.append(not in_parcel)
        story = STOPPED_ONCE if heeded[-1] else [*STOPPED_ONCE[:2], STOPPED_ONCE[4]]
        assert hub.log_of(identity) == story
    assert hub.run("log", "verify").status == 0


def test_two_submissions_of_the_same_rows_at_once_deliver_each_row_once(
    hub: Hub, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consented(hub, 20, 150)
    contents = (plain_csv(made.frame), plain_csv(made.frame.reverse()))
    identities = [accepted(office, content) for content in contents]
    met: list[str] = []
    line = threading.Barrier(2)
    real = delivered.write

    def side_by_side(office: Office, parcel: str, macs: delivered.Macs) -> bytes:
        if len(met) < 2:
            met.append(parcel)
            line.wait(60)
        return real(office, parcel, macs)

    monkeypatch.setattr(delivered, "write", side_by_side)
    with ThreadPoolExecutor() as threads:
        done = list(threads.map(lambda one: exchange.carry(office, one), identities))
    assert done == [State.ACKNOWLEDGED] * 2
    answers = sorted((hub.show(one) for one in identities), key=lambda one: one["rows"]["delivered"])
    assert [one["rows"]["delivered"] for one in answers] == [0, 20]
    assert [one["rows"]["already_delivered"] for one in answers] == [20, 0]
    assert [parcel["state"] for parcel in answers[0]["parcels"]] == ["stopped"]
    assert hub.log_of(answers[0]["submission"]) == [*STOPPED_ONCE[:3], STOPPED_ONCE[4]]
    assert people_in(hub, answers[1], made) == set(made.frame["Teilnehmernummer"])


def test_an_overlapping_submission_delivers_beside_the_other_only_what_is_its_own(
    hub: Hub, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consented(hub, 20, 151)
    first, second = (accepted(office, plain_csv(made.frame[at : at + 12])) for at in (0, 8))
    after_intent(monkeypatch, lambda: exchange.carry(office, second))
    assert exchange.carry(office, first) is State.ACKNOWLEDGED
    rows = [hub.show(one)["rows"] for one in (first, second)]
    assert [(one["delivered"], one["already_delivered"]) for one in rows] == [(8, 4), (12, 0)]
    people = [people_in(hub, hub.show(one), made) for one in (first, second)]
    assert people[0].isdisjoint(people[1])
    assert people[0] | people[1] == set(made.frame["Teilnehmernummer"])


def test_a_submission_that_another_process_works_on_is_left_alone(
    hub: Hub, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consented(hub, 4, 152)
    identity = received(office, made)
    told: list[Answer] = []
    before(State.AUTHORISED, monkeypatch, lambda: told.append(hub.run("submission", "retry", identity)))
    assert exchange.carry(office, identity) is State.ACKNOWLEDGED
    assert [(one.status, one.code) for one in told] == [(1, "lease.held")]
    assert hub.show(identity)["rows"]["delivered"] == 4


def test_a_recall_before_the_sending_stops_everything_and_after_it_is_refused(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consented(hub, 4, 153)

    def dies() -> None:
        code = "database.away"
        raise Transient(code, "the database does not answer", "try again")

    after_intent(monkeypatch, dies)
    assert hub.submit(made).code == "database.away"
    (lying,) = hub.run("submission", "list", "--state", "protected").json["submissions"]
    recalled = hub.run("submission", "recall", lying["submission"])
    assert (recalled.status, recalled.json["state"]) == (0, "withdrawn")
    assert recalled.json["rows"]["refused"] == 4
    (parcel,) = recalled.json["parcels"]
    assert parcel["state"] == "stopped"
    assert hub.log_of(lying["submission"]) == [*STOPPED_ONCE[:3], ("outcome", "submission.recalled")]
    assert hub.log()[parcel["outcome_index"]]["parcel"]["name"] == parcel["name"]
    again = hub.run("submission", "recall", lying["submission"])
    assert (again.status, again.code) == (1, "submission.sent")
    sent = hub.submit(made)
    assert sent.json["rows"]["delivered"] == 4
    late = hub.run("submission", "recall", sent.json["submission"])
    assert (late.status, late.code) == (1, "submission.sent")


def received(office: Office, made: Sample) -> str:
    return accepted(office, plain_csv(made.frame))


def accepted(office: Office, content: bytes) -> str:
    return intake.accept(office, BytesIO(content), "E3", intake.Totals())


def instants(hub: Hub, office: Office, submission: str, participant: str) -> tuple[Any, Any]:
    """When the submission's parcel was sent, and when the participant's consent ended, by one clock."""
    with office.database.transaction() as session:
        assert session.get(Submission, submission) is not None
    mac = persons.number_macs(office.ring, COLLECTOR, pl.Series([participant])).tobytes()
    with hub.superuser() as database:
        row = database.execute(
            """
            SELECT (SELECT sent_at FROM hub.parcel WHERE submission = %s AND state = 'sent'),
                (SELECT withdrawn_at FROM hub.consent JOIN hub.person_number USING (person_id)
                 WHERE space = %s AND mac = %s)
            """,
            [submission, COLLECTOR, mac],
        ).fetchone()
    assert row
    return row[0], row[1]


def assert_withheld(hub: Hub, answer: Answer, made: Sample, rows: set[int], code: str) -> None:
    """Those rows, for that reason, and no others: in the counts, in the parcel and in the log."""
    total = made.frame.height
    assert (answer.status, answer.json["state"]) == (0, "acknowledged")
    assert answer.json["reasons"] == {code: len(rows)}
    assert answer.json["rows"]["withheld"] == len(rows)
    assert answer.json["rows"]["delivered"] == total - len(rows)
    assert conserved(answer.json["rows"])
    everybody = set(made.frame["Teilnehmernummer"])
    assert people_in(hub, answer, made) == everybody - {number(made, row) for row in rows}
    mine = [entry for entry in hub.log() if entry.get("submission") == answer.json["submission"]]
    (outcome,) = [entry for entry in mine if entry.get("reason") == "acknowledged"]
    assert outcome["counts"] == answer.json["rows"]
    assert outcome["reasons"] == {code: len(rows)}


def assert_stopped_once(hub: Hub, answer: Answer) -> None:
    """The first parcel was intended and stopped, the second intended and sent; each has its outcome."""
    stopped, sent = answer.json["parcels"]
    assert (stopped["state"], sent["state"]) == ("stopped", "sent")
    assert stopped["name"] != sent["name"]
    log = hub.log()
    assert hub.log_of(answer.json["submission"]) == STOPPED_ONCE
    for parcel in (stopped, sent):
        intent, outcome = log[parcel["intent_index"]], log[parcel["outcome_index"]]
        assert (intent["kind"], outcome["kind"]) == ("intent", "outcome")
        assert intent["parcel"] == outcome["parcel"]
        assert intent["parcel"]["name"] == parcel["name"]
    listed = {parcel["id"] for parcel in hub.run("parcel", "list").json["parcels"]}
    assert sent["id"] in listed
    assert stopped["id"] not in listed
    assert not list(hub.settings.data.glob(f"outbox/*/{stopped['name']}*"))


def test_decisions_that_were_changed_after_the_clearance_let_nothing_leave(
    hub: Hub, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who can write to staging, and even seal, turns a withheld row into a delivered one."""
    made = sample(E3, 12, 170, errors=["consent_withdrawn"])
    hub.bring_consents(made)

    def forge() -> None:
        (identity,) = (one["submission"] for one in overview.listed(office, state="authorised"))
        case = open_results(office, identity)
        decided = case.result("authorise")
        for place in range(1, decided.parts + 1):
            part = decided.folder / part_name(place, "decisions")
            forged = staging.read_frame(part, case.key).with_columns(
                fate=pl.lit("delivered").cast(authorisation.FATES)
            )
            staging.discard(part)
            staging.write_frame(part, case.key, forged)

    before(State.AUTHORISED, monkeypatch, forge)
    answer = hub.submit(made)
    assert answer.status == 1
    assert answer.code == "clearance.changed"
    log = [(one["kind"], one.get("reason")) for one in hub.log() if one["kind"] in ("intent", "alarm")]
    assert log[-1] == ("alarm", "clearance.changed")
