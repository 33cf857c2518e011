"""The public log on a real PostgreSQL: tiles as they are stored, and laid out for everybody."""

import json
import multiprocessing
import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import URL, insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from hub import public_log, staging
from hub.database.models import LedgerCheckpoint
from hub.database.session import Database
from hub.errors import Corrupt, HubError, Refused
from hub.keys import KeyRing, create_keys
from hub.ledger import cosignature, store, tiles, tree
from hub.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from hub.ledger.cosignature import Taken
from hub.ledger.notes import (
    LOG,
    WITNESS,
    Signed,
    VerifierKey,
    cosignature_message,
    read_key,
    take_apart,
)
from hub.ledger.policy import weigh
from hub.ledger.tiles import Tile, of_size
from hub.office import Office
from hub.public_log import Published, known_witnesses, publish, take_cosignature
from hub.settings import Settings
from tests.faults.tracer import Mode, Tracer

GROW = """
    WITH below AS (
        SELECT index, leaf_hash AS hash FROM ledger.entry WHERE :level = 1
        UNION ALL SELECT index, hash FROM ledger.node WHERE level = :level - 1
    )
    INSERT INTO ledger.node (level, index, hash)
    SELECT :level, l.index / 2, sha256(decode('01', 'hex') || l.hash || r.hash)
    FROM below AS l JOIN below AS r ON r.index = l.index + 1 WHERE l.index % 2 = 0
    ON CONFLICT DO NOTHING
"""


def fill(database: Database, first: int, end: int) -> None:
    """Make the server itself grow the log: leaves by number, nodes by its own SHA-256."""
    with Session(database.owner) as session, session.begin():
        session.execute(
            text(
                "INSERT INTO ledger.entry (index, body, leaf_hash, kind)"
                " SELECT i, '{}', sha256(int8send(i)), 'alarm'"
                " FROM generate_series(CAST(:first AS bigint), :last) AS i"
            ),
            {"first": first, "last": end - 1},
        )
        for level in range(1, end.bit_length()):
            session.execute(text(GROW), {"level": level})


def sign(office: Office, size: int, signer: Ed25519PrivateKey | None = None) -> str:
    """Have the log sign its size, as each append does."""
    with office.database.transaction() as session:
        root = tree.root(size, store.nodes(session))
        note = sign_checkpoint(
            Checkpoint(office.settings.origin, size, root), signer or office.ring.log_signer()
        )
        session.execute(insert(LedgerCheckpoint), [{"size": size, "root": root, "note": note}])
    return note


def grow(office: Office, first: int, end: int) -> str:
    fill(office.database, first, end)
    return sign(office, end)


def naive(tile: Tile) -> bytes:
    """The hashes of a tile by its definition, from the leaves up."""
    span = 256**tile.level
    first = tile.index * 256 * span
    leaves = [sha256(i.to_bytes(8, "big")).digest() for i in range(first, first + tile.width * span)]
    hashes = []
    for at in range(0, len(leaves), span):
        level = leaves[at : at + span]
        while len(level) > 1:
            level = [sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]
        hashes += level
    return b"".join(hashes)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with Session(database.app) as opened:
        yield opened


def test_stored_nodes_are_read_as_the_tiles_of_every_size(database: Database, session: Session) -> None:
    fill(database, 0, 70_000)
    expected = {tile.path: naive(tile) for tile in of_size(70_000)}
    assert dict(tiles.of(session, 70_000)) == expected
    assert len(expected) == 277
    for size in (0, 1, 255, 256, 257, 513, 65_535, 65_536, 65_537):
        assert dict(tiles.of(session, size)) == {tile.path: naive(tile) for tile in of_size(size)}
    since = {tile.path: naive(tile) for tile in of_size(69_000, since=66_000)}
    assert dict(tiles.of(session, 69_000, since=66_000)) == since
    assert len(since) == 14


def test_a_tile_of_which_a_node_is_gone_is_not_made(database: Database, session: Session) -> None:
    fill(database, 0, 600)
    with pytest.raises(Corrupt, match=r"ledger\.node: .* tile/0/002\.p/89"):
        list(tiles.of(session, 601))
    with database.owner.begin() as connection:
        connection.execute(text("ALTER TABLE ledger.node DISABLE TRIGGER USER"))
        connection.execute(text("DELETE FROM ledger.node WHERE level = 8 AND index = 0"))
    with pytest.raises(Corrupt, match=r"tile/1/000\.p/2"):
        list(tiles.of(session, 600))


def office_of(home: Path, database: Database) -> Office:
    """As much of an office as the public log needs."""
    settings = Settings(home=home)
    return Office(settings, database, KeyRing(settings.key_folder), *cast("Any", [None] * 3))


@pytest.fixture
def office(tmp_path: Path, database: Database) -> Office:
    create_keys(tmp_path / "home" / "keys")
    return office_of(tmp_path / "home", database)


def laid_out(office: Office) -> dict[str, bytes]:
    """Everything that lies open."""
    folder = office.settings.public_log
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def assert_sound(office: Office, size: int) -> None:
    """The checkpoint that is out is the log's, and its tiles are there, whatever else is."""
    out = laid_out(office)
    opened = open_checkpoint(out["checkpoint"].decode(), office.settings.origin, office.ring.log_public())
    assert opened.size == size
    for tile in of_size(size):
        assert out[tile.path] == naive(tile)


def test_an_empty_log_lays_nothing_open(office: Office) -> None:
    assert publish(office) == Published(0, 0, new=False)
    assert not office.settings.public_log.exists()


def test_only_new_tiles_are_written_and_partial_ones_give_way_to_the_full(office: Office) -> None:
    note = grow(office, 0, 300)
    assert publish(office) == Published(300, 3, new=True)
    assert set(laid_out(office)) == {"checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"}
    assert laid_out(office)["checkpoint"].decode() == note
    assert publish(office) == Published(300, 0, new=False)
    grow(office, 300, 310)
    assert publish(office) == Published(310, 1, new=True)
    assert "tile/0/001.p/44" in laid_out(office), "kept for whoever holds the older checkpoint"
    grow(office, 310, 70_000)
    assert publish(office) == Published(70_000, 276, new=True)
    assert laid_out(office).keys() == {"checkpoint", *(tile.path for tile in of_size(70_000))}
    assert_sound(office, 70_000)


def test_what_was_damaged_on_the_disk_is_made_whole_when_asked_for(office: Office) -> None:
    grow(office, 0, 600)
    publish(office)
    whole, folder = laid_out(office), office.settings.public_log
    (folder / "tile/0/000").write_bytes(b"x" * 8192)
    shutil.rmtree(folder / "tile/1")
    assert publish(office) == Published(600, 0, new=False)
    assert publish(office, anew=True) == Published(600, 2, new=False)
    assert laid_out(office) == whole


def test_a_tile_is_read_by_its_path_and_a_narrower_one_is_cut_from_it(office: Office) -> None:
    grow(office, 0, 300)
    publish(office)
    grow(office, 300, 310)
    publish(office)
    folder = office.settings.public_log
    assert public_log.read_checkpoint(folder) == laid_out(office)["checkpoint"]
    for path in ("tile/0/000", "tile/0/001.p/44", "tile/0/001.p/54", "tile/0/001.p/50", "tile/0/000.p/7"):
        tile = tiles.parse(path)
        assert tile is not None
        assert public_log.read_tile(folder, path) == (tile, naive(tile))
    for path in (
        "tile/0/001",
        "tile/0/001.p/55",
        "tile/0/002.p/1",
        "tile/2/000.p/1",
        "checkpoint",
        "tile/0/../0/000",
    ):
        assert public_log.read_tile(folder, path) is None
    assert public_log.read_checkpoint(folder / "nowhere") is None


@pytest.mark.parametrize(
    ("more", "root", "code"), [(9, None, "ledger.cut"), (0, b"\x01" * 32, "ledger.forked")]
)
def test_a_log_that_does_not_extend_what_is_out_is_an_alarm_and_changes_nothing(
    office: Office, more: int, root: bytes | None, code: str
) -> None:
    grow(office, 0, 20)
    publish(office)
    file = office.settings.public_log / "checkpoint"
    known = open_checkpoint(file.read_text("utf-8"), office.settings.origin, office.ring.log_public())
    other = Checkpoint(known.origin, known.size + more, root or known.root)
    staging.replace(file, sign_checkpoint(other, office.ring.log_signer()).encode())
    grow(office, 20, 21)
    before = laid_out(office)
    with pytest.raises(Corrupt, match=code.replace(".", r"\.")):
        publish(office)
    assert laid_out(office) == before


def test_a_forged_checkpoint_is_not_taken_for_the_log_s_own(office: Office) -> None:
    grow(office, 0, 5)
    publish(office)
    file = office.settings.public_log / "checkpoint"
    staging.replace(file, file.read_bytes().replace(b"\n\n", b"\nmore\n\n", 1))
    grow(office, 5, 6)
    with pytest.raises(Corrupt, match=r"checkpoint\.signature"):
        publish(office)


def witness(number: int) -> tuple[VerifierKey, Ed25519PrivateKey]:
    key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return VerifierKey(f"w{number}.example", WITNESS, key.public_key().public_bytes_raw()), key


def cosigned(note: str, *numbers: int, seconds: int = 1_700_000_000) -> str:
    for number in numbers:
        key, signer = witness(number)
        signature = signer.sign(cosignature_message(take_apart(note)[0], seconds))
        note += Signed(key.name, key.key_id, seconds.to_bytes(8, "big") + signature).text
    return note


@pytest.fixture
def known(office: Office) -> None:
    """The hub knows the witnesses 1 and 2."""
    lines = [f"witness W{number} {witness(number)[0].text}" for number in (1, 2)]
    lines += ["group both all W1 W2", "quorum both", ""]
    office.settings.policy_file.write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.usefixtures("known")
def test_a_known_witness_s_cosignature_is_stored_and_laid_open_below_the_checkpoint(office: Office) -> None:
    note = grow(office, 0, 300)
    assert take_cosignature(office, cosigned(note, 2, 9)) == Taken(300, ("w2.example",), 1)
    assert laid_out(office)["checkpoint"].decode() == cosigned(note, 2), "the unknown one is left aside"
    assert take_cosignature(office, cosigned(note, 1, 2)) == Taken(300, ("w1.example", "w2.example"), 1)
    assert laid_out(office)["checkpoint"].decode() == cosigned(note, 1, 2)
    assert take_cosignature(office, cosigned(note, 1, 2)) == Taken(300, ("w1.example", "w2.example"), 0)
    assert publish(office) == Published(300, 0, new=False)
    assert weigh(replace(known_witnesses(office), logs=(log_key(office),)), cosigned(note, 1, 2)).reached
    following = grow(office, 300, 301)
    with office.database.audit() as session:
        assert cosignature.cosigned(session) == following, "nobody has cosigned that one yet"
        assert cosignature.newest_cosigned(session) == 300
        assert cosignature.cosigned(session, 300) == cosigned(note, 1, 2)
        with pytest.raises(Refused, match=r"ledger\.checkpoint_size"):
            cosignature.cosigned(session, 299)


def log_key(office: Office) -> VerifierKey:
    return read_key(office.ring.verifier_key(office.settings.origin), LOG)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("hand_in", "code"),
    [
        (lambda note: cosigned(note, 9), "cosignature.unknown"),
        (lambda note: note, "cosignature.unknown"),
        (lambda note: cosigned(note, 1, seconds=0), "cosignature.signature"),
        (lambda note: cosigned(note, 1).replace(note, f"{note}— w1.example ", 1), "cosignature.malformed"),
        (lambda note: cosigned(note, 1).replace("\n20\n", "\n19\n"), "cosignature.checkpoint"),
        (lambda note: cosigned(note, 1).replace("hub", "bus"), "cosignature.checkpoint"),
        (lambda note: cosigned(note, 1).rpartition("\n\n")[2], "cosignature.malformed"),
        (lambda note: note[:0], "cosignature.malformed"),
    ],
)
def test_what_no_known_witness_signed_is_not_stored(
    office: Office, hand_in: Callable[[str], str], code: str
) -> None:
    note = grow(office, 0, 20)
    with pytest.raises(Refused, match=code.replace(".", r"\.")):
        take_cosignature(office, hand_in(note))
    with office.database.audit() as session:
        assert cosignature.newest_cosigned(session) is None


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("size", "root", "code"),
    [(20, b"x" * 32, "ledger.forked"), (19, b"x" * 32, "ledger.forked"), (21, b"x" * 32, "ledger.cut")],
)
def test_a_witness_who_saw_another_log_under_our_key_raises_an_alarm(
    office: Office, size: int, root: bytes, code: str
) -> None:
    """So an old backup that was restored is noticed by the first witness who comes with what it saw."""
    grow(office, 0, 20)
    seen = sign_checkpoint(Checkpoint(office.settings.origin, size, root), office.ring.log_signer())
    with pytest.raises(Corrupt, match=code.replace(".", r"\.")):
        take_cosignature(office, cosigned(seen, 1))


def test_a_hub_without_a_policy_knows_nobody(office: Office) -> None:
    note = grow(office, 0, 5)
    with pytest.raises(Refused, match=r"cosignature\.unknown: .* \(none\)"):
        take_cosignature(office, cosigned(note, 1))
    office.settings.policy_file.write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(Refused, match=r"policy\.malformed"):
        take_cosignature(office, cosigned(note, 1))


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    "attempt", ["UPDATE ledger.cosignature SET line = ''", "DELETE FROM ledger.cosignature"]
)
def test_a_cosignature_stands_even_for_the_owner(office: Office, attempt: str) -> None:
    take_cosignature(office, cosigned(grow(office, 0, 5), 1))
    with pytest.raises(DBAPIError, match="cosignature_stands"), office.database.owner.begin() as connection:
        connection.execute(text(attempt))


def _publish_dying(urls: dict[str, URL], home: Path, mode: Mode, at: int, log: Path) -> int:
    """Publish in a process of its own that dies, or is told of a failure, at one of its writes."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    tracer, status = Tracer(home / "public-log", mode, at, log), 0
    tracer.install()
    try:
        publish(office_of(home, Database(urls)))
    except HubError:
        status = 1
    tracer.save()
    os._exit(status)


def _die_everywhere(urls: dict[str, URL], home: Path, log: Path) -> None:
    """Die at each write in turn, look at what is out, and publish again; the log grows from 250 to 260.

    It runs in a process without threads, from which others may be forked.
    """
    database = Database(urls)
    office, public, before = office_of(home, database), home / "public-log", home.parent / "before"
    try:
        shutil.copytree(public, before)
        assert _publish_dying(urls, home, "trace", 0, log) == 0
        found, whole = json.loads(log.read_text("utf-8")), laid_out(office)
        modes: dict[Mode, int] = {"before": -signal.SIGKILL, "failed": 1}
        sizes = set()
        for (mode, status), at in product(modes.items(), range(1, len(found["points"]) + 1)):
            shutil.rmtree(public)
            shutil.copytree(before, public)
            assert _publish_dying(urls, home, mode, at, log) in {status, 0}, found["points"][at - 1]
            sizes.add(assert_readable(office))
            publish(office)
            assert laid_out(office) == whole, (mode, at, found["points"][at - 1])
        said = json.dumps(found | {"sizes": sorted(sizes)})
    except BaseException:  # noqa: BLE001 -- told to the test, which is another process
        said = json.dumps({"error": traceback.format_exc()})
    finally:
        database.close()
    log.write_text(said, encoding="utf-8")


def test_killed_at_any_write_what_is_out_stays_sound_and_the_next_publishing_ends_it(
    office: Office, database_urls: dict[str, URL], tmp_path: Path
) -> None:
    log = tmp_path / "trace.json"
    grow(office, 0, 250)
    publish(office)
    grow(office, 250, 260)  # a full tile in the place of partial ones, and a new level
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.integration.test_public_log"])
    process = context.Process(target=_die_everywhere, args=(database_urls, office.settings.root, log))
    process.start()
    process.join(180)
    found = json.loads(log.read_text("utf-8"))
    assert "error" not in found, found["error"]
    assert (found["gaps"], found["sizes"]) == ([], [250, 260])
    assert len(found["points"]) > 30
    assert any(point.startswith("rmdir") for point in found["points"])


def assert_readable(office: Office) -> int:
    """Whatever checkpoint is out, its tiles can be read; gives its size."""
    folder = office.settings.public_log
    note = public_log.read_checkpoint(folder)
    assert note is not None
    size = open_checkpoint(note.decode(), office.settings.origin, office.ring.log_public()).size
    for tile in of_size(size):
        assert public_log.read_tile(folder, tile.path) == (tile, naive(tile))
    return size
