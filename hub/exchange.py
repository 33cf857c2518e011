"""The exchange: six steps that take a submission from a sealed file to a parcel, a receipt and a log entry.

    receive -> validate -> authorise -> protect -> deliver -> acknowledge

Each step is idempotent: it works under a lease of its own, writes only into a folder of its own, and comes
into effect with one commit that names its fence. Killed anywhere, it starts again from the last commit.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import polars as pl

from hub import (
    authorisation,
    consent,
    delivered,
    delivery,
    expectations,
    intake,
    lease,
    logbook,
    minimisation,
    persons,
    pseudonyms,
    settlement,
    staging,
    validation,
)
from hub.batch_metrics import Metrics
from hub.case import Case, Result, at_work, case_of, known, now, open_case
from hub.database.models import Clearance, Submission
from hub.database.session import raw
from hub.errors import Corrupt, Refused
from hub.keys_seen import KeysSeen
from hub.office import Office
from hub.side_by_side import ahead, side_by_side
from hub.states import FINAL, Fate, State
from hub.tally import Tally

EPOCH = 1
STOPPING = ("egress.", "review.")  # alarms that put a submission before people


def receive(case: Case) -> None:
    """Prove the file whole, read it exactly, and stage its rows sealed."""
    case.office.suite.get_ready()
    intake.prove_whole(case)
    rows = 0
    with at_work(case, "receive") as step, staging.open_sealed(case.inbox_file, case.key) as source:
        reader = case.office.formats.open_reader(
            source, size=case.bytes, agreement=case.agreement, batch_rows=case.office.settings.part_rows
        )
        for batch in ahead(reader.batches()):
            rows += batch.frame.height + batch.faults["place"].n_unique()
            step.write(rows=batch.frame, faults=batch.faults)
        intake.check_row_total(case, rows)
        with case.office.database.transaction() as session:
            # A sheet may bear a person's name.
            sheet = staging.seal_text(case.key, reader.sheet) if reader.sheet else None
            facts = {"rows": rows, "sheet": sheet, "columns": dict(reader.columns)}
            row = step.finish(session, facts)
            row.received = rows
            row.notices = sorted({*row.notices, *reader.notices})


def validate(case: Case) -> None:
    """Hold every row against the agreement, and the batch against its expectations."""
    staged, tally = case.result("receive"), Tally()
    tally.received = staged.facts["rows"]
    seen, metrics = KeysSeen(), Metrics(case.agreement)
    today = case.created_at.astimezone(intake.BERLIN).date()
    case.office.suite.get_ready()

    def read_and_judge(number: int) -> tuple[pl.DataFrame, pl.DataFrame, validation.Validated]:
        rows = case.part(staged, "rows", number)
        faults = settlement.of_faults(case.agreement, case.part(staged, "faults", number))
        return rows, faults, validation.validate_part(rows, case.agreement, today)

    with at_work(case, "validate") as step:
        for rows, faults, good in side_by_side(read_and_judge, range(1, staged.parts + 1)):
            judged = validation.refuse_repeated(good, case.agreement, seen)
            findings = pl.concat([faults, judged.findings])
            tally.refuse_first_reasons(findings)
            refused = findings.filter(pl.col("fate") == Fate.REFUSED.value)
            metrics.add(rows, judged.frame, refused["place"].n_unique())
            step.write(rows=judged.frame, findings=findings)
        verdict = expectations.judge(
            metrics.figures(tally.received), case.agreement, case.office.suite.answers
        )
        codes = [failure.code for failure in verdict.failures]
        with case.office.database.transaction() as session:
            row = step.finish(session, {"reasons": tally.facts(), "batch": codes})
            if verdict.passed:
                row.state = State.VALIDATED.value
            else:
                settlement.quarantine(session, case, row, codes)


def authorise(case: Case) -> None:
    """Decide on every valid row, on the agreement's one legal basis; the decisions are the Clearance."""
    judged, tally = case.result("validate"), Tally()
    tally.take(judged.facts["reasons"])
    register, digest = delivered.load(case.office, case.agreement), authorisation.Digest(case.agreement)
    with case.office.database.transaction() as session:
        mark, at = consent.watermark(raw(session)), now(session)
    with at_work(case, "authorise") as step:
        for decisions in authorisation.decided(case, judged, register, at):
            digest.add(decisions.frame)
            authorisation.count(decisions.frame, tally)
            step.write(decisions=decisions.frame, macs=delivered.words(decisions.macs))
        with case.office.database.transaction() as session:
            facts = {"reasons": tally.facts(), "delivered": tally.delivered, "register": register.position}
            row = step.finish(session, facts)
            session.add(
                Clearance(
                    submission=case.submission,
                    fence=case.lease.fence,
                    agreement_digest=case.agreement.digest,
                    legal_basis=logbook.basis_text(case.agreement),
                    rows=tally.delivered,
                    digest=digest.hexdigest(),
                    watermark=mark,
                    decided_at=at,
                )
            )
            row.state = State.AUTHORISED.value


def protect(case: Case) -> None:
    """Make the parcel of what the Clearance covers: drop, coarsen, replace identifiers by pseudonyms."""
    judged, decided = case.result("validate"), case.result("authorise")
    clearance, tally = settlement.clearance(case), Tally()
    tally.received = case.result("receive").facts["rows"]
    tally.take(decided.facts["reasons"])
    tally.delivered = decided.facts["delivered"]
    digest = authorisation.Digest(case.agreement)
    with at_work(case, "protect") as step:
        released = _released(case, judged, decided, digest)
        facts: dict[str, object] = {"clearance": clearance.digest, "rows": clearance.rows}
        if clearance.rows:
            with staging.create_sealed(step.folder / "parcel", case.key) as sealed:
                sink = delivery.Measured(sealed)
                case.office.formats.write_parcel(released, cast("BinaryIO", sink), case.agreement)
            digest.must_be(clearance.digest)
            facts |= {"sha256": sink.sha256, "bytes": sink.bytes}
        with case.office.database.transaction() as session:
            row = step.finish(session, facts)
            tally.settle(session, row)
            row.state = State.PROTECTED.value


def deliver(case: Case) -> None:
    """Pass the egress gate, make the intent durable, look at consents once more, and send."""
    made, decided = case.result("protect"), case.result("authorise")
    if not delivery.pass_people(case):
        return
    with at_work(case, "deliver") as step:
        if made.facts["rows"]:
            rows = delivery.pass_gate(case, made, decided)
            parcel = delivery.intend(case, made, rows)
            delivery.send(case, step, parcel, made, decided)
        else:
            delivery.send_nothing(case, step, made)


def acknowledge(case: Case) -> None:
    """Log the outcome and give the sender a signed receipt and a report."""
    with at_work(case, "acknowledge") as step:
        report = settlement.keep_findings(case)
        with case.office.database.transaction() as session:
            row = step.finish(session, {"report": report})
            settlement.close(session, case, row, State.ACKNOWLEDGED)
    settlement.clear_away(case)


def _released(
    case: Case, judged: Result, decided: Result, digest: authorisation.Digest
) -> Iterator[pl.DataFrame]:
    """Treat the cleared rows; under pseudonyms they leave in the order of these, which carries nothing."""
    agreement = case.agreement

    def write_pseudonyms(ids: persons.Ids) -> pl.Series:
        recipient, purpose = agreement.recipient.id, agreement.purpose
        return pseudonyms.pseudonyms(case.office.ring, recipient, purpose, EPOCH, ids)

    def read_and_treat(number: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        rows, decisions = case.part(judged, "rows", number), case.part(decided, "decisions", number)
        cleared = decisions["fate"] == Fate.DELIVERED.value
        ids = authorisation.person_ids(decisions.filter(cleared))
        treated = minimisation.released(agreement, rows.filter(cleared), ids, write_pseudonyms)
        return decisions, minimisation.compact(agreement, treated)

    def treated() -> Iterator[pl.DataFrame]:
        for decisions, rows in side_by_side(read_and_treat, range(1, judged.parts + 1)):
            digest.add(decisions)
            yield rows

    return minimisation.ordered(agreement, treated(), case.office.settings.part_rows)


STEPS: dict[State, Callable[[Case], None]] = {
    State.RECEIVED: validate,
    State.VALIDATED: authorise,
    State.AUTHORISED: protect,
    State.PROTECTED: deliver,
    State.DELIVERED: acknowledge,
}


def carry(office: Office, submission: str, told: Callable[[str], None] = lambda _step: None) -> State:
    """Take a submission as far as it goes without people; returns the state in which it rests."""
    while True:
        step = due(office, submission)
        if step is None:
            return state_of(office, submission)
        told(step.__name__)
        take(office, submission, step)


def due(office: Office, submission: str) -> Callable[[Case], None] | None:
    """Name the one step that a submission's state asks for now; raises as `state_of` does."""
    return step_for(_known(office, submission))


def step_for(row: Submission) -> Callable[[Case], None] | None:
    """Name the step that a submission is due for as it was read; None for one that rests or is done."""
    state = State(row.state)
    return receive if state is State.RECEIVED and row.received is None else STEPS.get(state)


def take(office: Office, submission: str, step: Callable[[Case], None]) -> None:
    """Take a submission through the step that it is due for, under a lease of its own.

    A refused file ends the submission. What is transient leaves it where it is; what is corrupt is an alarm
    in the log as well, and a parcel that the gate stopped, or that people did not release, is quarantined.
    """
    with office.database.transaction() as session:
        held, row = lease.claim_row(session, submission, office.settings.lease_seconds)
        if step_for(row) is not step:  # another process was quicker
            lease.release(session, held)
            return
        case = case_of(session, office, row)
    try:
        _take(case, step)
    except BaseException:  # what went well has given the lease back with its own commit
        with office.database.transaction() as session:
            lease.release(session, held)
        raise


def _take(case: Case, step: Callable[[Case], None]) -> None:
    try:
        step(case)
    except Refused as refusal:
        if not refusal.code.startswith("file."):
            raise
        settlement.refuse(case, refusal)
    except Corrupt as alarm:
        settlement.alarm(case, alarm, stop=alarm.code.startswith(STOPPING))
        raise


def state_of(office: Office, submission: str) -> State:
    """Tell where a submission is.

    Raises:
        Refused: ``submission.unknown``.
    """
    return State(_known(office, submission).state)


def _known(office: Office, submission: str) -> Submission:
    with office.database.transaction() as session:
        return known(session, submission)


def recall(office: Office, submission: str) -> None:
    """Recall a submission on its sender's behalf, as long as nothing of it was sent.

    Raises:
        Refused: ``submission.sent`` once it was, ``submission.unknown``.
    """
    with office.database.transaction() as session:
        held = lease.claim(session, submission, office.settings.lease_seconds)
        row = lease.hold(session, held)
        if State(row.state) in FINAL | {State.DELIVERED}:
            raise Refused(
                "submission.sent",
                f"{submission} is {row.state}: there is nothing left to recall",
                "speak with the recipient",
            )
    try:
        settlement.withdraw(open_case(office, held))
    finally:
        with office.database.transaction() as session:
            lease.release(session, held)
