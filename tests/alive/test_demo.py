"""What a newcomer sees first: `make demo EXIT=1` from an empty HUB_HOME, and once more on the same."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.alive.hub_up import HUB, PROJECT, free_port, say

pytestmark = pytest.mark.needs("sftp")


def test_the_demonstration_holds_from_nothing_and_once_more(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HUB_HOME": str(tmp_path / "a home"),
        "HUB_DROP_PORT": str(free_port()),
        "HUB_WEB_PORT": str(free_port()),
    }
    for place in ("cold", "warm"):
        done = subprocess.run(
            [*HUB, "demo", "--exit", "--json", "--desk", str(tmp_path / place)],
            env=environment,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        answer = json.loads(done.stdout)
        assert answer["ok"]
        assert not answer["deviations"]
        assert len(answer["exchanges"]) == 8
        say(f"demo, {place}: from drop to receipt {answer['drop_to_receipt_seconds']} s (goal: 20)")
