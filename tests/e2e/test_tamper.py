"""Whoever changes the transfer log is found out, even with every right that the database has to give."""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from benchmarks import synthetic_log
from hub.ledger import store
from hub.runtime import open_office
from schemas.samples import sample
from tests.e2e.hub import Hub, agreement

TABLES = ("entry", "node", "checkpoint")
FILES = 6
# A checkpoint of the size to which the log is cut: then all that is left in the database fits together.
CUT = (
    "DELETE FROM ledger.entry WHERE index >= %(size)s",
    "DELETE FROM ledger.node WHERE (index + 1) * (1::bigint << level) > %(size)s",
    "DELETE FROM ledger.checkpoint WHERE size > %(size)s",
)


@pytest.fixture(scope="module")
def submissions(hub: Hub) -> list[str]:
    """The submissions of which the log tells."""
    return [str(hub.submit(sample(agreement("E2"), 3, seed)).json["submission"]) for seed in range(FILES)]


@pytest.fixture
def receipts(hub: Hub, submissions: list[str]) -> list[Path]:
    """What the senders have kept, oldest first."""
    found = [hub.saved(one) for one in submissions]
    return [replies[kind] for replies in found for kind in ("received.jwt", "accepted.jwt")]


@pytest.fixture
def checkpoint(hub: Hub, submissions: list[str]) -> Path:
    """The newest checkpoint, as an auditor carries it away."""
    assert submissions
    with hub.superuser() as database:
        row = database.execute("SELECT note FROM ledger.checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    assert row
    return hub.file("checkpoint.txt", row[0].encode())


@contextmanager
def tampered(hub: Hub) -> Iterator[psycopg.Connection]:
    """Let a superuser, whom no trigger stops, change the log; afterwards it is as it was, and verifies."""
    with hub.superuser() as database:
        for table in TABLES:
            database.execute(f"CREATE TABLE public.{table} AS TABLE ledger.{table}".encode())
        try:
            yield database
        finally:
            for table in TABLES:
                database.execute(f"TRUNCATE ledger.{table}".encode())
                database.execute(f"INSERT INTO ledger.{table} TABLE public.{table}".encode())
                database.execute(f"DROP TABLE public.{table}".encode())
    assert hub.run("log", "verify").status == 0


def found(hub: Hub, *arguments: object) -> dict[str, set[str]]:
    """What the verifier finds, places by code; it must find something and say so in every way."""
    answer = hub.run("log", "verify", *arguments)
    findings = answer.json["findings"]
    assert answer.status == 1
    assert answer.json["ok"] is False
    assert f"{findings[0]['code']}: " in answer.stderr  # before it, a hub that is closed says so
    assert findings[0]["en"] in answer.stderr
    for finding in findings:
        numbers = re.findall("[0-9]+", finding["place"])
        assert all(number in finding["en"] and number in finding["de"] for number in numbers), finding
    places: dict[str, set[str]] = {}
    for finding in findings:
        places.setdefault(finding["code"], set()).add(finding["place"])
    return places


def size_of(database: psycopg.Connection) -> int:
    row = database.execute("SELECT count(*)::int FROM ledger.entry").fetchone()
    assert row
    return int(row[0])


def index_of(database: psycopg.Connection, kind: str, at: int = 2) -> int:
    """The place of some entry of a kind, in the middle of the log."""
    rows = database.execute(
        "SELECT index FROM ledger.entry WHERE kind = %s ORDER BY index", [kind]
    ).fetchall()
    return int(rows[at][0])


def test_an_untouched_log_verifies_with_everything_that_was_kept(
    hub: Hub, receipts: list[Path], checkpoint: Path
) -> None:
    kept = [part for path in receipts for part in ("--receipt", path)]
    answer = hub.run("log", "verify", *kept, "--checkpoint", checkpoint)
    assert (answer.status, answer.json["ok"], answer.json["findings"]) == (0, True, [])
    assert answer.json["size"] == len(hub.log()) >= 5 * FILES
    assert checkpoint.read_text(encoding="utf-8").splitlines()[1] == str(answer.json["size"])
    assert "all proved" in hub.tell("log", "verify").stdout


@pytest.mark.parametrize("kind", ["submission", "intent", "outcome", "receipt"])
def test_a_flipped_byte_is_found_at_its_entry(hub: Hub, submissions: list[str], kind: str) -> None:
    assert submissions
    with tampered(hub) as database:
        at = index_of(database, kind)
        flip = "UPDATE ledger.entry SET body = set_byte(body, 40, get_byte(body, 40) # 1) WHERE index = %s"
        database.execute(flip, [at])
        assert str(at) in found(hub)["entry.hash"]


def test_a_byte_flipped_in_any_place_of_an_entry_is_found(hub: Hub, submissions: list[str]) -> None:
    assert submissions
    with tampered(hub) as database:
        at = index_of(database, "outcome")
        row = database.execute("SELECT length(body) FROM ledger.entry WHERE index = %s", [at]).fetchone()
        assert row
        for byte in range(0, row[0], row[0] // 7):
            flip = (
                "UPDATE ledger.entry SET body = set_byte(body, %s, get_byte(body, %s) # 1) WHERE index = %s"
            )
            database.execute(flip, [byte, byte, at])
            assert str(at) in found(hub)["entry.hash"]
            database.execute(flip, [byte, byte, at])


def test_an_entry_that_was_rewritten_with_a_fitting_hash_is_found(
    hub: Hub, submissions: list[str], receipts: list[Path]
) -> None:
    """A careful forger also sets the leaf hash; the tree and the signed checkpoints still say otherwise."""
    assert submissions
    with tampered(hub) as database:
        at = index_of(database, "outcome")
        database.execute(
            """
            UPDATE ledger.entry SET body = b.new, leaf_hash = sha256('\\x00'::bytea || b.new)
            FROM (SELECT convert_to(replace(convert_from(body, 'UTF8'), '"delivered":3', '"delivered":4'),
                'UTF8') AS new FROM ledger.entry WHERE index = %(at)s) b WHERE index = %(at)s
            """,
            {"at": at},
        )
        places = found(hub)
        assert "entry.hash" not in places
        assert any(covers(place, at) for place in places["checkpoint.root"])
        assert "1" in found(hub, "--receipt", receipts[5])["receipt.leaf"]


def test_a_deleted_entry_is_found_at_its_place(hub: Hub, submissions: list[str]) -> None:
    assert submissions
    for kind in ("intent", "receipt"):
        with tampered(hub) as database:
            at = index_of(database, kind)
            database.execute("DELETE FROM ledger.entry WHERE index = %s", [at])
            assert found(hub)["entry.missing"] == {str(at)}


def test_a_deleted_entry_is_found_though_the_later_ones_moved_up(hub: Hub, submissions: list[str]) -> None:
    assert submissions
    with tampered(hub) as database:
        at, last = index_of(database, "outcome"), size_of(database) - 1
        database.execute("DELETE FROM ledger.entry WHERE index = %s", [at])
        database.execute("UPDATE ledger.entry SET index = -index WHERE index > %s", [at])
        database.execute("UPDATE ledger.entry SET index = -index - 1 WHERE index < 0")
        places = found(hub)
        assert any(covers(place, at) for place in places["checkpoint.root"])
        assert places["log.cut"] == {str(last)}


def test_two_swapped_entries_are_found_at_the_first_of_them(hub: Hub, submissions: list[str]) -> None:
    assert submissions
    with tampered(hub) as database:
        first, second = index_of(database, "outcome", 1), index_of(database, "outcome", 3)
        for old, new in ((first, -1), (second, first), (-1, second)):
            database.execute("UPDATE ledger.entry SET index = %s WHERE index = %s", [new, old])
        assert any(covers(place, first) for place in found(hub)["checkpoint.root"])


def test_a_log_cut_by_its_newest_entries_alone_is_found_without_any_help(
    hub: Hub, submissions: list[str]
) -> None:
    assert submissions
    with tampered(hub) as database:
        size = size_of(database)
        database.execute("DELETE FROM ledger.entry WHERE index >= %s", [size - 2])
        assert found(hub)["log.cut"] == {f"{size - 2}-{size - 1}"}


@pytest.mark.parametrize("by", [1, 3, 10])
def test_a_log_cut_with_its_nodes_and_checkpoints_is_found_by_what_others_kept(
    hub: Hub, receipts: list[Path], checkpoint: Path, by: int
) -> None:
    with tampered(hub) as database:
        whole = size_of(database)
        size = signed_size(database, whole - by)
        for statement in CUT:
            database.execute(statement.encode(), {"size": size})
        assert hub.run("log", "verify").status == 0, "nothing inside can tell: that is why others keep proofs"
        missing = f"{size}-{whole - 1}" if whole - size > 1 else str(size)
        assert found(hub, "--checkpoint", checkpoint)["log.cut"] == {missing}
        told = signed_by(receipts[-1])
        if told > size:
            lost = f"{size}-{told - 1}" if told - size > 1 else str(size)
            assert found(hub, "--receipt", receipts[-1])["log.cut"] == {lost}
        assert hub.run("log", "verify", "--receipt", receipts[0]).status == 0, "the oldest receipt still fits"


def test_a_log_that_was_cut_and_went_on_otherwise_is_found_as_a_fork(
    hub: Hub, receipts: list[Path], checkpoint: Path
) -> None:
    with tampered(hub) as database:
        size = signed_size(database, size_of(database) - 4)
        for statement in CUT:
            database.execute(statement.encode(), {"size": size})
        assert hub.submit(sample(agreement("E2"), 3, 90)).code == "hub.closed", "the journal knows better"
        with open_office(hub.settings) as office, office.database.transaction() as session:
            other = list(synthetic_log.entries(12))
            store.append(session, office.ring.log_signer(), office.settings.origin, other)
        assert hub.run("log", "verify").status == 0
        assert found(hub, "--checkpoint", checkpoint)["log.forked"]
        places = found(hub, "--receipt", receipts[-1])
        assert places.keys() & {"log.forked", "receipt.leaf"}


def test_changed_nodes_and_checkpoints_are_found(hub: Hub, submissions: list[str]) -> None:
    assert submissions
    tampering: dict[str, tuple[str, str]] = {
        "a node flipped": (
            (
                "UPDATE ledger.node SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1)"
                " WHERE level = 1 AND index = 2"
            ),
            "node.hash",
        ),
        "a node deleted": ("DELETE FROM ledger.node WHERE level = 2 AND index = 1", "node.missing"),
        "a node invented": ("INSERT INTO ledger.node VALUES (9, 0, sha256(''))", "node.unexpected"),
        "a checkpoint's root changed": (
            (
                "UPDATE ledger.checkpoint SET root = sha256('')"
                " WHERE size = (SELECT max(size) FROM ledger.checkpoint)"
            ),
            "checkpoint.columns",
        ),
        "a checkpoint's text changed": (
            (
                "UPDATE ledger.checkpoint SET note = regexp_replace(note, '\\n([0-9]+)\\n', E'\\n9\\\\1\\n')"
                " WHERE size = (SELECT max(size) FROM ledger.checkpoint)"
            ),
            "checkpoint.signature",
        ),
        "the newest checkpoint deleted": (
            "DELETE FROM ledger.checkpoint WHERE size = (SELECT max(size) FROM ledger.checkpoint)",
            "log.unsigned",
        ),
        "an entry added by hand": (
            (
                "INSERT INTO ledger.entry (index, body, leaf_hash, kind) SELECT max(index) + 1, '{}',"
                " sha256('\\x007b7d'::bytea), 'outcome' FROM ledger.entry"
            ),
            "log.unsigned",
        ),
        "an entry filed under another submission": (
            "UPDATE ledger.entry SET submission = 'S-other' WHERE index = 8",
            "entry.column",
        ),
    }
    for what, (statement, code) in tampering.items():
        with tampered(hub) as database:
            assert database.execute(statement.encode()).rowcount == 1, what
            assert code in found(hub), what


def test_a_receipt_or_checkpoint_that_is_none_is_named(hub: Hub, receipts: list[Path]) -> None:
    head, payload, signature = receipts[-1].read_text("ascii").strip().split(".")
    forged = hub.file("forged.jwt", f"{head}.{payload}.{signature[::-1]}".encode())
    junk = hub.file("junk.txt", b"junk\n")
    assert found(hub, "--receipt", forged) == {"receipt.signature": {"1"}}
    assert found(hub, "--receipt", receipts[0], "--receipt", junk) == {"receipt.malformed": {"2"}}
    assert found(hub, "--checkpoint", junk) == {"kept.malformed": {"1"}}


def test_people_read_the_finding_too(hub: Hub, submissions: list[str]) -> None:
    assert submissions
    with tampered(hub) as database:
        at = index_of(database, "outcome")
        database.execute("DELETE FROM ledger.entry WHERE index = %s", [at])
        answer = hub.tell("log", "verify")
    assert answer.status == 1
    assert "NOT PROVED" in answer.stdout
    assert f"entry.missing at {at}" in answer.stdout
    assert "data protection officer" in answer.stderr


def covers(place: str, index: int) -> bool:
    """Tell whether a place (17 or 17-19) covers an entry."""
    first, _, last = place.partition("-")
    return int(first) <= index <= int(last or first)


def signed_size(database: psycopg.Connection, most: int) -> int:
    """The size of the newest checkpoint that is not larger than this."""
    row = database.execute("SELECT max(size)::int FROM ledger.checkpoint WHERE size <= %s", [most]).fetchone()
    assert row
    return int(row[0])


def signed_by(receipt: Path) -> int:
    """The size of the checkpoint in a receipt."""
    payload = receipt.read_text("ascii").split(".")[1]
    told = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    ((_, event),) = told["events"].items()
    return int(event["log"]["checkpoint"].splitlines()[1])
