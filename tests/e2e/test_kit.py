"""The kit as an auditor meets it: exported by the command line, verified by Python alone."""

import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub.demo import auditor
from hub.runtime import open_office
from hub.settings import Settings
from schemas.samples import sample
from tests.e2e.hub import Hub, agreement
from tests.e2e.kit_desk import Case, agreed, at_desk
from tests.integration.kits import changed, flip


@dataclass(frozen=True)
class Desk:
    """What an auditor has at hand: a kit, a trust file, a folder with receipts."""

    kit: Path
    trust: Path
    receipts: Path
    program: Path

    def verify(self, *words: str | Path) -> tuple[int, dict[str, Any]]:
        """Run the kit's own program with nothing but Python's standard library."""
        done = subprocess.run(
            [sys.executable, "-I", "-S", self.program, "--json", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def desk(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("an auditor")
    made = sample(agreement("E3"), 40, 1)
    assert hub.bring_consents(made).status == 0
    done = hub.submit(made)
    assert (
        hub.run("submission", "show", done.json["submission"], "--save", str(folder / "receipts")).status == 0
    )
    assert hub.run("log", "export", "--out", str(folder / "kit.zip")).status == 0
    (folder / "trust.txt").write_text(hub.run("log", "checkpoint", "--trust").json["trust"], encoding="utf-8")
    with zipfile.ZipFile(folder / "kit.zip") as kit:
        kit.extract("pruefen.py", folder)
    return Desk(folder / "kit.zip", folder / "trust.txt", folder / "receipts", folder / "pruefen.py")


def test_an_exported_kit_is_proved_by_python_alone(desk: Desk) -> None:
    status, told = desk.verify("--trust", desk.trust, desk.kit)
    assert (status, told["ok"], told["findings"]) == (0, True, [])
    assert told["entries"] == told["size"]
    assert desk.kit.stat().st_mode & 0o777 == 0o600


def test_the_senders_receipts_are_in_the_log(desk: Desk) -> None:
    receipts = sorted(desk.receipts.glob("*.jwt"))
    assert len(receipts) == 2
    words = [word for path in receipts for word in ("--receipt", path)]
    status, told = desk.verify("--trust", desk.trust, *words, desk.kit)
    assert status == 0
    assert [receipt["in"] for receipt in told["receipts"]] == [True, True]


def test_the_export_is_itself_logged_before_it_is_read(desk: Desk) -> None:
    with zipfile.ZipFile(desk.kit) as kit:
        last = json.loads(kit.read("entries.tsv").splitlines()[-1].partition(b"\t")[2])
    assert (last["kind"], last["reason"]) == ("log_read", "export")


def test_the_counts_of_the_kit_are_those_of_the_submission(hub: Hub, desk: Desk) -> None:
    rows = hub.run("submission", "list").json["submissions"][0]["rows"]
    _, told = desk.verify("--trust", desk.trust, desk.kit)
    counts = told["counts"]["E3"]
    assert {name: counts[name] for name in rows} == rows
    assert counts["submissions"] == counts["transfers"] == 1


def test_the_demonstrations_auditor_tells_what_is_not_as_it_must_be(
    hub: Hub, desk: Desk, tmp_path: Path
) -> None:
    receipts = sorted(desk.receipts.glob("*.jwt"))
    with open_office(Settings(home=hub.home)) as office:
        kit = auditor.take_away(office, tmp_path / "auditor")
    assert auditor.verify(kit, receipts, 1) == []
    assert auditor.verify(kit, receipts, 2) == ["expected at least 2 submissions in the kit, found 1"]
    spoiled = changed(kit, tmp_path / "auditor" / "spoiled.zip", {"entries.tsv": flip(-9)})
    assert any("entry.hash" in sentence for sentence in auditor.verify(spoiled, receipts, 1))


def test_a_period_without_entries_is_no_kit(hub: Hub, tmp_path: Path) -> None:
    answer = hub.run("log", "export", "--to", "1999-12-31", "--out", str(tmp_path / "kit.zip"))
    assert (answer.status, answer.code) == (1, "kit.period")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("chromium")
def test_the_page_says_of_it_what_the_program_says(desk: Desk, tmp_path: Path) -> None:
    with at_desk(tmp_path) as (beside, _):
        told = agreed(beside, Case(desk.kit, desk.trust, sorted(desk.receipts.glob("*.jwt"))))
    assert told["ok"]
    assert all(one["in"] for one in told["receipts"])
