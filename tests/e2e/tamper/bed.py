"""A hub to be tampered with: its database, public log, kit and salts, and what others kept of it.

What is done to one of them is undone afterwards, or done to a copy. Forgers are as able as they could be:
they know the formats, compute every hash anew, and where it says so they hold the hub's own keys.
"""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.synthetic_log import entries as synthetic
from hub import logbook
from hub.keys import KeyRing
from hub.kit import table
from hub.ledger import tree
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint
from hub.ledger.tiles import of_size
from hub.runtime import open_office
from schemas.samples import sample
from tests.e2e.hub import Hub, agreement
from tests.e2e.made_kits import lines, stored_line

EARLY, LATE = 230, 70  # synthetic entries before and after the witness's first look
THIEF = Ed25519PrivateKey.from_private_bytes(b"the key of somebody else, 32 byt")
TABLES = ("ledger.entry", "ledger.node", "ledger.checkpoint")
Bodies = list[bytes]


@dataclass(frozen=True)
class Outcome:
    """What a verifier answered: its exit status, and the codes that it told."""

    status: int
    codes: frozenset[str]


@dataclass(frozen=True)
class Parcel:
    """A parcel as its recipient has it: its id and the file."""

    id: str
    file: Path


class Log:
    """Entries with their tree, made anew: all that a forger without a key can make."""

    def __init__(self, origin: str, bodies: Sequence[bytes]) -> None:
        self.origin, self.bodies = origin, list(bodies)
        leaves = b"".join(tree.leaf_hash(body) for body in bodies)
        self.layers = tree.grow(0, leaves, lambda *_place: b"")

    def node(self, level: int, index: int) -> bytes:
        return self.layers[level].hashes[index * 32 : index * 32 + 32]

    def note(self, size: int, signer: Ed25519PrivateKey) -> str:
        return sign_checkpoint(Checkpoint(self.origin, size, tree.root(size, self.node)), signer)

    def tiles(self) -> dict[str, bytes]:
        size = len(self.bodies)
        return {
            tile.path: self.layers[8 * tile.level].hashes[tile.index * 8192 :][: tile.width * 32]
            for tile in of_size(size)
        }


@dataclass
class Bed:
    """The hub, with two parcels sent; ``early`` is the log as it was before the newest entries."""

    hub: Hub
    desk: Path
    parcels: tuple[Parcel, Parcel]
    early_size: int

    @cached_property
    def ring(self) -> KeyRing:
        return KeyRing(self.hub.settings.key_folder)

    @cached_property
    def bodies(self) -> Bodies:
        """The entries of the kit; the log itself grows by the readings that proofs of rows are."""
        return [line.partition(b"\t")[2] for line in self.members["entries.tsv"].splitlines()]

    @cached_property
    def members(self) -> dict[str, bytes]:
        with zipfile.ZipFile(self.desk / "kit.zip") as kit:
            return {info.filename: kit.read(info) for info in kit.infolist()}

    @cached_property
    def sizes(self) -> list[int]:
        told = [json.loads(line)["size"] for line in self.members["checkpoints.jsonl"].splitlines()]
        return [int(size) for size in told]

    @property
    def size(self) -> int:
        return len(self.bodies)

    def log(self, bodies: Sequence[bytes]) -> Log:
        return Log(self.hub.settings.origin, bodies)

    def new(self, name: str) -> Path:
        """Name a file or folder on the desk that is not there."""
        return self.desk / f"{name}-{len(list(self.desk.iterdir()))}"

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection]:
        """Be the database's superuser; afterwards all is as it was, the journal as well."""
        journal, kept = self.hub.settings.journal_folder, self.new("journal")
        shutil.copytree(journal, kept)
        with self.hub.superuser() as database:
            for name in TABLES:
                database.execute(f"CREATE TABLE public.{name.partition('.')[2]} AS TABLE {name}".encode())
            try:
                yield database
            finally:
                for name in TABLES:
                    copy = f"public.{name.partition('.')[2]}"
                    database.execute(f"TRUNCATE {name}".encode())
                    database.execute(f"INSERT INTO {name} TABLE {copy}".encode())
                    database.execute(f"DROP TABLE {copy}".encode())
                shutil.rmtree(journal)
                shutil.copytree(kept, journal)

    @contextmanager
    def salts(self) -> Iterator[psycopg.Connection]:
        """Be the database's superuser; afterwards the salts are as they were."""
        with self.hub.superuser() as database:
            database.execute("CREATE TABLE public.row_seed AS TABLE hub.row_seed")
            try:
                yield database
            finally:
                database.execute("TRUNCATE hub.row_seed")
                database.execute("INSERT INTO hub.row_seed TABLE public.row_seed")
                database.execute("DROP TABLE public.row_seed")

    def verify_database(self, *, kept: bool = False) -> Outcome:
        """``hub log verify``, perhaps with the newest checkpoint that an auditor kept."""
        more = ["--checkpoint", self.desk / "kept"] if kept else []
        answer = self.hub.run("log", "verify", *more)
        findings = answer.json["findings"]
        assert all(one["de"] and one["en"] in answer.stdout for one in findings)
        assert answer.status == (1 if findings else 0)
        return Outcome(answer.status, frozenset(one["code"] for one in findings))

    def relay(
        self, database: psycopg.Connection, bodies: Bodies, signer: Ed25519PrivateKey | None = None
    ) -> None:
        """Put other entries into the tables, with every hash as it must be; sign them if there is a key."""
        log = self.log(bodies)
        told = [json.loads(body) for body in bodies]
        database.execute("TRUNCATE ledger.entry, ledger.node")
        with database.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO ledger.entry (index, body, leaf_hash, kind, submission) VALUES (%s,%s,%s,%s,%s)",
                [
                    (index, body, log.node(0, index), one["kind"], one.get("submission"))
                    for index, (body, one) in enumerate(zip(bodies, told, strict=True))
                ],
            )
            cursor.executemany(
                "INSERT INTO ledger.node (level, index, hash) VALUES (%s,%s,%s)",
                [
                    (layer.level, index, log.node(layer.level, index))
                    for layer in log.layers[1:]
                    for index in range(len(layer.hashes) // 32)
                ],
            )
            if signer is not None:
                database.execute("TRUNCATE ledger.checkpoint")
                cursor.executemany(
                    "INSERT INTO ledger.checkpoint (size, root, note) VALUES (%s,%s,%s)",
                    [
                        (size, tree.root(size, log.node), log.note(size, signer))
                        for size in sorted({*(at for at in self.sizes if at < len(bodies)), len(bodies)})
                    ],
                )

    def public(self, change: Callable[[Path], object], *, is_new: bool = False) -> Outcome:
        """Change a copy of the public log, and look at it as the witness who saw it when it was shorter.

        A witness reads the tiles that it needs; one who is new needs others.
        """
        folder, state = self.new("public"), self.new("witness")
        shutil.copytree(self.hub.settings.public_log, folder)
        change(folder)
        if not is_new:
            shutil.copytree(self.desk / "witness", state)
            return self.look(folder, state)
        key = (self.desk / "witness" / "log.vkey").read_text("utf-8").strip()
        return self.look(folder, state, "--log-key", key, "--name", "w.example/two")

    def look(self, folder: Path, state: Path, *more: object) -> Outcome:
        """``hub log witness``: a look at a folder."""
        answer = self.hub.run("log", "witness", "--log", folder, "--state", state, *more)
        code = answer.json.get("error", {}).get("code")
        return Outcome(answer.status, frozenset([code] if code else []))

    def kit(self, members: dict[str, bytes], trust: str | None = None) -> Outcome:
        """``pruefen.py`` over an archive of these members."""
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return self.kit_file(sink.getvalue(), trust)

    def kit_file(self, content: bytes, trust: str | None = None) -> Outcome:
        """``pruefen.py``, with nothing but Python's standard library, over an archive."""
        kit, file = self.new("kit.zip"), self.desk / "trust"
        kit.write_bytes(content)
        if trust is not None:
            file = self.new("trust")
            file.write_text(trust, encoding="utf-8")
        command = [sys.executable, "-I", "-S", str(self.desk / "pruefen.py"), "--json", "--trust"]
        done = subprocess.run([*command, str(file), str(kit)], capture_output=True, check=False, text=True)
        assert done.stderr == ""
        told = json.loads(done.stdout)
        assert all(one["de"] and one["en"] for one in told["findings"])
        assert told["ok"] is (done.returncode == 0)
        return Outcome(done.returncode, frozenset(one["code"] for one in told["findings"]))

    def remade(self, bodies: Bodies, signer: Ed25519PrivateKey | None = None) -> dict[str, bytes]:
        """Make a kit of other entries, with everything in it as it must be, as far as there is a key."""
        log, manifest = self.log(bodies), json.loads(self.members["manifest.json"])
        shown = list(enumerate(bodies))
        kept = {name: one for name, one in self.members.items() if not name.startswith("tile/")}
        kept["manifest.json"] = json.dumps(
            manifest | {"last": len(bodies) - 1, "size": len(bodies) if signer else manifest["size"]}
        ).encode()
        kept["entries.tsv"], kept["retention.tsv"] = lines(shown), b""
        kept["tables/entries.csv"] = table.heading() + table.lines(shown)
        if signer is not None:
            sizes = sorted({*(at for at in self.sizes if at < len(bodies)), len(bodies)})
            notes = [(size, log.note(size, signer)) for size in sizes]
            kept["checkpoints.jsonl"] = b"".join(stored_line(size, note) for size, note in notes)
            kept["checkpoint"] = notes[-1][1].encode()
        return kept | log.tiles()

    def prove_row(self, parcel: Parcel) -> Outcome:
        """``hub log prove``: a row of a parcel, by the seed in the salt index."""
        asked = ("log", "prove", parcel.id, "--row", 3, "--parcel", parcel.file, "--out", self.new("proof"))
        return told(self.hub.run(*asked))

    def check_row(self, changes: dict[str, Any]) -> Outcome:
        """``hub log prove --check``: a proof of a row in which something is said otherwise."""
        proof = json.loads((self.desk / "row.proof.json").read_text("utf-8"))
        file = self.new("changed.proof.json")
        file.write_text(json.dumps(proof | changes), encoding="utf-8")
        return told(self.hub.run("log", "prove", "--check", file, "--trust", self.desk / "trust"))

    @cached_property
    def proof(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.desk / "row.proof.json").read_text("utf-8"))
        return read


def told(answer: Any) -> Outcome:
    return Outcome(answer.status, frozenset([answer.code] if answer.status else []))


def made(hub: Hub, desk: Path) -> Bed:
    """Fill a hub: entries, a witness's look, two parcels, more entries, a kit, a checkpoint that is kept."""
    desk.mkdir()
    stories = synthetic(EARLY + LATE)
    append(hub, stories, EARLY)
    early = hub.run("log", "checkpoint", "--publish").json
    (desk / "early.note").write_text(early["note"], encoding="utf-8")
    shutil.copytree(hub.settings.public_log, desk / "public early")
    witness = ("--state", desk / "witness", "--log-key", early["log_key"], "--name", "w.example/one")
    cosigned = hub.run(
        "log", "witness", "--log", hub.settings.public_log, *witness, "--out", desk / "cosigned"
    )
    hub.settings.policy_file.write_text(f"witness one {cosigned.json['witness']}\nquorum one\n", "utf-8")
    parcels = [sent(hub, seed) for seed in (1, 2)]
    append(hub, stories, LATE)
    proof = hub.run("log", "prove", parcels[0].id, "--row", 3, "--parcel", parcels[0].file, "--out", desk)
    Path(proof.json["files"][0]).rename(desk / "row.proof.json")
    assert hub.run("log", "export", "--out", desk / "kit.zip").status == 0
    kept = hub.run("log", "checkpoint", "--publish").json
    (desk / "kept").write_text(kept["note"], encoding="utf-8")
    trust = hub.run("log", "checkpoint", "--trust").json["trust"].replace("quorum one", "quorum none")
    (desk / "trust").write_text(trust, encoding="utf-8")
    with zipfile.ZipFile(desk / "kit.zip") as kit:
        kit.extract("pruefen.py", desk)
    return Bed(hub, desk, (parcels[0], parcels[1]), early["size"])


def append(hub: Hub, stories: Iterator[Any], count: int) -> None:
    """Log some synthetic entries, seven in each append."""
    with open_office(hub.settings) as office:
        left = list(islice(stories, count))
        while left:
            some, left = left[:7], left[7:]
            with office.database.transaction() as session:
                logbook.append(session, office, some)


def sent(hub: Hub, seed: int) -> Parcel:
    """Submit a file and fetch its parcel as the recipient."""
    (parcel,) = hub.submit(sample(agreement("E7"), 12, seed)).json["parcels"]
    return Parcel(parcel["id"], Path(hub.fetch(parcel["id"], parcel["recipient"]).json["file"]))
