"""What the database itself refuses, whoever writes to it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Table, inspect, text
from sqlalchemy.orm import Session

from hub.database.migrations import OPTIONS
from hub.database.models import Base, Parcel, ReasonCount, StateRule, Submission, SubmissionHistory
from hub.database.session import Database, translated
from hub.errors import Corrupt
from hub.states import TRANSITIONS, State, Transition

COUNTS = ("received", "delivered", "already_delivered", "refused", "withheld", "quarantined")


@contextmanager
def broken(rule: str) -> Iterator[None]:
    """Expect that a block breaks one named rule, and that its error quotes nothing else."""
    with pytest.raises(Corrupt) as caught:
        yield
    assert (caught.value.code, rule in caught.value.message) == ("database.constraint", True), caught.value
    assert "Kanarienvogel" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@contextmanager
def as_owner(database: Database) -> Iterator[Session]:
    with translated(), Session(database.owner) as session, session.begin():
        yield session


@pytest.fixture
def filed(database: Database) -> Database:
    """A database with two partners and one agreement in force."""
    with database.transaction() as session:
        session.execute(text("INSERT INTO hub.partner (id, name) VALUES ('vhs', 'VHS'), ('jc', 'Jobcenter')"))
        session.execute(
            text(
                "INSERT INTO hub.agreement (id, version, digest, body, status)"
                " VALUES ('E3', '1.0.0', 'd', '{\"name\": \"Kanarienvogel\"}', 'active')"
            )
        )
    return database


def submission(**more: object) -> Submission:
    return Submission(
        **{"id": "s1", "agreement": "E3", "agreement_version": "1.0.0", "sender": "vhs", "sha256": "0" * 64}
        | {"bytes": 1}
        | more
    )


def count(row: Submission, **counts: int) -> None:
    for name in COUNTS:
        setattr(row, name, counts.get(name, 0))


def way_to(target: State) -> list[Transition]:
    """Find a shortest way of a submission from ``received`` to a state."""
    ways: dict[State, list[Transition]] = {State.RECEIVED: []}
    reached = [State.RECEIVED]
    for state in reached:
        for step in TRANSITIONS:
            if step.source == state and step.target not in ways:
                ways[step.target] = [*ways[state], step]
                reached.append(step.target)
    return ways[target]


def bring(database: Database, target: State, **counts: int) -> None:
    """Bring submission s1 to a state, with counts that add up and a reason for each row."""
    with database.transaction() as session:
        row = submission()
        count(row, **counts)
        session.add(row)
        session.flush()
        session.add_all(
            ReasonCount(submission="s1", fate=fate, code="row.some", rows=rows)
            for fate, rows in counts.items()
            if fate not in {"received", "delivered"} and rows
        )
        for step in way_to(target):
            row.state = step.target
            session.flush()


def test_the_migrated_database_is_what_the_models_say(database: Database) -> None:
    with database.owner.connect() as connection:
        context = MigrationContext.configure(connection, opts=OPTIONS | {"target_metadata": Base.metadata})
        assert compare_metadata(context, Base.metadata) == []


def test_the_migrated_database_holds_every_check_of_the_models(database: Database) -> None:
    def names(table: Table) -> set[str]:
        return {str(c.name) for c in table.constraints if isinstance(c, CheckConstraint)}

    found = inspect(database.owner)
    for table in Base.metadata.sorted_tables:
        held = {check["name"] for check in found.get_check_constraints(table.name, schema=table.schema)}
        assert held == names(table), table.fullname


def test_the_databases_rules_are_the_state_machines(database: Database) -> None:
    with database.transaction() as session:
        rules = {(rule.source, rule.target, rule.made_by) for rule in session.query(StateRule)}
    assert rules == {(t.source.value, t.target.value, t.made_by) for t in TRANSITIONS}


@pytest.mark.parametrize("source", list(State))
def test_a_state_changes_along_the_table_only(filed: Database, source: State) -> None:
    bring(filed, source, received=3, delivered=1, refused=2)
    allowed = {t.target for t in TRANSITIONS if t.source == source}
    for target in State:
        if target in {*allowed, source}:
            continue
        with broken("state_rule"), filed.transaction() as session:
            session.get_one(Submission, "s1").state = target
    for target in allowed:
        with filed.owner.connect() as connection, connection.begin() as undone:
            connection.execute(text("UPDATE hub.submission SET state = :t WHERE id = 's1'"), {"t": target})
            undone.rollback()


def test_a_submission_begins_as_received(filed: Database) -> None:
    with broken("submission_begins_received"), filed.transaction() as session:
        session.add(submission(state="delivered"))


def test_every_change_of_state_writes_its_own_history(filed: Database) -> None:
    bring(filed, State.VALIDATED)
    with filed.transaction() as session:
        row = session.get_one(Submission, "s1")
        row.fence = 7
        session.flush()
        row.state = State.AUTHORISED
    with filed.audit() as session:
        history = session.query(SubmissionHistory).order_by(SubmissionHistory.id)
        assert [(h.source, h.target, h.fence) for h in history] == [
            (None, "received", 0),
            ("received", "validated", 0),
            ("validated", "authorised", 7),
        ]
        row = session.get_one(Submission, "s1")
        assert row.changed_at > row.created_at


def test_a_fence_only_rises(filed: Database) -> None:
    with filed.transaction() as session:
        session.add(submission(fence=3))
    with broken("fence_only_rises"), filed.transaction() as session:
        session.get_one(Submission, "s1").fence = 2


def test_rows_that_do_not_add_up_stop_the_submission(filed: Database) -> None:
    with broken("rows_conserved"), filed.transaction() as session:
        row = submission()
        session.add(row)
        session.flush()
        count(row, received=3, delivered=2)
        row.state = State.REFUSED
    with broken("rows_conserved"), filed.transaction() as session:
        row = submission()
        session.add(row)
        session.flush()
        row.state = State.REFUSED


@pytest.mark.parametrize("fate", ["refused", "withheld", "quarantined", "already_delivered"])
def test_every_row_not_delivered_has_a_reason_when_the_end_is_reached(filed: Database, fate: str) -> None:
    def end(session: Session, rows: int, *, code: str = "row.some") -> None:
        row = submission()
        count(row, received=5, delivered=1, **{fate: 4})
        session.add(row)
        session.flush()
        for step in way_to(State.ACKNOWLEDGED):
            row.state = step.target
            session.flush()
        session.add(ReasonCount(submission="s1", fate=fate, code=code, rows=rows))

    for wrong in (3, 5):
        with broken("every_row_has_a_reason"), filed.transaction() as session:
            end(session, wrong)
    with filed.transaction() as session:
        end(session, 4)
    with broken("every_row_has_a_reason"), filed.transaction() as session:
        session.query(ReasonCount).delete()
    with broken("every_row_has_a_reason"), filed.transaction() as session:
        session.add(ReasonCount(submission="s1", fate=fate, code="row.other", rows=1))


def test_reasons_may_come_in_any_order_within_the_transaction(filed: Database) -> None:
    with filed.transaction() as session:
        row = submission()
        count(row, received=2, refused=2)
        session.add(row)
        session.flush()
        row.state = State.REFUSED
        session.flush()
        session.add(ReasonCount(submission="s1", fate="refused", code="file.empty", rows=2))


@pytest.mark.parametrize("state", [State.ACKNOWLEDGED, State.REFUSED, State.WITHDRAWN])
@pytest.mark.parametrize("name", COUNTS)
def test_counts_stand_once_a_state_is_final(filed: Database, state: State, name: str) -> None:
    bring(filed, state, received=2, refused=2)
    with broken("final_counts_stand"), filed.transaction() as session:
        setattr(session.get_one(Submission, "s1"), name, 1)


WRITTEN_ONCE = {
    "ledger.entry": ("ledger_is_append_only", "kind = 'x'"),
    "ledger.node": ("ledger_is_append_only", "hash = 'x'"),
    "ledger.checkpoint": ("ledger_is_append_only", "note = 'x'"),
    "hub.submission_history": ("history_stands", "target = 'x'"),
    "hub.clearance": ("clearance_is_frozen", "rows = 9"),
    "hub.receipt": ("receipt_stands", "token = 'x'"),
}


@pytest.mark.parametrize("table", WRITTEN_ONCE)
def test_what_is_written_once_is_not_changed_even_by_its_owner(filed: Database, table: str) -> None:
    bring(filed, State.RECEIVED)
    with filed.transaction() as session:
        for statement in (
            "INSERT INTO ledger.entry (index, body, leaf_hash, kind) VALUES (0, 'b', 'h', 'k')",
            "INSERT INTO ledger.node (level, index, hash) VALUES (1, 0, 'h')",
            "INSERT INTO ledger.checkpoint (size, root, note) VALUES (1, 'r', 'n')",
            "INSERT INTO hub.clearance VALUES ('s1', 1, 'd', 'statute', 1, 'd', 0, now())",
            "INSERT INTO hub.receipt VALUES ('s1', 'received', 't', 0, now())",
        ):
            session.execute(text(statement))
    rule, change = WRITTEN_ONCE[table]
    for attempt in (("UPDATE", table, "SET", change), ("DELETE FROM", table), ("TRUNCATE", table, "CASCADE")):
        with broken(rule), as_owner(filed) as session:
            session.execute(text(" ".join(attempt)))


def test_an_agreement_changes_its_status_only(filed: Database) -> None:
    with filed.transaction() as session:
        session.execute(text("UPDATE hub.agreement SET status = 'suspended'"))
    for change in (
        "UPDATE hub.agreement SET body = '{}'",
        "UPDATE hub.agreement SET digest = 'x'",
        "UPDATE hub.agreement SET version = '2.0.0'",
        "UPDATE hub.agreement SET id = 'E9'",
    ):
        with broken("agreement_body_is_frozen"), as_owner(filed) as session:
            session.execute(text(change))
    with broken("agreement_stands"), as_owner(filed) as session:
        session.execute(text("DELETE FROM hub.agreement"))


def test_one_version_of_an_agreement_is_active(filed: Database) -> None:
    with broken("one_active_version"), filed.transaction() as session:
        session.execute(text("INSERT INTO hub.agreement VALUES ('E3', '1.1.0', 'd', '{}', 'active')"))


def test_a_withdrawal_stands_and_a_scope_never_changes(filed: Database) -> None:
    with filed.transaction() as session:
        session.execute(text("INSERT INTO hub.person VALUES ('p', 'vhs')"))
        scope = (
            "INSERT INTO hub.consent_scope (template, recipient, purpose, fields)"
            " VALUES ('t', 'jc', 'p', '{a}')"
        )
        again = (
            " ON CONFLICT (template, recipient, purpose, fields) DO UPDATE SET template = EXCLUDED.template"
        )
        session.execute(text(scope))
        session.execute(text(scope + again))
        session.execute(
            text(
                "INSERT INTO hub.consent"
                " (collector, reference_mac, person_id, scope_id, language, form, given_at)"
                " SELECT 'vhs', 'r', 'p', id, 'de', 'paper', now() FROM hub.consent_scope"
            )
        )
        session.execute(text("UPDATE hub.consent SET withdrawn_at = now()"))
    for change in (
        "UPDATE hub.consent SET withdrawn_at = NULL",
        "UPDATE hub.consent SET withdrawn_at = now()",
    ):
        with broken("withdrawal_stands"), filed.transaction() as session:
            session.execute(text(change))
    with broken("consent_scope_is_frozen"), filed.transaction() as session:
        session.execute(text("UPDATE hub.consent_scope SET template = 'other'"))


def parcel(name: str) -> Parcel:
    facts = {"recipient": "jc", "attempt": 1, "name": "n", "sha256": "h", "bytes": 1, "rows": 1}
    return Parcel(id=name, submission="s1", intent_index=0, **facts)


def test_a_parcel_is_what_was_intended_and_ends_once(filed: Database) -> None:
    bring(filed, State.RECEIVED)
    with filed.transaction() as session:
        session.add(parcel("p1"))
    with broken("one_live_parcel"), filed.transaction() as session:
        session.add(parcel("p2"))
    with broken("parcel_is_frozen"), as_owner(filed) as session:
        session.execute(text("UPDATE hub.parcel SET sha256 = 'other'"))
    with filed.transaction() as session:
        session.execute(text("UPDATE hub.parcel SET state = 'sent', sent_at = now(), outcome_index = 1"))
    with broken("parcel_is_frozen"), filed.transaction() as session:
        session.execute(text("UPDATE hub.parcel SET state = 'stopped'"))


def test_a_broken_rule_undoes_the_whole_transaction(filed: Database) -> None:
    with broken("submission_begins_received"), filed.transaction() as session:
        session.execute(text("INSERT INTO hub.partner (id, name) VALUES ('x', 'X')"))
        session.add(submission(state="delivered"))
    with filed.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM hub.partner WHERE id = 'x'")).scalar() == 0
