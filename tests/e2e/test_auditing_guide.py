"""docs/auditing.md, followed by a stranger: every command in it is run as it stands, in a shell."""

import filecmp
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from hub.cli.program import app
from hub.runtime import initialise, open_office
from hub.settings import Settings

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "auditing.md").read_text(encoding="utf-8")
SAMPLE_ID = "S-20261122-7KQ2M9XW4T"
COMMANDS = re.findall(r"^    (\S.*)$", GUIDE, re.MULTILINE)
SHOWN = re.findall(r"^```\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
# What differs from log to log: keys, roots, ids, numbers.
VARYING = (
    (r"[0-9a-f]{8}\+[A-Za-z0-9+/]{44}", "KEY"),
    (r"[A-Za-z0-9+/]{43}=", "BASE64"),
    (r"[0-9a-f]{64}", "HEX"),
    (r"S-[0-9]{8}-[0-9A-Z]{10}", "ID"),
)


class Stranger:
    """Somebody with a shell in an empty folder, and the hub's command on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.submission = folder, ""
        self.said: dict[str, str] = {}

    def run(self, command: str) -> None:
        """Run a command of the guide; the id of a submission and the year are those of today."""
        typed = command.replace(SAMPLE_ID, self.submission)
        typed = typed.replace("2026", str(datetime.now(ZoneInfo("Europe/Berlin")).year))
        status, said = self._hub(typed) if typed.startswith("hub ") else self._shell(typed)
        assert status == 0, f"{typed}\n{said}"
        self.said[command] = said
        if command.startswith("hub submit "):
            self.submission = re.findall(r"S-[0-9]{8}-[0-9A-Z]{10}", said)[0]

    def _hub(self, typed: str) -> tuple[int, str]:
        """Let the shell make words of the line, and run them in this process: a second less for each."""
        line, _, target = typed.partition(" > ")
        status, words = self._shell(f"printf '%s\\0' {line}")
        assert status == 0
        answer = CliRunner().invoke(app, words.split("\0")[1:-1], catch_exceptions=False)
        if target:
            (self.folder / target).write_text(answer.stdout, encoding="utf-8")
        return answer.exit_code, answer.output

    def _shell(self, typed: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-euc", typed],  # noqa: S607 -- the shell that is on the path
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """The stranger, who has followed the guide from its first command to its last."""
    folder, programs = tmp_path_factory.mktemp("a stranger"), tmp_path_factory.mktemp("programs")
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (programs / "python").chmod(0o755)
    settings = Settings(home=folder / ".hub")
    initialise(settings)  # `hub init` says again that all is there
    with pytest.MonkeyPatch.context() as patch, open_office(settings):  # or each command starts it anew
        patch.chdir(folder)
        patch.delenv("HUB_HOME", raising=False)
        patch.setenv("COLUMNS", "400")
        patch.setenv("LC_ALL", "C.UTF-8")
        patch.setenv("PATH", str(programs), prepend=os.pathsep)
        found = Stranger(folder)
        for command in COMMANDS:
            found.run(command)
        yield found


def test_the_guide_leads_from_a_hub_to_proofs() -> None:
    verbs = {" ".join(command.split()[:3]) for command in COMMANDS}
    assert {
        "hub log export",
        "hub log checkpoint",
        "hub log witness",
        "hub log prove",
        "hub log verify",
    } <= verbs
    assert sum(command.startswith("python3 -I pruefen.py") for command in COMMANDS) >= 3
    assert len(SHOWN) >= 4


def test_what_the_guide_shows_is_what_is_said(stranger: Stranger) -> None:
    said = [*stranger.said.values(), (stranger.folder / "trust.txt").read_text("utf-8")]
    lines = {alike(line) for text in said for line in text.splitlines()}
    shown = [line for block in SHOWN for line in block.splitlines() if line.strip(" …")]
    assert [line for line in shown if alike(line) not in lines] == []


def test_the_counts_of_the_sample_are_those_that_the_guide_shows(stranger: Stranger) -> None:
    (counts,) = [line for block in SHOWN for line in block.splitlines() if line.startswith("E3: ")]
    assert counts in stranger.said["python3 -I pruefen.py --trust trust.txt kit.zip"].splitlines()


def test_the_verifier_built_from_the_source_is_that_of_the_kit(stranger: Stranger) -> None:
    assert filecmp.cmp(stranger.folder / "my-own.py", stranger.folder / "pruefen.py", shallow=False)


def test_every_finding_has_its_place_in_the_guide() -> None:
    told = json.loads((ROOT / "hub" / "kit" / "sentences.json").read_text("utf-8"))["findings"]
    table = GUIDE.partition("| findings |")[2].partition("\n\n")[0]
    named = {code for line in table.splitlines() for code in re.findall(r"`([a-z]+\.[a-z_*]+)`", line)}
    assert {code for code in told if not any(fnmatch(code, pattern) for pattern in named)} == set()
    assert {one for one in named if "*" not in one} <= told.keys()


def alike(line: str) -> str:
    """Write a line with everything that differs from log to log taken out."""
    for pattern, name in VARYING:
        line = re.sub(pattern, name, line)
    return re.sub(r"[0-9]+", "N", line).strip()
