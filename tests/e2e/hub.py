"""The command line as tests use it: a HUB_HOME of its own, real PostgreSQL, answers as JSON."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import openpyxl
import polars as pl
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from hub.cli.program import app
from hub.database.embedded import EmbeddedPostgres
from hub.database.session import address
from hub.keys import KeyRing
from hub.ledger.store import entries
from hub.registry import SHIPPED
from hub.runtime import open_office
from hub.settings import Settings
from schemas.agreement import Agreement, load_agreement
from schemas.samples import FileForm, Sample, csv_bytes, write_consents, write_sample

FATES = ("delivered", "already_delivered", "refused", "withheld", "quarantined")
COLLECTOR = "kreisvolkshochschule"
BESIDES = ("decision", "receipt", "collected")


@dataclass(frozen=True)
class Answer:
    """What the command line answered."""

    status: int
    json: dict[str, Any]
    stderr: str
    stdout: str = ""

    @property
    def code(self) -> str:
        """The code of the error that was told on stderr."""
        return self.stderr.partition(":")[0]


@dataclass
class Hub:
    """A hub under its own HUB_HOME; files for it and from it lie in ``desk``, beside HUB_HOME."""

    home: Path
    settings: Settings = field(init=False)
    desk: Path = field(init=False)
    said: list[str] = field(default_factory=list, repr=False)  # all that it ever said on stdout and stderr

    def __post_init__(self) -> None:
        self.settings = Settings(home=self.home)
        self.desk = self.home.parent / f"{self.home.name} desk"
        self.desk.mkdir(exist_ok=True)

    def run(self, *arguments: object, stdin: str | None = None, **environment: str) -> Answer:
        """Run ``hub ARGUMENTS --json``."""
        answer = self.tell(*arguments, "--json", stdin=stdin, **environment)
        lines = answer.stdout.splitlines()
        assert len(lines) <= 1, "one JSON object on stdout, nothing else"
        return Answer(answer.status, json.loads(lines[0]) if lines else {}, answer.stderr, answer.stdout)

    def tell(self, *arguments: object, stdin: str | None = None, **environment: str) -> Answer:
        """Run ``hub ARGUMENTS`` as people do, without JSON."""
        said = CliRunner().invoke(
            app,
            [*map(str, arguments)],
            input=stdin,
            env={"HUB_HOME": str(self.home), **environment},
            catch_exceptions=False,
        )
        self.said += [said.stdout, said.stderr]
        return Answer(said.exit_code, {}, re.sub(r"\x1b\[[0-9;]*m", "", said.stderr), said.stdout)

    def file(self, name: str, content: bytes) -> Path:
        """Lay a file of a sender's on the desk."""
        path = self.desk / name
        path.write_bytes(content)
        return path

    def written(self, made: Sample, name: str, form: FileForm | None = None) -> Path:
        """Write a sample into a file on the desk."""
        path = self.desk / f"{name}.{made.file_format}"
        write_sample(made, path, form)
        return path

    def submit(self, made: Sample, name: str = "Liste", *more: object) -> Answer:
        """Submit a sample under its agreement."""
        return self.run("submit", self.written(made, name), "--agreement", made.agreement.id, *more)

    def submit_csv(self, made: Sample, frame: pl.DataFrame | None = None, **form: Any) -> Answer:
        """Submit a sample's rows, or others in their place, as CSV of a form."""
        content = csv_bytes(made, FileForm(**form)) if frame is None else plain_csv(frame)
        return self.run("submit", self.file("Liste.csv", content), "--agreement", made.agreement.id)

    def bring_consents(self, made: Sample, collector: str = COLLECTOR) -> Answer:
        """Import the consents that belong to a sample."""
        path = self.desk / "Einwilligungen.csv"
        write_consents(made, path)
        return self.run("consent", "import", path, "--collector", collector)

    def withdraw(self, number: str, collector: str = COLLECTOR) -> Answer:
        """Withdraw a person's consents; the number comes by standard input, as a careful clerk gives it."""
        return self.run("consent", "withdraw", "--collector", collector, "--number", "-", stdin=f"{number}\n")

    def show(self, submission: str) -> dict[str, Any]:
        """Show a submission."""
        return self.run("submission", "show", submission).json

    def saved(self, submission: str) -> dict[str, Path]:
        """Save what a sender gets of a submission; the files by what follows the id in their names."""
        folder = self.desk / "replies" / submission
        assert self.run("submission", "show", submission, "--save", folder).status == 0
        return {path.name.removeprefix(f"{submission}."): path for path in folder.iterdir()}

    def key_of(self, partner: str) -> Path:
        """Give a partner's private key, made and registered when it is asked for the first time."""
        path = self.desk / f"{partner}.key"
        if not path.exists():
            public = make_key(path)
            assert self.run("partner", "add", partner, "--public-key", public).status == 0
        return path

    def fetch(self, parcel: str, partner: str) -> Answer:
        """Fetch a parcel with a partner's key into an empty folder."""
        number = len(list(self.desk.glob("fetched-*")))
        out = self.desk / f"fetched-{number}"
        out.mkdir()
        return self.run("parcel", "fetch", parcel, "--key", self.key_of(partner), "--out", out)

    def parcel(self, answer: Answer | Mapping[str, Any]) -> pl.DataFrame:
        """Fetch the parcel of a submission as its recipient and read it: String columns, "" for nothing."""
        told = answer.json if isinstance(answer, Answer) else answer
        sent = next(parcel for parcel in told["parcels"] if parcel["state"] == "sent")
        return read_parcel(Path(self.fetch(sent["id"], sent["recipient"]).json["file"]))

    def log(self) -> list[dict[str, Any]]:
        """Read the whole transfer log."""
        with open_office(self.settings) as office, office.database.audit() as session:
            return [json.loads(stored.body or b"{}") for stored in entries(session, 0, 1_000_000)]

    def log_of(self, submission: str) -> list[tuple[str, str | None]]:
        """Read kind and reason of what the log tells of a submission, receipts and collections left out."""
        told = [entry for entry in self.log() if entry.get("submission") == submission]
        return [(entry["kind"], entry.get("reason")) for entry in told if entry["kind"] not in BESIDES]

    @contextmanager
    def superuser(self, database: str = "hub") -> Iterator[psycopg.Connection]:
        """Be the database's superuser, whom no right and no trigger stops; each statement commits itself."""
        secret = KeyRing(self.settings.key_folder).database_secret("superuser")
        url = EmbeddedPostgres(self.settings.postgres, self.settings.run, secret).url(database=database)
        with psycopg.connect(address(url), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            yield connection

    def files(self) -> list[Path]:
        """List every file under HUB_HOME but the keys and the database's own."""
        outside = (self.settings.key_folder, self.settings.postgres)
        return [
            path
            for path in self.home.rglob("*")
            if path.is_file() and not any(path.is_relative_to(folder) for folder in outside)
        ]


def agreement(name: str) -> Agreement:
    """Read a shipped agreement."""
    return load_agreement(SHIPPED / f"{name.lower()}.yaml")


def plain_csv(frame: pl.DataFrame) -> bytes:
    """Write rows as a clerk's program does: semicolons, UTF-8, nothing for nothing."""
    return frame.with_columns(pl.all().replace("", None)).write_csv(separator=";").encode()


def read_parcel(path: Path) -> pl.DataFrame:
    """Read a fetched parcel with other people's programs."""
    if path.suffix == ".csv":
        return pl.read_csv(path, separator=";", infer_schema=False).fill_null("")
    book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()))
    assert len(book.worksheets) == 1
    header, *rows = cast("list[tuple[str | None, ...]]", list(book.worksheets[0].iter_rows(values_only=True)))
    columns = {str(name): [row[at] or "" for row in rows] for at, name in enumerate(header)}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def make_key(path: Path) -> Path:
    """Make a private key in OpenSSH form; gives the file of its public key."""
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = path.with_suffix(".pub")
    public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    return public


def conserved(rows: dict[str, int]) -> bool:
    """Tell whether every row received has exactly one fate."""
    return rows["received"] == sum(rows[fate] for fate in FATES)
