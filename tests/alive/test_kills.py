"""Kill -9 of each part, and of everything at once, amid transfers: the work goes on, nothing twice.

`make test` kills each part once; `make test-alive KILLS=5` as often as is said.
"""

import os
import signal
import time

import psutil
import pytest

from tests.alive.hub_up import Alive, say, until

pytestmark = pytest.mark.needs("sftp")
KILLS = int(os.environ.get("HUB_TEST_KILLS", "1"))
FILES = 4
GOES_ON = 60  # seconds after the restart within which something moves again
ALL_DONE = 180


@pytest.mark.parametrize("run", range(KILLS))
@pytest.mark.parametrize("victim", ["worker", "scheduler", "triggerer", "database", "drop", "everything"])
def test_the_work_goes_on_after_a_kill(alive: Alive, victim: str, run: int) -> None:
    mark = alive.since()
    alive.drop("E7", [alive.drop_file("E7") for _ in range(FILES)])
    until(lambda: _under_way(alive, mark, victim), 60, "work under way")
    more = [alive.drop_file("E7") for _ in range(FILES)]
    before = alive.changes(mark)
    _kill(alive, victim)
    killed = time.monotonic()
    if victim == "everything":
        alive.start()
    restarted = time.monotonic()
    alive.drop("E7", more)  # a partner whose visit fails comes again
    until(lambda: alive.changes(mark) > before, GOES_ON, "the work to go on")
    went_on = time.monotonic()
    done = alive.all_done(mark, 2 * FILES, ALL_DONE)
    finished = time.monotonic()
    say(
        f"{victim} #{run + 1}: restarted after {restarted - killed:.1f} s,"
        f" went on {went_on - restarted:.1f} s later, all {len(done)} done {finished - restarted:.1f} s later"
    )
    alive.each_delivered_once(done)


def _under_way(alive: Alive, mark: int, victim: str) -> bool:
    states = set(alive.submissions(mark).values())
    return bool(states - {"received", "acknowledged"}) and (victim != "worker" or alive.worker() is not None)


def _kill(alive: Alive, victim: str) -> None:
    if victim == "everything":
        for process in [psutil.Process(alive.pid_of("database")), *alive.processes()]:
            if process.pid != os.getpid():
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
        assert alive.process is not None
        alive.process.wait(10)
        return
    if victim == "worker":
        until(lambda: _kill_worker(alive), 20, "a worker at work")
        return
    os.kill(alive.pid_of(victim), signal.SIGKILL)


def _kill_worker(alive: Alive) -> bool:
    worker = alive.worker()
    if worker is None:
        return False
    worker.kill()
    return True
