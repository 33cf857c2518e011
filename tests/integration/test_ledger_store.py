"""The transfer log in a real PostgreSQL: gap-free under concurrency, insert-only, provable, verifiable."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from hub.database.models import LedgerCheckpoint, LedgerEntry, LedgerNode
from hub.database.session import Database
from hub.errors import Corrupt, Refused, Transient
from hub.ledger import entry, store, tree
from hub.ledger.checkpoint import open_checkpoint
from hub.ledger.entry import Actor, Entry
from hub.ledger.findings import Findings
from hub.ledger.proof import check_proof, parse_proof
from hub.ledger.verify import verify_database
from hub.receipts import Place, issue
from hub.reports import COUNTS

ORIGIN = "hub.example/log"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RECEIPT_SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))


def event(number: int) -> Entry:
    return Entry(
        kind="submission",
        time=datetime(2025, 3, 4, 12, tzinfo=UTC),
        actor=Actor(role="hub", id="exchange"),
        submission=f"S-{number}",
    )


def append(engine: Engine, *numbers: int) -> list[store.Recorded]:
    with Session(engine) as session, session.begin():
        return store.append(session, SIGNER, ORIGIN, [event(number) for number in numbers])


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with Session(database.app) as session:
        yield session


def assert_whole(session: Session, size: int) -> None:
    """Hold stored entries, nodes and checkpoints against a tree computed anew."""
    stored = list(store.entries(session, 0, size + 10))
    assert [one.index for one in stored] == list(range(size))
    hashes = {(0, one.index): tree.leaf_hash(one.body or b"") for one in stored}
    assert all(hashes[0, one.index] == one.leaf_hash for one in stored)
    leaves = b"".join(one.leaf_hash for one in stored)
    for level, first, buffer in tree.grow(0, leaves, lambda *place: hashes[place])[1:]:
        for at in range(0, len(buffer), 32):
            hashes[level, first + at // 32] = buffer[at : at + 32]
    rows = session.execute(select(LedgerNode.level, LedgerNode.index, LedgerNode.hash)).all()
    assert {(level, index): node for level, index, node in rows} == {
        place: node for place, node in hashes.items() if place[0]
    }
    for checkpoint in session.scalars(select(LedgerCheckpoint)):
        opened = open_checkpoint(checkpoint.note, ORIGIN, SIGNER.public_key())
        assert (opened.size, opened.root) == (checkpoint.size, checkpoint.root)
        assert opened.root == tree.root(opened.size, lambda *place: hashes[place])


def test_what_is_appended_is_read_back_in_order_with_its_leaf_hash(
    database: Database, session: Session
) -> None:
    recorded = [one for batch in ((0,), (1, 2, 3), (4,)) for one in append(database.app, *batch)]
    assert [one.index for one in recorded] == [0, 1, 2, 3, 4]
    stored = list(store.entries(session, 1, 3))
    assert [entry.read(one.body or b"").submission for one in stored] == ["S-1", "S-2", "S-3"]
    assert [one.leaf_hash for one in stored] == [one.leaf_hash for one in recorded[1:4]]
    assert all(one.recorded_at.utcoffset() is not None for one in stored)
    kinds = session.execute(
        select(LedgerEntry.kind, LedgerEntry.submission).order_by(LedgerEntry.index)
    ).all()
    assert [tuple(row) for row in kinds] == [("submission", f"S-{number}") for number in range(5)]
    assert_whole(session, 5)


def test_each_append_signs_the_log_s_new_size(database: Database, session: Session) -> None:
    with pytest.raises(Refused) as caught:
        store.latest_checkpoint(session)
    assert caught.value.code == "ledger.empty"
    session.rollback()
    for last in range(6):
        append(database.app, last)
        opened = open_checkpoint(store.latest_checkpoint(session), ORIGIN, SIGNER.public_key())
        session.rollback()
        assert opened.size == last + 1


def test_nothing_to_append_writes_nothing(session: Session) -> None:
    assert store.append(session, SIGNER, ORIGIN, []) == []
    session.commit()
    assert session.scalar(select(func.count()).select_from(LedgerCheckpoint)) == 0


def test_eight_writers_at_once_leave_no_gap_and_a_whole_tree(database: Database, session: Session) -> None:
    def write(writer: int) -> list[int]:
        mine: list[int] = []
        for turn in range(9):
            numbers = range(writer * 100 + turn * 10, writer * 100 + turn * 10 + 1 + (writer + turn) % 5)
            mine += [one.index for one in append(database.app, *numbers)]
        return mine

    with ThreadPoolExecutor(8) as pool:
        indices = sorted(index for mine in pool.map(write, range(8)) for index in mine)
    assert len(indices) >= 200
    assert indices == list(range(len(indices)))
    assert_whole(session, len(indices))


def test_two_appends_in_one_transaction_follow_each_other(database: Database, session: Session) -> None:
    append(database.app, 0)
    first = store.append(session, SIGNER, ORIGIN, [event(1), event(2)])
    second = store.append(session, SIGNER, ORIGIN, [event(3)])
    session.commit()
    assert [one.index for one in (*first, *second)] == [1, 2, 3]
    assert_whole(session, 4)


def test_a_rolled_back_append_leaves_neither_gap_nor_trace(database: Database, session: Session) -> None:
    append(database.app, 0, 1)
    assert [one.index for one in store.append(session, SIGNER, ORIGIN, [event(2), event(3)])] == [2, 3]
    session.rollback()
    assert [one.index for one in append(database.app, 4)] == [2]
    assert [entry.read(one.body or b"").submission for one in store.entries(session, 0, 9)] == [
        "S-0",
        "S-1",
        "S-4",
    ]
    assert_whole(session, 3)


def test_an_append_becomes_visible_with_the_caller_s_own_writes_or_not_at_all(
    database: Database, session: Session
) -> None:
    store.append(session, SIGNER, ORIGIN, [event(0)])
    with Session(database.auditor) as auditor:
        assert list(store.entries(auditor, 0, 9)) == []
        auditor.rollback()
        session.commit()
        assert len(list(store.entries(auditor, 0, 9))) == 1


def test_a_transaction_with_an_old_snapshot_is_asked_to_repeat(database: Database) -> None:
    engine = database.app.execution_options(isolation_level="REPEATABLE READ")
    with Session(engine) as late:
        late.scalar(select(func.count()).select_from(LedgerEntry))  # takes the snapshot
        append(database.app, 0)
        with pytest.raises(Transient) as caught:
            store.append(late, SIGNER, ORIGIN, [event(1)])
    assert caught.value.code == "ledger.snapshot"
    assert [one.index for one in append(database.app, 2)] == [1]


@pytest.mark.parametrize("table", ["entry", "node", "checkpoint"])
@pytest.mark.parametrize("role", ["app", "owner"])
@pytest.mark.parametrize("change", ["UPDATE ledger.{} SET {}", "DELETE FROM ledger.{}", "TRUNCATE ledger.{}"])
def test_neither_the_application_nor_the_owner_changes_what_is_logged(
    database: Database, table: str, role: str, change: str
) -> None:
    append(database.app, 0, 1)
    columns = {"entry": "body = ''", "node": "hash = ''", "checkpoint": "note = ''"}
    engine: Engine = getattr(database, role)
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text(change.format(table, columns[table])))


@pytest.mark.parametrize("table", ["entry", "node", "checkpoint"])
def test_the_auditor_reads_and_writes_nothing(database: Database, table: str) -> None:
    append(database.app, 0, 1)
    with database.auditor.connect() as connection:
        assert connection.execute(text(f"SELECT count(*) FROM ledger.{table}")).scalar()  # noqa: S608
        with pytest.raises(DBAPIError):
            connection.execute(text(f"INSERT INTO ledger.{table} SELECT * FROM ledger.{table}"))  # noqa: S608


def tamper(database: Database, statement: str) -> None:
    """Change the log as somebody could who owns the machine: with the guards switched off."""
    with database.owner.begin() as connection:
        for table in ("entry", "node", "checkpoint"):
            connection.execute(text(f"ALTER TABLE ledger.{table} DISABLE TRIGGER USER"))
        connection.execute(text(statement))
        for table in ("entry", "node", "checkpoint"):
            connection.execute(text(f"ALTER TABLE ledger.{table} ENABLE TRIGGER USER"))


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DELETE FROM ledger.entry WHERE index = 6", "ledger.checkpoint"),
        ("DELETE FROM ledger.checkpoint WHERE size = 7", "ledger.checkpoint"),
        ("UPDATE ledger.checkpoint SET root = sha256('') WHERE size = 7", "ledger.checkpoint"),
        ("UPDATE ledger.entry SET leaf_hash = sha256('') WHERE index = 6", "ledger.checkpoint"),
        ("UPDATE ledger.node SET hash = sha256('') WHERE level = 2", "ledger.checkpoint"),
        ("DELETE FROM ledger.node WHERE level = 2", "ledger.node"),
    ],
)
def test_nothing_is_signed_on_top_of_a_log_that_does_not_fit_its_checkpoint(
    database: Database, statement: str, code: str
) -> None:
    append(database.app, *range(7))
    tamper(database, statement)
    with pytest.raises(Corrupt) as caught:
        append(database.app, 7)
    assert caught.value.code == code


def test_every_entry_is_proved_by_a_text_that_holds_offline(database: Database, session: Session) -> None:
    recorded = [one for number in range(11) for one in append(database.app, number)]
    for one in recorded:
        proof = parse_proof(store.prove(session, one.index).text)
        assert check_proof(proof, one.leaf_hash, ORIGIN, SIGNER.public_key()).size == 11
    for index in (-1, 11):
        with pytest.raises(Refused):
            store.prove(session, index)


def test_every_checkpoint_is_proved_to_begin_the_newest(database: Database, session: Session) -> None:
    for number in range(9):
        append(database.app, number)
    rows = session.execute(select(LedgerCheckpoint.size, LedgerCheckpoint.root))
    roots = {size: root for size, root in rows}  # noqa: C416 -- rows are tuples to unpack, not pairs to mypy
    for old, root in roots.items():
        proof = store.prove_consistency(session, old, 9)
        assert tree.verify_consistency(old, root, 9, roots[9], proof)


def test_a_database_that_is_gone_is_a_reason_to_try_again(database: Database) -> None:
    with Session(database.app) as session:
        session.scalar(select(1))
        with database.owner.connect() as owner:
            here = text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = :role AND datname = current_database()"
            )
            role = session.scalar(text("SELECT current_user"))
            try:
                owner.execute(here, {"role": role})
            except DBAPIError:  # the owner may not end foreign sessions everywhere: the session ends its own
                session.connection().connection.dbapi_connection.close()  # type: ignore[union-attr]
        with pytest.raises(Transient) as caught:
            store.append(session, SIGNER, ORIGIN, [event(0)])
    assert caught.value.code == "ledger.unavailable"
    assert [one.index for one in append(database.app, 1)] == [0]


def verified(database: Database, **evidence: Any) -> Findings:
    with database.auditor.connect() as connection:
        return verify_database(
            connection,
            log_key=SIGNER.public_key(),
            receipt_key=RECEIPT_SIGNER.public_key(),
            origin=ORIGIN,
            **evidence,
        )


def receipt(place: store.Recorded, number: int, checkpoint: str) -> str:
    return issue(
        RECEIPT_SIGNER,
        "receipt-1",
        kind="received",
        issuer="hub.example",
        audience="kvhs",
        submission=f"S-{number}",
        agreement_id="E3",
        agreement_version="1.0.0",
        sha256="ab" * 32,
        counts=dict.fromkeys(COUNTS, 0),
        reasons={},
        log=Place(place.index, place.leaf_hash.hex(), checkpoint),
        issued_at=datetime(2025, 3, 4, 12, tzinfo=UTC),
    )


def test_the_auditor_proves_an_untouched_log_with_its_checkpoints_and_receipts(
    database: Database, session: Session
) -> None:
    assert verified(database).size == 0
    recorded = [one for number in range(21) for one in append(database.app, number)]
    kept = list(session.scalars(select(LedgerCheckpoint.note)))
    tokens = [receipt(one, number, kept[-1]) for number, one in enumerate(recorded)]
    found = verified(database, kept=kept, receipts=tokens)
    assert (found.ok, found.size, found.findings) == (True, 21, ())
    assert found.root == open_checkpoint(kept[-1], ORIGIN, SIGNER.public_key()).root.hex()


SWAP = """
    UPDATE ledger.entry SET index = -1 WHERE index = 4;
    UPDATE ledger.entry SET index = 4 WHERE index = 9;
    UPDATE ledger.entry SET index = 9 WHERE index = -1
"""
CUT = """
    DELETE FROM ledger.entry WHERE index >= 8; DELETE FROM ledger.checkpoint WHERE size > 8;
    DELETE FROM ledger.node WHERE (index + 1) << level > 8
"""


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "UPDATE ledger.entry SET body = set_byte(body, 20, get_byte(body, 20) # 1) WHERE index = 6",
            {("entry.hash", "6")},
        ),
        ("DELETE FROM ledger.entry WHERE index = 6", {("entry.missing", "6")}),
        ("DELETE FROM ledger.entry WHERE index >= 8", {("log.cut", "8-11")}),
        (SWAP, {("node.hash", "4-5"), ("node.hash", "8-9"), ("checkpoint.root", "4")}),
        (CUT, {("log.cut", "8-11")}),
        ("DELETE FROM ledger.checkpoint WHERE size > 8", {("log.unsigned", "8-11")}),
        ("UPDATE ledger.checkpoint SET note = replace(note, '7', '8') WHERE size = 7", set()),
        ("UPDATE ledger.checkpoint SET root = sha256('') WHERE size = 7", {("checkpoint.columns", "7")}),
        ("UPDATE ledger.node SET hash = sha256('') WHERE level = 3", {("node.hash", "0-7")}),
        ("DELETE FROM ledger.node WHERE level = 1 AND index = 3", {("node.missing", "6-7")}),
        ("INSERT INTO ledger.node VALUES (9, 9, sha256(''))", {("node.unexpected", "9/9")}),
        ("UPDATE ledger.entry SET submission = 'S-77' WHERE index = 5", {("entry.column", "5")}),
    ],
)
def test_what_was_done_to_the_database_is_named_with_its_place(
    database: Database, session: Session, statement: str, expected: set[tuple[str, str]]
) -> None:
    recorded = [one for number in range(12) for one in append(database.app, number)]
    newest = store.latest_checkpoint(session)
    session.rollback()
    tamper(database, statement)
    for evidence in ({"kept": [newest]}, {"receipts": [receipt(recorded[3], 3, newest)]}):
        found = verified(database, **evidence)
        assert not found.ok
        assert expected <= {(finding.code, finding.place) for finding in found.findings}


def test_the_verifier_sees_one_moment_while_others_append(database: Database) -> None:
    for number in range(30):
        append(database.app, number)
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [append(database.app, number) for number in range(30, 90)])
        checked = 0
        while not writing.done() or not checked:
            assert verified(database).ok
            checked += 1
        assert writing.result()
    assert verified(database).size == 90


def test_a_transaction_that_sees_new_snapshots_is_not_verified_in(database: Database) -> None:
    with database.auditor.connect() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(Refused) as caught:
            verify_database(connection, log_key=SIGNER.public_key(), origin=ORIGIN)
    assert caught.value.code == "ledger.snapshot"


def test_the_auditor_s_session_is_verified_in(database: Database) -> None:
    append(database.app, 0, 1, 2)
    with database.audit() as session:
        found = verify_database(session.connection(), log_key=SIGNER.public_key(), origin=ORIGIN)
    assert (found.ok, found.size) == (True, 3)
