"""A hub that is asked to end leaves no process behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from hub.database import postmaster
from hub.runtime import initialise
from hub.settings import Settings

HUB = [sys.executable, "-c", "from hub.cli import main; main()"]


def test_a_hub_that_is_asked_to_end_stops_the_database_that_it_started(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    initialise(settings)
    assert postmaster.running(settings.postgres) is None
    with subprocess.Popen(
        [*HUB, "consent", "withdraw", "--collector", "kreisvolkshochschule", "--number", "-"],
        stdin=subprocess.PIPE,
        env={"HUB_HOME": str(settings.root), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
    ) as waiting:
        end = time.monotonic() + 60
        while postmaster.running(settings.postgres) is None:
            assert waiting.poll() is None, "it waits for the number on its standard input"
            assert time.monotonic() < end
            time.sleep(0.05)
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(30) == 128 + signal.SIGTERM
    assert postmaster.running(settings.postgres) is None
