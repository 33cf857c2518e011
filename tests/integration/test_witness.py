"""A witness against real HTTP servers: it signs what only grows, and names what contradicts it."""

import contextlib
import json
import re
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from connectors import log_source
from hub import disk, witness_state
from hub.cli.program import app
from hub.errors import HubError, Transient
from hub.ledger import tree
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint, verifier_key
from hub.ledger.notes import LOG, WITNESS, cosigned_at, read_checkpoint, read_key
from hub.ledger.policy import read_policy, weigh
from hub.ledger.tiles import of_size
from hub.witness import SENTENCES

ORIGIN, NAME = "hub.example/log", "jobcenter.example/witness"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = verifier_key(ORIGIN, SIGNER.public_key())


class Log:
    """A log of numbered leaves, laid out as the hub lays its own out, perhaps rewritten from one on."""

    def __init__(self, size: int, rewritten_from: int | None = None) -> None:
        salted = [n if rewritten_from is None or n < rewritten_from else -n for n in range(size)]
        leaves = b"".join(sha256(str(n).encode()).digest() for n in salted)
        self.size = size
        self.layers = {layer.level: layer.hashes for layer in tree.grow(0, leaves, lambda *_place: b"")}

    def node(self, level: int, index: int) -> bytes:
        return self.layers[level][index * 32 : index * 32 + 32]

    def note(self, size: int | None = None, signer: Ed25519PrivateKey = SIGNER) -> str:
        size = self.size if size is None else size
        return sign_checkpoint(Checkpoint(ORIGIN, size, tree.root(size, self.node)), signer)

    def tiles(self, folder: Path) -> None:
        for tile in of_size(self.size):
            file = folder / tile.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.layers[8 * tile.level][tile.index * 8192 :][: tile.width * 32])

    def lay_out(self, folder: Path, *, afresh: bool = False) -> None:
        if afresh:
            shutil.rmtree(folder)
        self.tiles(folder)
        (folder / "checkpoint").write_text(self.note(), encoding="utf-8")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_said: Any) -> None:
        """The test's output is not the place."""


@contextlib.contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/log/public"
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Post:
    """A witness's post: its folder, and where it looks."""

    where: str
    folder: Path
    out: Path = field(init=False)

    def __post_init__(self) -> None:
        self.out = self.folder.parent / f"{self.folder.name}.cosigned"

    def look(self, *more: object) -> tuple[int, dict[str, Any]]:
        """Run ``hub log witness --json`` where there is no hub."""
        given = ["--log", self.where, "--state", str(self.folder), "--out", str(self.out)]
        first = [] if (self.folder / "witness.vkey").exists() else ["--log-key", KEY, "--name", NAME]
        return tell(*given, *first, *more, "--json")

    def checkpoint(self) -> bytes:
        return (self.folder / "checkpoint").read_bytes()

    def alarmed(self, code: str, *more: object) -> Path:
        """Look, expect this alarm in both languages and nothing cosigned; gives the folder of evidence."""
        before = (self.checkpoint(), self.out.read_bytes())
        status, answer = self.look(*more)
        assert (status, answer["error"]["code"]) == (1, code)
        for sentence in SENTENCES[code]:
            pattern = re.sub(r"\\{(new|old)\\}", r"\\d+", re.escape(sentence))
            assert re.search(pattern, answer["error"]["message"])
        assert (self.checkpoint(), self.out.read_bytes()) == before, "nothing is cosigned"
        (evidence,) = (self.folder / "evidence").glob(f"{code}-*")
        assert str(evidence) in answer["error"]["remedy"]
        assert (evidence / "cosigned").read_bytes() == before[0]
        assert answer["error"]["message"].split(" / ")[0] in (evidence / "finding.txt").read_text("utf-8")
        return evidence


def tell(*words: object) -> tuple[int, dict[str, Any]]:
    said = CliRunner().invoke(
        app, ["log", "witness", *map(str, words)], env={"HUB_HOME": "no such hub"}, catch_exceptions=False
    )
    return said.exit_code, json.loads(said.stdout) if said.stdout.startswith("{") else {"text": said.output}


@pytest.fixture
def public(tmp_path: Path) -> Path:
    folder = tmp_path / "www" / "log" / "public"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def post(public: Path, tmp_path: Path) -> Iterator[Post]:
    handler = partial(Quiet, directory=str(public.parents[1]))
    with serving(handler) as where:
        yield Post(where, tmp_path / "witness")


def cosigner(post: Post) -> str:
    return (post.folder / "witness.vkey").read_text("utf-8").strip()


def test_a_new_witness_makes_its_key_and_cosigns_what_it_has_computed(post: Post, public: Path) -> None:
    Log(300).lay_out(public)
    began = int(time.time())
    status, answer = post.look()
    assert (status, answer["outcome"], answer["size"]) == (0, "cosigned", 300)
    assert answer["root"] == tree.root(300, Log(300).node).hex()
    assert stat.S_IMODE((post.folder / "key.pem").stat().st_mode) == 0o600
    assert answer["note"].encode() == post.out.read_bytes() == post.checkpoint()
    key = read_key(answer["witness"], WITNESS)
    assert (key.name, key.text) == (NAME, cosigner(post))
    assert began <= (cosigned_at(answer["note"], key) or 0) <= time.time()
    assert read_checkpoint(answer["note"], read_key(KEY, LOG)).size == 300
    asked = read_policy(f"log {KEY}\nwitness w {key.text}\nquorum w\n".encode())
    assert weigh(asked, answer["note"]).reached
    assert not Path("no such hub").exists()


def test_it_cosigns_each_growth_from_nothing_on_and_the_same_size_once(post: Post, public: Path) -> None:
    for size in (0, 1, 2, 3, 255, 256, 257, 600, 65_536, 70_000):
        Log(size).lay_out(public)
        assert post.look()[1]["outcome"] == "cosigned"
        cosigned = post.checkpoint()
        status, again = post.look()
        assert (status, again["outcome"], again["size"]) == (0, "known", size)
        assert post.checkpoint() == cosigned == again["note"].encode()


def test_a_folder_serves_as_well_as_a_web_address(public: Path, tmp_path: Path) -> None:
    Log(40).lay_out(public)
    assert Post(str(public), tmp_path / "w").look()[1]["outcome"] == "cosigned"


def test_two_logs_of_one_size_under_one_key_are_a_split_view(post: Post, public: Path) -> None:
    Log(500).lay_out(public)
    post.look()
    other = Log(500, rewritten_from=400)
    other.lay_out(public)
    evidence = post.alarmed("witness.split")
    assert (evidence / "served").read_text("utf-8") == other.note()
    notes = [(evidence / name).read_text("utf-8") for name in ("cosigned", "served")]
    promises = [read_checkpoint(note, read_key(KEY, LOG)) for note in notes]
    assert promises[0].size == promises[1].size
    assert promises[0].root != promises[1].root, "the two notes alone prove it to anybody"
    post.alarmed("witness.split")
    Log(600).lay_out(public)
    assert post.look()[1]["outcome"] == "cosigned", "what extends the honest log is signed again"


@pytest.mark.parametrize(("old", "rewritten", "new"), [(500, 400, 700), (256, 255, 257), (3, 0, 70_000)])
def test_a_longer_log_that_was_rewritten_is_named(
    post: Post, public: Path, old: int, rewritten: int, new: int
) -> None:
    Log(old).lay_out(public)
    post.look()
    Log(new, rewritten_from=rewritten).lay_out(public, afresh=True)
    evidence = post.alarmed("witness.fork")
    assert list(evidence.rglob("tile/**/0*")), "the tiles are part of the proof"


def test_an_older_checkpoint_is_borne_for_a_while_and_then_is_a_rollback(post: Post, public: Path) -> None:
    Log(700).lay_out(public)
    post.look()
    kept = post.checkpoint()
    (public / "checkpoint").write_text(Log(500).note(), encoding="utf-8")
    status, answer = post.look()
    assert (status, answer["outcome"], answer["size"]) == (0, "older", 700)
    assert post.checkpoint() == kept
    (post.folder / "older-since").write_text(f"{int(time.time()) - 3599}\n", encoding="ascii")
    assert post.look()[1]["outcome"] == "older"
    (post.folder / "older-since").write_text(f"{int(time.time()) - 3601}\n", encoding="ascii")
    post.alarmed("witness.rollback")
    Log(710).lay_out(public)
    assert post.look()[1]["outcome"] == "cosigned"
    assert not (post.folder / "older-since").exists()


def test_without_patience_every_step_back_is_a_rollback(post: Post, public: Path) -> None:
    Log(700).lay_out(public)
    post.look()
    (public / "checkpoint").write_text(Log(500).note(), encoding="utf-8")
    post.alarmed("witness.rollback", "--patience", "0")


def test_an_older_checkpoint_of_another_history_is_named(post: Post, public: Path) -> None:
    Log(700).lay_out(public)
    post.look()
    (public / "checkpoint").write_text(Log(500, rewritten_from=100).note(), encoding="utf-8")
    post.alarmed("witness.split")


def test_a_restored_backup_is_named_at_once_and_when_it_grows_anew(post: Post, public: Path) -> None:
    """Yesterday's folder comes back whole: the tiles of what was cosigned are gone, then others come."""
    Log(700).lay_out(public)
    post.look()
    Log(500).lay_out(public, afresh=True)
    post.alarmed("witness.rollback")
    Log(900, rewritten_from=500).lay_out(public)
    post.alarmed("witness.fork")


@pytest.mark.parametrize("change", ["flip", "cut", "swap"])
def test_a_tile_that_was_touched_is_not_signed_over(post: Post, public: Path, change: str) -> None:
    Log(500).lay_out(public)
    post.look()
    Log(700).lay_out(public)
    file = public / "tile/0/002.p/188"
    content = file.read_bytes()
    file.write_bytes(
        {
            "flip": content[:-1] + bytes([content[-1] ^ 1]),
            "cut": content[:-32],
            "swap": content[32:64] + content[:32] + content[64:],
        }[change]
    )
    post.alarmed("witness.tiles")
    file.write_bytes(content)
    assert post.look()[1]["outcome"] == "cosigned"


def test_at_the_first_look_wrong_tiles_are_named_as_well(post: Post, public: Path) -> None:
    Log(300).lay_out(public)
    (public / "tile/1/000.p/1").write_bytes(bytes(32))
    status, answer = post.look()
    assert (status, answer["error"]["code"]) == (1, "witness.tiles")
    assert not (post.folder / "checkpoint").exists()
    assert not post.out.exists()


def test_what_is_missing_is_waited_for_and_what_is_too_large_is_not_read(post: Post, public: Path) -> None:
    assert post.look()[1]["error"]["code"] == "witness.absent"
    Log(500).lay_out(public)
    tile = public / "tile/0/001.p/244"
    content = tile.read_bytes()
    tile.unlink()
    assert post.look()[1]["error"]["code"] == "witness.absent"
    tile.write_bytes(content + b"x")
    assert post.look()[1]["error"]["code"] == "source.size"
    tile.write_bytes(content)
    (public / "checkpoint").write_bytes(b"x" * 100_001)
    assert post.look()[1]["error"]["code"] == "source.size"
    assert not (post.folder / "checkpoint").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),  # by another key
        ("\n500\n", "\n501\n"),
        (ORIGIN, "other.example/log"),
        ("\n\n", "\n"),
        ("hub", "\udcff"),
        ("— ", "- "),
    ],
)
def test_a_checkpoint_that_the_log_did_not_sign_is_none(
    post: Post, public: Path, before: str, after: str
) -> None:
    Log(500).lay_out(public)
    note = Log(500).note(signer=SIGNER if before else OTHER).replace(before, after)
    (public / "checkpoint").write_bytes(note.encode("utf-8", "surrogateescape"))
    status, answer = post.look()
    assert (status, answer["error"]["code"]) == (1, "witness.unsigned")
    assert not (post.folder / "checkpoint").exists()


def test_others_signatures_are_not_passed_on(post: Post, public: Path) -> None:
    Log(500).lay_out(public)
    stranger = "— other.example AAAAAAAAAAAA\n"
    with (public / "checkpoint").open("a", encoding="utf-8") as sink:
        sink.write(stranger)
    status, answer = post.look()
    assert (status, stranger in answer["note"]) == (0, False)


def answering(
    status: int, headers: dict[str, str], write: Callable[[BaseHTTPRequestHandler], object]
) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # who asked may have gone away
                write(self)

        def log_message(self, *_said: Any) -> None:
            """Quiet."""

    return Answering


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        (302, {"Location": "http://127.0.0.2/checkpoint"}, "source.answer"),
        (301, {"Location": "/elsewhere"}, "source.answer"),
        (200, {"Content-Encoding": "gzip"}, "source.answer"),
        (403, {}, "source.answer"),
        (500, {}, "source.away"),
        (429, {}, "source.away"),
    ],
)
def test_detours_and_disguises_are_not_followed(
    tmp_path: Path, status: int, headers: dict[str, str], code: str
) -> None:
    note = Log(1).note().encode()
    with serving(answering(status, headers, lambda answer: answer.wfile.write(note))) as where:
        assert Post(where, tmp_path / "w").look()[1]["error"]["code"] == code


@pytest.mark.parametrize(("piece", "code"), [(b"x", "source.away: .*slow"), (b"x" * 4096, "source.size")])
def test_an_answer_that_never_ends_is_given_up(
    monkeypatch: pytest.MonkeyPatch, piece: bytes, code: str
) -> None:
    monkeypatch.setattr(log_source, "ALL_SECONDS", 0.3)
    stop = threading.Event()

    def drip(answer: BaseHTTPRequestHandler) -> None:
        while not stop.wait(0.01):
            answer.wfile.write(piece)
            answer.wfile.flush()

    with serving(answering(200, {}, drip)) as where:
        began = time.monotonic()
        try:
            with pytest.raises(HubError, match=code):
                log_source.open_source(where)("checkpoint", 100_000)
        finally:
            stop.set()
        assert time.monotonic() - began < 10


def test_nobody_there_is_a_passing_failure(tmp_path: Path, free_port: int) -> None:
    nowhere = Post(f"http://127.0.0.1:{free_port}/log", tmp_path / "w")
    assert nowhere.look()[1]["error"]["code"] == "source.away"


@pytest.mark.parametrize(
    "where",
    [
        "ftp://hub.example/log",
        "https:///log",
        "https://user:word@hub.example/log",
        "https://hub.example/log?x=1",
        "file:///etc",
        "/no/such/folder",
    ],
)
def test_an_address_must_be_one(tmp_path: Path, where: str) -> None:
    assert Post(where, tmp_path / "w").look()[1]["error"]["code"] == "source.address"


def test_the_state_is_durable_before_the_cosignature_is_given_out(
    post: Post, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write of the state fails, or fails after it was persisted: no contradiction can come of it."""
    Log(300).lay_out(public)
    post.look()
    replace = disk.replace
    for persisted in (False, True):
        Log(400 + persisted).lay_out(public)
        before = post.out.read_bytes()

        def failing(path: Path, data: bytes, persisted: bool = persisted) -> None:  # noqa: FBT001
            if persisted:
                replace(path, data)
            raise Transient("disk.write", "the disk said no", "mend the disk")

        monkeypatch.setattr(disk, "replace", failing)
        assert post.look()[1]["error"]["code"] == "disk.write"
        monkeypatch.setattr(disk, "replace", replace)
        assert post.out.read_bytes() == before, "what is not kept is not given out"
        status, answer = post.look()
        assert (status, answer["outcome"]) == (0, "known" if persisted else "cosigned")
        assert post.out.read_bytes() == answer["note"].encode()


def test_a_clock_that_was_set_back_signs_nothing(
    post: Post, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Log(300).lay_out(public)
    post.look()
    Log(301).lay_out(public)
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    assert post.look()[1]["error"]["code"] == "witness.clock"


def test_one_folder_is_one_witness_of_one_log(post: Post, public: Path, tmp_path: Path) -> None:
    Log(300).lay_out(public)
    where = ["--log", post.where, "--state", str(post.folder), "--json"]
    assert tell(*where)[1]["error"]["code"] == "witness.new"
    assert tell(*where, "--name", "two words", "--log-key", KEY)[1]["error"]["code"] == "witness.name"
    assert tell(*where, "--name", NAME)[1]["error"]["code"] == "witness.new"
    assert tell(*where, "--log-key", KEY[:-4])[1]["error"]["code"] == "witness.log_key"
    assert tell(*where, "--log-key", KEY)[0] == 0
    other = verifier_key(ORIGIN, OTHER.public_key())
    assert tell(*where, "--log-key", other)[1]["error"]["code"] == "witness.log"
    assert tell(*where, "--name", "other.example")[1]["error"]["code"] == "witness.name"
    policy = tmp_path / "policy"
    policy.write_text(f"log {KEY}\nquorum none\n", encoding="utf-8")
    assert tell(*where, "--policy", policy)[0] == 0
    policy.write_text(f"log {KEY}\nlog {other}\nquorum none\n", encoding="utf-8")
    assert tell(*where, "--policy", policy)[1]["error"]["code"] == "witness.log_key"
    assert tell(*where, "--policy", policy, "--log-key", KEY)[0] == 2
    with witness_state.open_state(post.folder):
        assert tell(*where)[1]["error"]["code"] == "witness.busy"
    (post.folder / "key.pem").chmod(0o644)
    assert tell(*where)[1]["error"]["code"] == "witness.mode"


@pytest.mark.parametrize("name", ["key.pem", "witness.vkey", "log.vkey", "checkpoint"])
def test_a_memory_that_was_spoilt_is_not_trusted(post: Post, public: Path, name: str) -> None:
    Log(300).lay_out(public)
    post.look()
    content = bytearray((post.folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (post.folder / name).write_bytes(content)
    status, answer = post.look()
    assert (status, answer["error"]["code"]) == (1, "witness.state")


def test_a_standing_witness_outlasts_failures_and_ends_at_an_alarm(
    post: Post, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round by round: nothing there yet, a log, its growth, then another log under the same key."""
    rounds = iter([Log(100), Log(200), Log(300, rewritten_from=50)])
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        next(rounds).lay_out(public)

    monkeypatch.setattr(time, "sleep", sleep)
    given = ["--log", post.where, "--state", post.folder, "--log-key", KEY, "--name", NAME, "--every", 7]
    status, said = tell(*given)
    assert status == 1
    assert slept == [7, 7, 7]
    told = [word for word in ("witness.absent", "100 entries", "200 entries") if word in said["text"]]
    assert told == ["witness.absent", "100 entries", "200 entries"]
    assert "witness.fork" in said["text"]
