"""What is over ends, announced in the log and key first; what is not over stands, whoever asks."""

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, Connection, create_engine, text

from connectors.consents import read_consents
from hub import audit, collection, consent_register, exchange, intake, overview, replies, staff
from hub.database.embedded import EmbeddedPostgres
from hub.database.session import address
from hub.errors import Corrupt, Refused
from hub.ledger import store, tree
from hub.ledger.checkpoint import open_checkpoint
from hub.ledger.entry import Actor
from hub.ledger.findings import Findings
from hub.ledger.inclusion import prove
from hub.ledger.proof import check_proof, parse_proof
from hub.ledger.verify import verify_database
from hub.office import Office
from hub.registry import SHIPPED
from hub.retention import run as retention
from hub.retention.bodies import KEPT
from hub.retention.macs import GRACE
from hub.roles import Role
from hub.runtime import outbox
from hub.sealed import SealedReader
from schemas.agreement import load_agreement
from schemas.retention import SHIPPED as SCHEDULE
from schemas.samples import csv_bytes, sample, write_consents
from tests.integration.desk import hand_in, open_desk

READER = Actor(role="auditor", id="auditor")
LONG_AGO = 3 * 366


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with open_desk(tmp_path_factory.mktemp("retention") / "home") as found:
        yield found


@pytest.fixture
def office(desk: Office) -> Office:
    """A hub of which everything earlier is long over and gone."""
    age(desk)
    retention.run(desk)
    assert retention.run(desk) == {}
    return desk


def master(office: Office) -> URL:
    """Name the way of the database's superuser, whom no right stops."""
    settings = office.settings
    server = EmbeddedPostgres(settings.postgres, settings.run, office.ring.database_secret("superuser"))
    return server.url(database="hub")


@contextmanager
def superuser(office: Office) -> Iterator[psycopg.Connection]:
    """Be the superuser, and let no trigger stop it."""
    with psycopg.connect(address(master(office)), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


AGED = {
    "ledger.entry": ("recorded_at",),
    "hub.submission": ("changed_at",),
    "hub.parcel": ("sent_at", "collected_at"),
    "hub.receipt": ("issued_at",),
    "hub.row_seed": ("made_at",),
    "hub.person": ("created_at",),
    "hub.consent": ("withdrawn_at", "valid_until"),
    "hub.staff": ("ended_at",),
}


def age(office: Office, days: int = LONG_AGO) -> None:
    """Let so many days have passed over everything that is there."""
    with superuser(office) as connection:
        for table, columns in AGED.items():
            changes = ", ".join(f"{column} = {column} - make_interval(days => {days})" for column in columns)
            connection.execute(f"UPDATE {table} SET {changes}".encode())  # noqa: S608 -- constants


def carried(office: Office, agreement: str = "E7") -> str:
    submission = hand_in(office, agreement=agreement)
    assert exchange.carry(office, submission) == "acknowledged"
    return submission


def collected(office: Office, submission: str) -> None:
    collection.note(office, offered(office, submission))


def offered(office: Office, submission: str) -> collection.Offered:
    (parcel,) = (one for one in collection.offered(office) if submission in one.id)
    return parcel


def verified(office: Office, **evidence: list[str]) -> Findings:
    with office.database.audit() as session:
        return proved(office, session.connection(), **evidence)


def proved(office: Office, connection: Connection, **evidence: list[str]) -> Findings:
    return verify_database(
        connection,
        log_key=office.ring.log_public(),
        receipt_key=office.ring.receipt_public(),
        origin=office.settings.origin,
        **evidence,
    )


def kinds(office: Office) -> list[tuple[str, bool]]:
    """Every entry's kind, and whether its body is there."""
    with office.database.audit() as session:
        rows = session.execute(text("SELECT kind, body IS NOT NULL FROM ledger.entry ORDER BY index"))
        return [(kind, there) for kind, there in rows]


def said(office: Office, reason: str) -> list[dict[str, object]]:
    """What the log says of a kind of record that ended."""
    with office.database.audit() as session:
        bodies = session.scalars(
            text("SELECT body FROM ledger.entry WHERE kind = 'retention' ORDER BY index")
        )
        told = [json.loads(body) for body in bodies]
    return [entry for entry in told if entry["reason"] == reason]


def test_older_proofs_receipts_and_checkpoints_verify_after_the_bodies_are_gone(office: Office) -> None:
    before = len(kinds(office))
    submission = carried(office)
    with office.database.audit() as session:
        note = store.latest_checkpoint(session)
        entries = list(store.entries(session, before, 10_000))
        proofs = [store.prove(session, one.index).text for one in entries]
    tokens = [*overview.receipts(office, submission).values()]
    age(office)
    fresh = carried(office)
    erased_before = verified(office).erased
    done = retention.run(office)
    end = before + len(entries)
    assert all(there == (kind in KEPT) for kind, there in kinds(office)[:end])
    assert all(there for _, there in kinds(office)[end:]), "what is young stands"
    tokens += overview.receipts(office, fresh).values()
    found = verified(office, kept=[note], receipts=tokens)
    assert (found.ok, found.findings) == (True, ())
    assert found.erased - erased_before == sum(done["log_bodies"].values())
    origin, key = office.settings.origin, office.ring.log_public()
    for one, proof in zip(entries, proofs, strict=True):
        assert prove(one.body or b"", proof, origin, key).leaf_hash == one.leaf_hash
        assert check_proof(parse_proof(proof), one.leaf_hash, origin, key)
    with office.database.audit() as session:
        new = open_checkpoint(store.latest_checkpoint(session), origin, key)
        old = open_checkpoint(note, origin, key)
        extends = store.prove_consistency(session, old.size, new.size)
    assert tree.verify_consistency(old.size, old.root, new.size, new.root, extends)
    told = said(office, "log_bodies")[-1]
    gone = [one.index for one in entries if not kinds(office)[one.index][1]]
    assert told["span"] == {"first": gone[0], "last": gone[-1]}
    assert told["counts"] == done["log_bodies"]
    assert retention.run(office) == {}, "once is enough"
    assert overview.of_submission(office, submission)["state"] == "acknowledged"
    journal = json.dumps([record.content for record in office.journal.records() if record.kind == "log"])
    nonces = {one.index: json.loads(one.body or b"{}")["nonce"] for one in entries}
    assert [index for index, nonce in nonces.items() if nonce not in journal] == gone, "ended there too"


def test_an_erased_entry_is_shown_as_erased_with_its_proof(office: Office) -> None:
    before = len(kinds(office))
    carried(office)
    age(office)
    retention.run(office)
    erased = [index for index, (_, there) in enumerate(kinds(office)) if not there and index >= before]
    shown = audit.examine(office, READER, erased[0])
    assert (shown.body, shown.flaw) == (None, None)
    assert shown.proved is not None
    assert shown.proved.leaf_hash == shown.leaf_hash
    assert kinds(office)[shown.erased_by or 0] == ("retention", True)
    listed = {line.index: line for line in audit.browse(office, READER, upto=erased[-1]).lines}
    assert listed[erased[0]].erased
    assert listed[erased[0]].entry == {"kind": kinds(office)[erased[0]][0]}
    carried(office)
    young = len(kinds(office)) - 1
    with superuser(office) as connection:  # whoever can, does; the page notices
        body = connection.execute("SELECT body FROM ledger.entry WHERE index = %s", [young]).fetchone()
        connection.execute("UPDATE ledger.entry SET body = NULL WHERE index = %s", [young])
        assert audit.examine(office, READER, young).flaw == "erased"
        connection.execute("UPDATE ledger.entry SET body = %s WHERE index = %s", [(body or [b""])[0], young])


TAMPERED = {
    "UPDATE ledger.entry SET body = NULL, submission = NULL WHERE index = :young": "entry.erased",
    "UPDATE ledger.entry SET body = NULL, submission = NULL WHERE kind = 'agreement'": "entry.erased",
    "UPDATE ledger.entry SET body = NULL WHERE kind = 'retention'": "entry.erased",
    "UPDATE ledger.entry SET body = convert_to('{}', 'UTF8') WHERE kind = 'retention'": "entry.erased",
    "UPDATE ledger.entry SET kind = 'alarm' WHERE kind = 'intent' AND body IS NULL": "retention.counts",
    "UPDATE ledger.entry SET submission = 'S-1' WHERE kind = 'intent' AND body IS NULL": "entry.column",
    "UPDATE ledger.entry SET leaf_hash = sha256('') WHERE kind = 'intent' AND body IS NULL": "node.hash",
    "DELETE FROM ledger.entry WHERE kind = 'intent' AND body IS NULL": "entry.missing",
}


def test_what_the_database_s_master_erases_or_changes_beside_that_is_named(office: Office) -> None:
    carried(office)
    age(office)
    retention.run(office)
    carried(office)
    assert verified(office).ok
    young = len(kinds(office)) - 1
    engine = create_engine(master(office), isolation_level="REPEATABLE READ")
    for statement, code in TAMPERED.items():
        with engine.connect() as connection:
            connection.execute(text("SET session_replication_role = replica"))
            connection.execute(text(statement), {"young": young} if ":young" in statement else {})
            found = proved(office, connection)
            connection.rollback()
        assert not found.ok, statement
        assert code in {one.code for one in found.findings}, (statement, found.findings)
    engine.dispose()


def test_a_submission_under_way_keeps_its_entries_and_its_key(office: Office) -> None:
    waiting = hand_in(office)
    done = carried(office)
    age(office)
    retention.run(office)
    with office.database.audit() as session:
        left = session.scalars(text("SELECT DISTINCT submission FROM ledger.entry WHERE body IS NOT NULL"))
        assert {one for one in left if one} == {waiting}
    assert exchange.carry(office, waiting) == "acknowledged"
    assert verified(office).ok
    with pytest.raises(Refused, match="expired"):
        replies.report(office, done)


def test_the_key_goes_first_and_without_it_nothing_opens(office: Office) -> None:
    submission = carried(office)
    collected(office, submission)
    parcel = offered(office, submission)
    sealed = outbox(office.settings).place(parcel.recipient, parcel.name)
    aside = sealed.read_bytes()
    with collection.open_content(office, sealed, parcel) as source:
        assert source.read()
    report = next(office.reports.glob(f"{submission}-*.sealed"))
    age(office, 29)
    assert retention.run(office) == {}, "the agreement gives it 30 days"
    age(office, 2)
    assert retention.show(office)["payloads_collected"].waiting == {"submissions": 1}
    assert retention.run(office) == {"payloads_collected": {"submissions": 1}}
    assert (sealed.exists(), report.exists()) == (False, False)
    assert offered(office, submission).id == parcel.id
    assert collection.offered(office, parcel.recipient, expired=False) == []
    sealed.write_bytes(aside)  # even a copy that somebody has kept
    with pytest.raises(Refused, match="expired"):
        collection.open_content(office, sealed, parcel)
    with pytest.raises(Corrupt, match="damaged"):
        SealedReader(sealed, os.urandom(32))
    assert said(office, "payloads_collected")[-1]["counts"] == {"submissions": 1}
    assert overview.of_submission(office, submission)["rows"]["delivered"] == 5


def test_what_nobody_collects_and_what_was_refused_ends_as_well(office: Office) -> None:
    uncollected = carried(office)
    refused = intake.accept(office, io.BytesIO(b"nothing of it"), "E7", intake.Totals())
    assert exchange.carry(office, refused) == "refused"
    age(office, 31)
    assert retention.run(office) == {"payloads_undelivered": {"submissions": 1}}
    with pytest.raises(Refused, match="expired"):
        replies.report(office, refused)
    age(office, 60)
    assert retention.run(office) == {"payloads_uncollected": {"submissions": 1}}
    assert not list(office.reports.glob(f"{uncollected}-*"))


def test_files_left_by_a_run_that_died_are_swept_by_the_next(office: Office) -> None:
    submission = carried(office)
    parcel = offered(office, submission)
    sealed = outbox(office.settings).place(parcel.recipient, parcel.name)
    with superuser(office) as connection:
        connection.execute("DELETE FROM hub.payload_key WHERE submission = %s", [submission])
    assert sealed.exists()
    assert retention.run(office) == {}
    assert not sealed.exists()
    assert overview.of_submission(office, submission)["seconds"] == {}


def test_macs_of_delivered_rows_end_their_files_after_a_grace(office: Office) -> None:
    submission = carried(office)
    (file,) = office.delivered.glob(f"P-{submission}-*.sealed")
    age(office)
    assert retention.run(office)["delivered_rows"] == {"parcels": 1, "rows": 5}
    assert file.exists(), "a step may just be opening it"
    before = time.time() - GRACE - 1
    os.utime(file, (before, before))
    retention.run(office)
    assert not file.exists()
    fresh = carried(office)
    assert overview.of_submission(office, fresh)["rows"]["delivered"] == 5
    assert not (office.journal.folder / "delivered" / file.name).exists()
    (kept,) = office.delivered.glob(f"P-{fresh}-*.sealed")
    os.utime(kept, (before, before))
    retention.run(office)
    assert kept.exists(), "its row stands"


def test_receipts_seeds_and_people_who_left_end_with_their_year(office: Office) -> None:
    carried(office)
    staff.ensure(office, "weber", Role.STEWARD)
    staff.ensure(office, "yilmaz", Role.STEWARD)
    with office.database.transaction() as session:
        staff.suspend(session, office, "weber")
    age(office, 364)
    assert not {"receipts", "row_seeds", "staff"} & retention.run(office).keys()
    age(office, LONG_AGO)
    done = retention.run(office)
    assert (done["receipts"], done["row_seeds"], done["staff"]) == (
        {"receipts": 2},
        {"row_seeds": 1},
        {"staff": 1},
    )
    with office.database.transaction() as session:
        assert "weber" not in {member.name for member in staff.listed(session)}
        assert "yilmaz" in {member.name for member in staff.listed(session)}


def test_ended_consents_and_then_their_persons_go_and_no_old_file_brings_them_back(
    office: Office, tmp_path: Path
) -> None:
    made = sample(load_agreement(SHIPPED / "e3.yaml"), 12, 1)
    file = tmp_path / "consents.csv"
    write_consents(made, file)
    collector = made.agreement.sender.id
    brought = consent_register.bring_in(office, collector, read_consents(file))
    number = str(made.frame["Teilnehmernummer"][0])
    ended = consent_register.end(office, collector, number)
    assert ended
    age(office, 366)
    assert "consents" not in retention.run(office), "proof of consent is kept for three years"
    age(office, 4 * 366)
    with superuser(office) as connection:
        connection.execute("UPDATE hub.consent SET valid_until = NULL WHERE withdrawn_at IS NULL")
    done = retention.run(office)
    assert done["consents"]["consents"] >= ended
    assert done["persons"]["persons"] >= 1
    assert consent_register.of_person(office, collector, number) == []
    again = consent_register.bring_in(office, collector, read_consents(file))
    assert again.new < brought.new
    assert consent_register.of_person(office, collector, number) == [], "withdrawn stays withdrawn"
    submission = intake.accept(office, io.BytesIO(csv_bytes(made)), "E3", intake.Totals())
    assert exchange.carry(office, submission) == "acknowledged"
    assert overview.of_submission(office, submission)["rows"]["withheld"] >= 1


def test_technical_logs_move_aside_and_end(office: Office) -> None:
    logs, tasks = office.settings.run / "logs", office.settings.airflow / "logs" / "dag"
    logs.mkdir(exist_ok=True)
    tasks.mkdir(parents=True)
    old = (datetime.now(UTC) - timedelta(days=91)).timestamp()
    drop, task, young = logs / "drop.log", tasks / "1.log", tasks / "2.log"
    drop.write_text("came and went\n", encoding="utf-8")
    for file in (task, young):
        file.write_text("done\n", encoding="utf-8")
    os.utime(task, (old, old))
    assert retention.run(office) == {"service_logs": {"files": 1}}
    assert (task.exists(), young.exists(), drop.read_bytes()) == (False, True, b"")
    aside = logs / "drop.log.1"
    assert aside.read_bytes() == b"came and went\n"
    drop.write_text("came again\n", encoding="utf-8")
    assert retention.run(office) == {}
    os.utime(aside, (old, old))
    assert retention.run(office) == {"service_logs": {"files": 1}}
    assert aside.read_bytes() == b"came again\n"


def test_a_dry_run_counts_what_a_run_then_ends(office: Office) -> None:
    carried(office)
    staff.ensure(office, "weber", Role.STEWARD)
    age(office)
    before = kinds(office)
    due = {record: dict(one.waiting) for record, one in retention.show(office).items() if one.waiting}
    assert kinds(office) == before
    done = {record: dict(counts) for record, counts in retention.run(office).items()}
    done["delivered_rows"].pop("rows")
    assert done == due


def test_periods_are_those_of_the_file_that_is_named(office: Office, tmp_path: Path) -> None:
    shipped = SCHEDULE.read_text(encoding="utf-8")
    file = tmp_path / "fristen.yaml"
    file.write_text(shipped.replace("period: {days: 90}", "period: {days: 1}"), encoding="utf-8")
    elsewhere = replace(office, settings=office.settings.model_copy(update={"retention": file}))
    carried(office)
    age(office, 2)
    assert retention.run(elsewhere) == {"payloads_uncollected": {"submissions": 1}}
    for wrong in ("{days: 30, calendar_years: 1}", "{days: 0}", "{by_agreement: true}", "{}"):
        file.write_text(shipped.replace("{days: 90}", wrong), encoding="utf-8")
        with pytest.raises(Refused, match=r"retention\.file"):
            retention.run(elsewhere)
