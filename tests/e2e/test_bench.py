"""The measurements run: small ones, for their form; what they say of speed is no matter here."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hub.cli.program import app
from tests.conftest import left_out
from tests.e2e.hub import Hub

PARTS = ("sha256", "stream", "tree", "pymerkle", "kit")


def test_the_log_is_measured_beside_its_floors(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    answer = Hub(tmp_path / "no hub").run("bench", "log", "--entries", 1_000, "--runs", 1)
    if answer.code == "bench.peer":
        left_out(request, "pymerkle", answer.stderr)
    assert answer.status == 0, answer.stderr
    assert not (tmp_path / "no hub").exists()
    figures, goals = answer.json["figures"], answer.json["goals"]
    assert (figures["entries"], figures["size"], len(figures["root"])) == (1_000, 1_000, 64)
    for part in PARTS:
        assert figures[f"{part}_seconds"] > 0
        assert len(figures[f"{part}_all_seconds"]) == 1
    for batch in (1, 10, 100, 1_000):
        assert figures[f"durable_{batch}_per_second"] > 0
        assert figures[f"durable_{batch}_to_bare"] > 0
    assert {name: goal["goal"] for name, goal in goals.items()} == {
        "tree_to_sha256": "at most 3",
        "kit_to_sha256": "at most 20",
    }


def test_what_is_not_measured_is_a_wrong_word() -> None:
    assert CliRunner().invoke(app, ["bench", "weather"]).exit_code == 2
