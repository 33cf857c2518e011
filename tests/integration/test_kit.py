"""Kits of a real log: proved where nobody touched them, and every damage named."""

import hashlib
import json
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import URL, text

from benchmarks.synthetic_log import Telling
from hub.database.session import Database
from hub.errors import Refused
from hub.kit.export import Period
from hub.kit.verifier.checking import Brought, check
from hub.ledger.entry import Actor, Entry, Span
from hub.ledger.store import Recorded
from tests.integration import kits
from tests.integration.conftest import Passwords, a_database
from tests.integration.kits import OTHER, changed, flip, line, members, trust

SIZE = 700
ENTRIES, NOTES, CSV = "entries.tsv", "checkpoints.jsonl", "tables/entries.csv"
Told = dict[str, Any]


@pytest.fixture(scope="module")
def module_database(server: URL, passwords: Passwords, template: str) -> Iterator[Database]:
    """A database for all tests that only read it."""
    with a_database(server, passwords, template) as urls:
        found = Database(urls)
        yield found
        found.close()


@pytest.fixture(scope="module")
def logged(module_database: Database) -> list[Recorded]:
    return kits.fill(module_database, SIZE)


@pytest.fixture(scope="module")
def kit(module_database: Database, logged: list[Recorded], tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert len(logged) == SIZE
    return kits.make_kit(module_database, tmp_path_factory.mktemp("kit") / "kit.zip").file


def verified(kit: Path, trusted: str | None = None, **brought: Any) -> Told:
    return check(kit, Brought(trust() if trusted is None else trusted, **brought)).told


def found(told: Told) -> set[tuple[str, str]]:
    assert told["ok"] == (not told["findings"])
    return {(finding["code"], finding["place"]) for finding in told["findings"]}


def test_an_untouched_kit_is_proved_and_counts_what_was_logged(kit: Path) -> None:
    told = verified(kit, all_signatures=True)
    assert (told["ok"], told["size"], told["entries"], told["first"], told["last"]) == (
        True,
        SIZE,
        SIZE,
        0,
        699,
    )
    assert told["signatures"] == {"checked": 100, "of": 100}
    assert {code["code"] for code in told["notes"]} == {"note.no_witness", "note.parquet"}
    for sums in told["counts"].values():
        fates = ("delivered", "already_delivered", "refused", "withheld", "quarantined")
        assert sums["received"] == sum(sums[fate] for fate in fates) > 0


def test_the_program_in_the_kit_says_the_same_as_its_parts(kit: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(kit) as file:
        file.extract("pruefen.py", tmp_path)
    (tmp_path / "trust.txt").write_text(trust(), encoding="utf-8")
    words = ["--json", "--trust", str(tmp_path / "trust.txt"), str(kit)]
    done = subprocess.run(
        [sys.executable, "-I", "-S", tmp_path / "pruefen.py", *words],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == verified(kit)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "pruefen.py", tmp_path / "trust.txt"], "it wrote nothing"


def test_an_unpacked_kit_is_verified_alike(kit: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(kit) as file:
        file.extractall(tmp_path / "kit")
    assert verified(tmp_path / "kit") == verified(kit)
    (tmp_path / "kit" / "tables" / "more.csv").symlink_to("/etc/passwd")
    assert found(verified(tmp_path / "kit")) == {("kit.link", "tables/more.csv")}


def swapped(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    one, other = lines[20].partition(b"\t"), lines[21].partition(b"\t")
    lines[20], lines[21] = one[0] + b"\t" + other[2], other[0] + b"\t" + one[2]
    return b"".join(lines)


def later(body: bytes) -> bytes:
    return body.replace(b'"time":"2025', b'"time":"2024')


def moved(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([*lines[:10], lines[12], lines[11], lines[10], *lines[13:]])


def another_sign(note: bytes) -> bytes:
    """Change one sign of the last signature for another of base64."""
    return note[:-20] + (b"B" if note[-20:-19] == b"A" else b"A") + note[-19:]


DAMAGE: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "an entry back-dated": ({ENTRIES: line(30, later)}, {("entry.hash", "30")}),
    "an entry without its LF": ({ENTRIES: lambda text: text[:-1]}, {("kit.line", "entries.tsv:700")}),
    "an entry taken out": ({ENTRIES: line(40, lambda _: None)}, {("entry.missing", "40")}),
    "an entry twice": ({ENTRIES: line(40, lambda one: one + one)}, {("entry.order", "40")}),
    "the end cut": (
        {ENTRIES: lambda text: b"".join(text.splitlines(keepends=True)[:650])},
        {("entry.missing", "650-699")},
    ),
    "two bodies swapped": ({ENTRIES: swapped}, {("entry.hash", "20"), ("entry.hash", "21")}),
    "lines in another order": ({ENTRIES: moved}, {("entry.order", "11"), ("entry.order", "10")}),
    "a body erased by nobody": (
        {ENTRIES: line(40, lambda one: one.partition(b"\t")[0] + b"\t\n")},
        {("entry.erased", "40")},
    ),
    "a body spelled otherwise": (
        {ENTRIES: line(9, lambda one: one.replace(b'{"actor":', b'{ "actor":'))},
        {("entry.canonical", "9"), ("entry.hash", "9")},
    ),
    "a body that is no UTF-8": (
        {ENTRIES: line(9, lambda one: one[:-4] + b"\xff" + one[-3:])},
        {("entry.canonical", "9"), ("entry.hash", "9")},
    ),
    "a line of binary": ({ENTRIES: line(9, lambda _: b"\x00\x01\n")}, {("kit.line", "entries.tsv:10")}),
    "a line without end": (
        {ENTRIES: line(9, lambda _: b"9\t" + b"x" * 3_000_000 + b"\n")},
        {("kit.line", "entries.tsv:10"), ("entry.missing", "9")},
    ),
    "a leaf in a tile": ({"tile/0/000": flip(5 * 32)}, {("node.hash", "5")}),
    "a leaf in the last tile": ({"tile/0/002.p/188": flip(-1)}, {("node.hash", "699")}),
    "a node above": ({"tile/1/000.p/2": flip(3)}, {("node.hash", "0-255")}),
    "a tile taken out": ({"tile/0/001": None}, {("node.missing", "256-511")}),
    "a tile too short": ({"tile/0/001": lambda hashes: hashes[:-32]}, {("node.missing", "256-511")}),
    "a tile of another tree": ({"tile/0/003": b"\0" * 8192}, {("kit.unexpected", "tile/0/003")}),
    "the newest signature": ({"checkpoint": another_sign}, {("checkpoint.signature", "700")}),
    "no checkpoint": ({"checkpoint": b"\n"}, {("checkpoint.malformed", "checkpoint")}),
    "a stored checkpoint taken for another": (
        {NOTES: line(3, lambda one: one.replace(b'{"size":28', b'{"size":27'))},
        {("checkpoint.columns", "27")},
    ),
    "stored checkpoints in another order": (
        {NOTES: line(3, lambda one: one + one)},
        {("checkpoint.order", "28")},
    ),
    "a stored checkpoint that is none": ({NOTES: line(3, lambda _: b"[]\n")}, {("kit.line", f"{NOTES}:4")}),
    "a stored checkpoint over another root": (
        {
            NOTES: line(
                3,
                lambda _: (
                    json.dumps({"size": 28, "note": kits.checkpoint(28, hashlib.sha256(b"x").digest())})
                    + "\n"
                ).encode(),
            )
        },
        {("checkpoint.root", "21-27")},
    ),
    "the manifest": ({"manifest.json": b"{"}, {("kit.manifest", "manifest.json")}),
    "the manifest's size": (
        {"manifest.json": lambda text: text.replace(b'"size": 700', b'"size": 701')},
        {("kit.manifest", "size")},
    ),
    "the manifest's origin": (
        {"manifest.json": lambda text: text.replace(b"hub.example", b"hub.another")},
        {("kit.manifest", "origin")},
    ),
    "a cell of the table": ({CSV: line(51, lambda row: row.replace(b'"', b"'"))}, {("kit.table", "50")}),
    "a row of the table": ({CSV: line(51, lambda _: None)}, {("kit.table", "50")}),
    "a row too many": ({CSV: lambda rows: rows + rows[-200:]}, {("kit.table", "700")}),
    "the heading of the table": ({CSV: line(0, lambda row: row.upper())}, {("kit.table", "0")}),
    "no table": ({CSV: None}, {("kit.missing", CSV)}),
    "no entries": ({ENTRIES: None}, {("kit.missing", ENTRIES), ("entry.missing", "0-699")}),
    "no checkpoints": ({NOTES: None}, {("kit.missing", NOTES)}),
    "a way out": ({"../../etc/cron.d/x": b"x"}, {("kit.path", "../../etc/cron.d/x")}),
    "a name from another system": ({"C:\\x": b"x"}, {("kit.path", "C:\\\\x")}),
    "a member more": ({"readme.doc": b"x"}, {("kit.unexpected", "readme.doc")}),
    "a bomb": ({"retention.tsv": b"0" * 30_000_000}, {("kit.bomb", "retention.tsv")}),
    "a manifest without end": ({"manifest.json": b" " * 70_000}, {("kit.bomb", "manifest.json")}),
    "text that is none": ({"manifest.json": b"\xff\xfe"}, {("kit.text", "manifest.json")}),
    "an explanation of another kind": (
        {"retention.tsv": b'3\t{"kind":"alarm"}\n'},
        {("kit.line", "retention.tsv:1")},
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_done_to_a_kit_is_named_with_its_place(kit: Path, tmp_path: Path, damage: str) -> None:
    changes, expected = DAMAGE[damage]
    told = verified(changed(kit, tmp_path / "damaged.zip", changes))
    assert expected <= found(told)
    assert not told["ok"]
    assert "kit.defect" not in {code for code, _ in found(told)}


@pytest.mark.parametrize("at", range(1, 16))
def test_no_flipped_byte_of_the_file_goes_unnoticed_or_ends_in_a_traceback(
    kit: Path, tmp_path: Path, at: int
) -> None:
    content = bytearray(kit.read_bytes())
    with zipfile.ZipFile(kit) as file:
        evidence = [
            info for info in file.infolist() if info.filename.startswith(("tile", "ent", "check", "man"))
        ]
        one = evidence[at % len(evidence)]
    names = content[one.header_offset + 26 : one.header_offset + 30]  # lengths of name and extra field
    begin = one.header_offset + 30 + int.from_bytes(names[:2], "little") + int.from_bytes(names[2:], "little")
    place = begin + (at * 7919) % max(1, one.compress_size)
    content[place] ^= 1 << at % 8
    damaged = tmp_path / "flipped.zip"
    damaged.write_bytes(content)
    told = verified(damaged)
    assert not told["ok"]
    assert "kit.defect" not in {code for code, _ in found(told)}


def test_an_archive_with_hostile_members_is_read_around_them(kit: Path, tmp_path: Path) -> None:
    twice = [*members(kit).items(), ("manifest.json", b"{}")]
    with pytest.warns(UserWarning, match="Duplicate"):
        assert ("kit.twice", "manifest.json") in found(verified(kits.packed(tmp_path / "twice.zip", twice)))
    link = zipfile.ZipInfo("tables/more.csv")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    linked = Path(shutil.copy(kit, tmp_path / "linked.zip"))
    with zipfile.ZipFile(linked, "a") as file:
        file.writestr(link, "/etc/passwd")
    assert found(verified(linked)) == {("kit.link", "tables/more.csv")}
    for name, content in (("none.zip", b""), ("text.zip", b"PK\x03\x04 no archive")):
        (tmp_path / name).write_bytes(content)
        assert found(verified(tmp_path / name)) == {("kit.unreadable", name)}


def test_a_kit_wholly_signed_anew_fails_against_the_trust_file(database: Database, tmp_path: Path) -> None:
    kits.fill(database, 40, signer=OTHER)
    forged = kits.make_kit(database, tmp_path / "forged.zip").file
    assert verified(forged, trust(OTHER))["ok"], "in itself it is whole"
    assert {("checkpoint.signature", "40")} <= found(verified(forged))


def test_without_a_trust_file_nothing_is_called_proved(kit: Path) -> None:
    told = check(kit, Brought()).told
    assert found(told) == {("trust.missing", "")}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["nonsense"], {("trust.malformed", "1"), ("trust.no_log", "")}),
        (["log hub.example/log+00000000+AAAA"], {("trust.malformed", "1"), ("trust.no_log", "")}),
        (
            [trust().replace("hub.example/log", "hub.another/log")],
            {("trust.malformed", "2"), ("trust.no_log", "")},
        ),
        ([trust(), "quorum nobody"], {("trust.malformed", "5")}),
        ([trust(), *kits.policy(2)[:-1]], {("trust.malformed", "8")}),
    ],
)
def test_a_trust_file_that_cannot_be_read_is_told_by_line(
    kit: Path, lines: list[str], expected: set[tuple[str, str]]
) -> None:
    assert expected <= found(verified(kit, "\n".join(lines)))


def with_cosignatures(kit: Path, target: Path, at: int, names: list[str]) -> Path:
    """Let witnesses cosign the stored checkpoint in a line."""

    def done(row: bytes) -> bytes:
        stored = json.loads(row)
        for name in names:
            stored["note"] = kits.cosign(stored["note"], name)
        return json.dumps(stored).encode() + b"\n"

    return changed(kit, target, {NOTES: line(at, done)})


def test_a_quorum_of_witnesses_is_asked_for_and_counted(kit: Path, tmp_path: Path) -> None:
    asked = trust(kits.SIGNER, *kits.policy(2))
    assert found(verified(kit, asked)) == {("trust.quorum", "witnesses")}
    one = with_cosignatures(kit, tmp_path / "one.zip", 98, ["witness-1"])
    assert found(verified(one, asked)) == {("trust.quorum", "witnesses")}
    two = with_cosignatures(kit, tmp_path / "two.zip", 98, ["witness-1", "witness-3"])
    told = verified(two, asked)
    assert told["ok"]
    assert [(w["name"], w["cosigned"], w["size"]) for w in told["witnesses"]] == [
        ("witness-1", True, 693),
        ("witness-2", False, None),
        ("witness-3", True, 693),
    ]
    assert ("note.unwitnessed", "693-699") in {(note["code"], note["place"]) for note in told["notes"]}


def test_a_false_cosignature_is_named_and_does_not_count(kit: Path, tmp_path: Path) -> None:
    lying = with_cosignatures(kit, tmp_path / "lying.zip", 99, ["witness-1", "witness-2"])

    def spoil(row: bytes) -> bytes:
        stored = json.loads(row)
        head, _, last = stored["note"][:-1].rpartition(" ")
        stored["note"] = f"{head} {last[:40]}{'A' if last[40] != 'A' else 'B'}{last[41:]}\n"
        return json.dumps(stored).encode() + b"\n"

    spoiled = changed(lying, tmp_path / "spoiled.zip", {NOTES: line(99, spoil)})
    assert found(verified(spoiled, trust(kits.SIGNER, *kits.policy(2)))) == {
        ("witness.signature", "witness-2, 700"),
        ("trust.quorum", "witnesses"),
    }


def test_receipts_are_in_the_log_or_not(kit: Path, logged: list[Recorded]) -> None:
    note = members(kit)["checkpoint"].decode()
    entries = [json.loads(row.partition(b"\t")[2]) for row in members(kit)[ENTRIES].splitlines()]
    place = next(at for at, entry in enumerate(entries) if entry["kind"] == "submission")
    token = kits.receipt(logged[place], entries[place]["submission"], note)
    elsewhere = kits.receipt(Recorded(place, b"x" * 32), entries[place]["submission"], note)
    foreign = kits.receipt(logged[place], "S-000009999", note)
    beyond = kits.receipt(Recorded(900, b"x" * 32), "S-1", kits.checkpoint(901, b"y" * 32))
    forked = kits.receipt(logged[place], entries[place]["submission"], kits.checkpoint(500, b"z" * 32))
    tokens = [token, elsewhere, foreign, beyond, forked, token[:-5] + "AAAAA", "nothing"]
    told = verified(kit, receipts=tuple((f"{n}.jwt", one.encode()) for n, one in enumerate(tokens, 1)))
    assert [receipt["in"] for receipt in told["receipts"]] == [True, False, False, False, True, False, False]
    assert found(told) == {
        ("receipt.leaf", "2"),
        ("receipt.submission", "3"),
        ("receipt.missing", "4"),
        ("log.cut", "700-900"),
        ("log.forked", "receipt 5, size 500"),
        ("receipt.signature", "6"),
        ("receipt.malformed", "7"),
    }


def test_checkpoints_kept_elsewhere_show_a_cut_and_a_fork(kit: Path) -> None:
    stored = [json.loads(row) for row in members(kit)[NOTES].splitlines()]
    kept = tuple(stored[at]["note"].encode() for at in (0, 40, 99))
    assert verified(kit, kept=kept)["ok"]
    other = kits.checkpoint(28, b"x" * 32).encode()
    longer = kits.checkpoint(777, b"x" * 32).encode()
    foreign = kits.checkpoint(28, b"x" * 32, OTHER).encode()
    assert found(verified(kit, kept=(other, longer, foreign, b"?"))) == {
        ("log.forked", "kept checkpoint 1, size 28"),
        ("log.cut", "700-776"),
        ("kept.signature", "3"),
        ("kept.malformed", "4"),
    }
    root = stored[40]["note"].split("\n")[2]
    assert verified(kit, trust(kits.SIGNER, f"kept {stored[40]['size']} {root}"))["ok"]
    assert found(verified(kit, trust(kits.SIGNER, f"kept {stored[41]['size']} {root}"))) == {
        ("log.forked", f"trust file, size {stored[41]['size']}")
    }


def test_a_sample_is_the_same_for_everybody(kit: Path) -> None:
    text = members(kit)["checkpoint"].decode().rpartition("\n\n")[0] + "\n"
    seed = hashlib.sha256(b"hub-sample-v1\n" + text.encode()).digest()
    drawn: list[int] = []
    j = 0
    while len(drawn) < 25:
        index = int.from_bytes(hashlib.sha256(seed + j.to_bytes(8, "big")).digest()[:8], "big") % SIZE
        drawn += [] if index in drawn else [index]
        j += 1
    assert verified(kit, sample=25)["sample"] == drawn
    assert sorted(verified(kit, sample=SIZE + 5)["sample"]) == list(range(SIZE))


def test_a_period_is_proved_within_the_whole_tree(database: Database, tmp_path: Path) -> None:
    kits.fill(database, 300)
    backdate(database, 100, datetime(2025, 3, 4, 22, 59, tzinfo=UTC))
    backdate(database, 200, datetime(2025, 3, 4, 23, 1, tzinfo=UTC), first=100)
    days = Period(date(2025, 3, 5), date(2025, 3, 5))  # begins at 23 o'clock of the day before, in UTC
    made = kits.make_kit(database, tmp_path / "day.zip", days)
    assert (made.first, made.last, made.size) == (100, 199, 300)
    told = verified(made.file)
    assert (told["ok"], told["entries"]) == (True, 100)
    assert ("note.outside", "200") in {(note["code"], note["place"]) for note in told["notes"]}
    with pytest.raises(Refused) as caught:
        kits.make_kit(database, tmp_path / "none.zip", Period(last=date(2020, 1, 1)))
    assert caught.value.code == "kit.period"
    assert [path.name for path in tmp_path.iterdir()] == ["day.zip"]


def backdate(database: Database, end: int, at: datetime, first: int = 0) -> None:
    with database.owner.begin() as connection:
        connection.execute(text("ALTER TABLE ledger.entry DISABLE TRIGGER USER"))
        connection.execute(
            text("UPDATE ledger.entry SET recorded_at = :at WHERE index >= :first AND index < :end"),
            {"at": at, "first": first, "end": end},
        )
        connection.execute(text("ALTER TABLE ledger.entry ENABLE TRIGGER USER"))


def test_erased_bodies_need_a_later_entry_that_explains_them(database: Database, tmp_path: Path) -> None:
    kits.fill(database, 60)
    told = Entry(
        kind="retention",
        time=datetime(2027, 1, 1, tzinfo=UTC),
        actor=Actor(role="hub", id="retention"),
        reason="ended",
        counts={"submission": 4, "receipt": 6},
        span=Span(first=10, last=19),
    )
    kits.log(database, [told])
    whole = kits.make_kit(database, tmp_path / "whole.zip").file

    def erase(*indexes: int) -> Callable[[bytes], bytes]:
        def done(content: bytes) -> bytes:
            lines = content.splitlines(keepends=True)
            for index in indexes:
                lines[index] = b"%d\t\n" % index
            return b"".join(lines)

        return done

    def rows(*indexes: int) -> Callable[[bytes], bytes]:
        return lambda content: b"".join(
            row for at, row in enumerate(content.splitlines(keepends=True), -1) if at not in indexes
        )

    span = tuple(range(10, 20))
    erased = changed(whole, tmp_path / "erased.zip", {ENTRIES: erase(*span), CSV: rows(*span)})
    result = verified(erased)
    assert (result["ok"], result["erased"], result["entries"]) == (True, 10, 51)
    assert ("note.erased", "10-19") in {(note["code"], note["place"]) for note in result["notes"]}
    more = changed(whole, tmp_path / "more.zip", {ENTRIES: erase(*span, 20, 21), CSV: rows(*span, 20, 21)})
    assert ("entry.erased", "20-21") in found(verified(more))
    fewer = changed(whole, tmp_path / "fewer.zip", {ENTRIES: erase(*span[1:]), CSV: rows(*span[1:])})
    assert ("retention.counts", "60") in found(verified(fewer))


def story(*changes: Callable[[list[Entry]], list[Entry]]) -> list[Entry]:
    told = Telling(5)
    entries = next(one for number in range(1, 50) if len(one := told.story(number)) == 6)
    for change in changes:
        entries = change(entries)
    return entries


def without(kind: str, at: int = 0) -> Callable[[list[Entry]], list[Entry]]:
    def done(entries: list[Entry]) -> list[Entry]:
        places = [place for place, entry in enumerate(entries) if entry.kind == kind]
        return [entry for place, entry in enumerate(entries) if place != places[at]]

    return done


def with_counts(kind: str, **counts: int) -> Callable[[list[Entry]], list[Entry]]:
    def done(entries: list[Entry]) -> list[Entry]:
        return [
            one.model_copy(update={"counts": {**(one.counts or {}), **counts}}) if one.kind == kind else one
            for one in entries
        ]

    return done


def a_week_later(entries: list[Entry]) -> list[Entry]:
    at = entries[-1].time + timedelta(days=8)
    return [*entries, Entry(kind="log_read", time=at, actor=Actor(role="hub", id="x"), reason="entries")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), set()),
        (
            (without("submission"),),
            {("complete.submission_missing", "1"), ("complete.submission_missing", "2")},
        ),
        ((without("receipt"),), {("complete.receipt_missing", "0")}),
        ((without("receipt", 1),), {("complete.receipt_missing", "3")}),
        ((without("intent"),), {("complete.intent_missing", "2")}),
        (
            (without("outcome"), a_week_later),
            {("complete.intent_open", "2"), ("complete.submission_open", "0")},
        ),
        ((with_counts("outcome", received=999),), {("complete.counts", "3")}),
        ((with_counts("intent", received=999),), {("complete.counts", "2")}),
        ((with_counts("intent", delivered=10_000),), {("commitment.rows", "2"), ("complete.counts", "2")}),
    ],
)
def test_a_log_that_does_not_tell_a_story_to_its_end_is_not_complete(
    database: Database, tmp_path: Path, changes: tuple[Any, ...], expected: set[tuple[str, str]]
) -> None:
    kits.log(database, story(*changes))
    assert expected <= found(verified(kits.make_kit(database, tmp_path / "kit.zip").file))
    assert bool(expected) is bool(found(verified(tmp_path / "kit.zip")))


def test_what_is_open_at_the_end_is_a_note_only(database: Database, tmp_path: Path) -> None:
    kits.log(database, story(without("outcome"), without("receipt", 1), without("collected")))
    told = verified(kits.make_kit(database, tmp_path / "kit.zip").file)
    assert told["ok"]
    assert {("note.open", "0"), ("note.intent_open", "2")} <= {(n["code"], n["place"]) for n in told["notes"]}


def test_the_tables_are_the_entries_in_columns(kit: Path, tmp_path: Path) -> None:
    content = members(kit)
    (tmp_path / "entries.parquet").write_bytes(content["tables/entries.parquet"])
    frame = pl.read_parquet(tmp_path / "entries.parquet")
    entries = [json.loads(row.partition(b"\t")[2]) for row in content[ENTRIES].splitlines()]
    assert frame["index"].to_list() == list(range(SIZE))
    assert frame["kind"].to_list() == [entry["kind"] for entry in entries]
    assert frame["received"].to_list() == [entry.get("counts", {}).get("received") for entry in entries]
    times = [datetime.fromisoformat(entry["time"]) for entry in entries]
    assert frame["time"].to_list() == times
    assert frame["parcel_name"].to_list() == [entry.get("parcel", {}).get("name") for entry in entries]


def test_an_export_leaves_nothing_beside_the_kit_and_writes_over_none(
    database: Database, tmp_path: Path
) -> None:
    kits.fill(database, 10)
    kits.make_kit(database, tmp_path / "kit.zip")
    assert stat.S_IMODE((tmp_path / "kit.zip").stat().st_mode) == 0o600
    with pytest.raises(Refused) as caught:
        kits.make_kit(database, tmp_path / "kit.zip")
    assert caught.value.code == "kit.exists"
    assert [path.name for path in tmp_path.iterdir()] == ["kit.zip"]
