"""Settlement: how a submission comes to rest, with its counts, its log entry, its receipt and its report."""

from collections.abc import Iterable
from typing import Any

import polars as pl
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from hub import lease, logbook, receipts, staging
from hub.case import Case, folder_of, now
from hub.database.models import Clearance, Parcel, ReasonCount, Receipt, StepResult, Submission
from hub.errors import Corrupt, HubError
from hub.ledger.entry import Parcel as ParcelDigest
from hub.reports import FINDINGS
from hub.states import Fate, State
from hub.tally import Tally
from schemas.agreement import Agreement

_RECEIPTS: dict[State, receipts.Kind] = {
    State.ACKNOWLEDGED: "accepted",
    State.REFUSED: "refused",
    State.QUARANTINED: "quarantined",
    State.WITHDRAWN: "withdrawn",
}


def clearance(case: Case) -> Clearance:
    """Give the submission's newest Clearance, for the agreement as it is.

    Raises:
        Corrupt: ``clearance.missing``; nothing is protected or sent without one.
    """
    with case.office.database.transaction() as session:
        row = session.scalar(
            select(Clearance)
            .where(Clearance.submission == case.submission)
            .order_by(Clearance.fence.desc())
            .limit(1)
        )
        if row is None or row.agreement_digest != case.agreement.digest:
            raise Corrupt(
                "clearance.missing",
                f"{case.submission} has no Clearance under its agreement",
                "keep the submission as it is and report this",
            )
        session.expunge(row)
        return row


def close(session: Session, case: Case, row: Submission, state: State) -> None:
    """Bring a submission to its end: outcome in the log, receipt for the sender, the state itself.

    The lease under which this is done is given back with it.
    """
    lease.give_back(row)
    at = now(session)
    reasons: dict[str, int] = {}
    counted = select(ReasonCount.code, ReasonCount.rows).where(ReasonCount.submission == row.id)
    for code, rows in session.execute(counted):
        reasons[code] = reasons.get(code, 0) + rows
    parcel = session.scalar(select(Parcel).where(Parcel.submission == row.id, Parcel.state == "sent"))
    outcome = logbook.entry(
        "outcome",
        at,
        row.id,
        case.agreement,
        reason=row.reason or state.value,
        counts=logbook.counts(row),
        reasons=reasons or None,
        parcel=ParcelDigest(name=parcel.name, sha256=parcel.sha256, bytes=parcel.bytes) if parcel else None,
    )
    kind = _RECEIPTS[state]
    if session.get(Receipt, (row.id, kind)) is not None:
        # Quarantined once more: the sender has that receipt, and the report tells the new reason.
        (told,) = logbook.append(session, case.office, [outcome])
    else:
        if state is State.ACKNOWLEDGED and (row.refused or row.withheld or row.quarantined):
            kind = "partially_accepted"
        if row.reason:
            reasons.setdefault(row.reason, 0)
        told = logbook.append_with_receipt(
            session, case.office, row, outcome, kind=kind, at=at, reasons=reasons
        )
    if parcel is not None:
        parcel.outcome_index = told.index
    row.state = state.value


def stop_parcels(session: Session, case: Case, row: Submission) -> None:
    """Stop what was intended and not sent: no intent stays in the log without its outcome."""
    intended = select(Parcel).where(Parcel.submission == row.id, Parcel.state == "intended")
    for parcel in session.scalars(intended):
        parcel.state = "stopped"
        case.office.route.take_back(parcel.recipient, parcel.name)
        digest = ParcelDigest(name=parcel.name, sha256=parcel.sha256, bytes=parcel.bytes)
        at, attempt = now(session), parcel.attempt
        outcome = logbook.entry(
            "outcome", at, row.id, case.agreement, reason="stopped", parcel=digest, attempt=attempt
        )
        (told,) = logbook.append(session, case.office, [outcome])
        parcel.outcome_index = told.index


def refuse(case: Case, error: HubError) -> None:
    """Refuse a file as a whole, for the reason that an error names."""
    with case.office.database.transaction() as session:
        row = lease.hold(session, case.lease)
        row.reason = error.code
        tally = Tally()
        tally.received = row.received or 0
        tally.add(Fate.REFUSED, error.code, tally.received)
        tally.settle(session, row)
        close(session, case, row, State.REFUSED)
    clear_away(case)


def withdraw(case: Case) -> None:
    """End a submission that its sender has recalled; an intended parcel is stopped."""
    with case.office.database.transaction() as session:
        row = lease.hold(session, case.lease)
        row.reason = "submission.recalled"
        tally = Tally()
        tally.received = row.received or 0
        tally.add(Fate.REFUSED, row.reason, tally.received)
        tally.settle(session, row)
        stop_parcels(session, case, row)
        close(session, case, row, State.WITHDRAWN)
    clear_away(case)


def quarantine(session: Session, case: Case, row: Submission, codes: Iterable[str]) -> None:
    """Hold a whole submission back until people have looked at it."""
    row.reason = next(iter(codes))
    tally = Tally()
    tally.received = row.received or 0
    tally.add(Fate.QUARANTINED, row.reason, tally.received)
    tally.settle(session, row)
    stop_parcels(session, case, row)
    close(session, case, row, State.QUARANTINED)


def alarm(case: Case, found: Corrupt, *, stop: bool) -> None:
    """Put an alarm into the transfer log; with ``stop``, quarantine the submission along with it."""
    with case.office.database.transaction() as session:
        row = lease.hold(session, case.lease)
        entry = logbook.entry("alarm", now(session), row.id, case.agreement, reason=found.code)
        logbook.append(session, case.office, [entry])
        if stop:
            quarantine(session, case, row, [found.code])


def reopen(session: Session, row: Submission) -> None:
    """Give back to the steps what people have released: they decide and count anew, from valid rows on."""
    row.state, row.reason = State.VALIDATED.value, None
    for fate in Fate:
        setattr(row, fate.value, None)
    row.failures, row.not_before, row.held_by, row.claimed_at = 0, None, None, None
    session.execute(delete(ReasonCount).where(ReasonCount.submission == row.id))
    session.flush()


def turn_away(session: Session, case: Case, row: Submission, code: str) -> None:
    """Refuse what was held back, as a whole; its sender still reads which places were wrong.

    The caller clears away once this is committed (`clear_away`).
    """
    row.reason = code
    tally = Tally()
    tally.received = row.received or 0
    tally.add(Fate.REFUSED, code, tally.received)
    tally.settle(session, row)
    stop_parcels(session, case, row)
    name = f"{case.submission}-{row.fence}.sealed"
    staging.make_folder(case.office.reports)
    staging.discard(case.office.reports / name)  # left by an attempt that died before its commit
    staging.write_frame(case.office.reports / name, case.key, findings(case))
    told = {"fence": row.fence, "parts": 0, "facts": {"report": name}, "seconds": 0.0}
    session.add(StepResult(submission=row.id, step="acknowledge", **told))
    close(session, case, row, State.REFUSED)


def of_faults(agreement: Agreement, faults: pl.DataFrame) -> pl.DataFrame:
    """Turn the faults of unreadable rows (place, column heading, code) into findings (by field name)."""
    names = {field.header: field.name for field in agreement.fields}
    return faults.select(
        pl.col("place").cast(pl.UInt32),
        pl.col("column").replace_strict(names, default=None, return_dtype=pl.String),
        pl.col("code"),
        pl.lit(Fate.REFUSED.value).alias("fate"),
    )


def keep_findings(case: Case) -> str:
    """Seal what the sender will be told, line by line; returns the file's name."""
    judged, decided = case.result("validate"), case.result("authorise")
    frames = list(case.parts(judged, "findings"))
    for decisions in case.parts(decided, "decisions"):
        held = decisions.filter(pl.col("fate") == Fate.WITHHELD.value)
        frames.append(
            held.select(
                "place",
                pl.lit(None, dtype=pl.String).alias("column"),
                pl.col("code").cast(pl.String),
                pl.col("fate").cast(pl.String),
            )
        )
    findings = pl.concat([pl.DataFrame(schema=FINDINGS), *frames]).sort("place", maintain_order=True)
    name = f"{case.submission}-{case.lease.fence}.sealed"
    staging.make_folder(case.office.reports)
    staging.write_frame(case.office.reports / name, case.key, findings)
    return name


def findings(case: Case) -> pl.DataFrame:
    """Open the findings of a submission: kept at its end, or still staged while it is in quarantine."""
    with case.office.database.transaction() as session:
        kept = session.get(StepResult, (case.submission, "acknowledge"))
        judged = session.get(StepResult, (case.submission, "validate"))
        name = kept.facts.get("report") if kept else None
    if name is not None:
        return staging.read_frame(case.office.reports / name, case.key)
    staged = case.result("validate") if judged else None
    if staged is None or not staged.folder.is_dir():
        return pl.DataFrame(schema=FINDINGS)
    return pl.concat([pl.DataFrame(schema=FINDINGS), *case.parts(staged, "findings")])


def reading(case: Case) -> dict[str, Any]:
    """Tell how the file was read: sheet and columns; nothing if it could not be."""
    with case.office.database.transaction() as session:
        row = session.get(StepResult, (case.submission, "receive"))
        facts = dict(row.facts) if row else {}
    if facts.get("sheet"):
        facts["sheet"] = staging.open_text(case.key, facts["sheet"])
    return facts


def clear_away(case: Case) -> None:
    """Remove the sealed parts and the sealed original of a submission that is done."""
    staging.discard(folder_of(case.office, case.submission))
    staging.discard(case.inbox_file)
