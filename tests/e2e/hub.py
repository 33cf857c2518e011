"""The command line as tests use it: a HUB_HOME of its own, real PostgreSQL, answers as JSON."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from hub.cli.program import app
from hub.ledger.store import entries
from hub.runtime import open_office
from hub.settings import Settings

FATES = ("delivered", "already_delivered", "refused", "withheld", "quarantined")


@dataclass(frozen=True)
class Answer:
    """What the command line answered."""

    status: int
    json: dict[str, Any]
    stderr: str

    @property
    def code(self) -> str:
        """The code of the error that was told on stderr."""
        return self.stderr.partition(":")[0]


class Hub:
    """A hub under its own HUB_HOME."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings = Settings(home=home)

    def run(self, *arguments: object, stdin: str | None = None, **environment: str) -> Answer:
        """Run ``hub ARGUMENTS --json``."""
        said = CliRunner().invoke(
            app,
            [*map(str, arguments), "--json"],
            input=stdin,
            env={"HUB_HOME": str(self.home), **environment},
            catch_exceptions=False,
        )
        lines = said.stdout.splitlines()
        assert len(lines) <= 1, "one JSON object on stdout, nothing else"
        stderr = re.sub(r"\x1b\[[0-9;]*m", "", said.stderr)
        return Answer(said.exit_code, json.loads(lines[0]) if lines else {}, stderr)

    def log(self) -> list[dict[str, Any]]:
        """Read the whole transfer log."""
        with open_office(self.settings) as office, office.database.audit() as session:
            return [json.loads(stored.body) for stored in entries(session, 0, 1_000_000)]

    def files(self) -> list[Path]:
        """List every file under HUB_HOME but the keys and the database's own."""
        outside = (self.settings.key_folder, self.settings.postgres)
        return [
            path
            for path in self.home.rglob("*")
            if path.is_file() and not any(path.is_relative_to(folder) for folder in outside)
        ]


def conserved(rows: dict[str, int]) -> bool:
    """Tell whether every row received has exactly one fate."""
    return rows["received"] == sum(rows[fate] for fate in FATES)
