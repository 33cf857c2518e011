"""The supervisor, tried on small programs: what ends starts again, nothing is left over, one at a time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.errors import Refused, Transient
from hub.service.component import Component, Program, Status
from hub.service.health import answers_at, require_free
from hub.service.logs import MOST_BYTES
from hub.service.processes import find, kill_session, members
from hub.service.record import sole_supervisor
from hub.service.supervisor import Supervisor

SLEEPER = "import time; time.sleep(600)"
# A program with a worker in a process group of its own, as Airflow's tasks are.
PARENT = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
time.sleep(600)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
SERVER = """
import socket, sys
guest, _ = socket.create_server(("127.0.0.1", int(sys.argv[1]))).accept()
guest.send(b"SSH-2.0-x")
"""
CHATTY = """
import time
for _ in range(22):
    print("x" * 1_000_000, flush=True)
time.sleep(600)
"""


def component(folder: Path, name: str, program: str, **more: object) -> Component:
    command = (sys.executable, "-c", program)
    return Component(name, command, {"PATH": os.environ["PATH"]}, folder, **more)  # type: ignore[arg-type]


@contextmanager
def supervised(
    home: Path, parts: Sequence[Component], *, ready: bool = True
) -> Iterator[tuple[Supervisor, list[str]]]:
    told: list[str] = []
    (home / "run" / "logs").mkdir(parents=True, exist_ok=True, mode=0o700)
    with sole_supervisor(home / "run") as record:
        record.sweep()
        programs = [Program(part, home / "run" / "logs", record, told.append) for part in parts]
        supervisor = Supervisor(programs, told.append)
        with supervisor.at_work():
            if ready:
                supervisor.wait_until_ready(30)
            yield supervisor, told


def until(holds: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def only(supervisor: Supervisor) -> Status:
    [status] = supervisor.status()
    return status


def pid_of(supervisor: Supervisor) -> int:
    pid = only(supervisor).pid
    assert pid is not None
    return pid


def test_a_component_that_is_killed_is_back_and_what_it_left_is_gone(tmp_path: Path) -> None:
    with supervised(tmp_path, [component(tmp_path, "parent", PARENT)]) as (supervisor, told):
        first = pid_of(supervisor)
        until(lambda: len(members(first)) == 2)
        os.kill(first, signal.SIGKILL)
        until(lambda: only(supervisor).restarts == 1 and only(supervisor).state == "ready")
        assert members(first) == []
        assert pid_of(supervisor) != first
        assert "parent: ended (signal 9), starts again in 0.5 s" in told


def test_a_component_that_ends_at_once_is_started_ever_more_slowly_and_given_up_at_the_start(
    tmp_path: Path,
) -> None:
    never = component(tmp_path, "hasty", "raise SystemExit(3)", is_ready=lambda _since: False)
    with supervised(tmp_path, [never], ready=False) as (supervisor, told):
        with pytest.raises(Refused) as refused:
            supervisor.wait_until_ready(60)
        assert refused.value.code == "service.component"
        ends = [line for line in told if "ended" in line]
        assert [line.rpartition("in ")[2] for line in ends[:5]] == ["0.5 s", "1 s", "2 s", "4 s", "8 s"]
        assert all("status 3" in line for line in ends)


def test_a_component_that_does_not_answer_is_told_by_name(tmp_path: Path) -> None:
    silent = component(tmp_path, "silent", SLEEPER, is_ready=lambda _since: False)
    with (
        supervised(tmp_path, [silent], ready=False) as (supervisor, _told),
        pytest.raises(Transient, match="silent did not answer"),
    ):
        supervisor.wait_until_ready(1)


def test_the_end_leaves_nothing_also_of_a_component_that_does_not_listen(tmp_path: Path) -> None:
    parts = [
        component(tmp_path, "deaf", DEAF, grace=0.5, stage=1),
        component(tmp_path, "parent", PARENT, stage=2),
    ]
    with supervised(tmp_path, parts) as (supervisor, _told):
        pids = [status.pid for status in supervisor.status() if status.pid]
        until(lambda: (tmp_path / "run/logs/deaf.log").read_text(encoding="utf-8") == "deaf\n")
        until(lambda: len(members(pids[1])) == 2)
    assert [members(pid) for pid in pids] == [[], []]
    assert {status.state for status in supervisor.status()} == {"ended"}
    assert json.loads((tmp_path / "run/service.json").read_text(encoding="utf-8"))["processes"] == []


def test_components_end_in_the_order_of_their_stages(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    program = (
        "import signal, sys, time, pathlib\n"
        "def end(*_):\n"
        "    time.sleep({pause}); open({ends!r}, 'a').write('{name} '); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path({there!r}).touch()\n"
        "time.sleep(600)"
    )
    parts = []
    for stage, name in ((2, "last"), (1, "first")):
        there = tmp_path / name
        text = program.format(
            pause=0.5 if name == "first" else 0, ends=str(ends), name=name, there=str(there)
        )
        ready = there.exists
        parts.append(
            component(tmp_path, name, text, stage=stage, is_ready=lambda _since, ready=ready: ready())
        )
    with supervised(tmp_path, parts):
        pass
    assert ends.read_text(encoding="utf-8") == "first last "


def test_a_second_supervisor_beside_a_living_one_is_refused(tmp_path: Path) -> None:
    with supervised(tmp_path, [component(tmp_path, "sleeper", SLEEPER)]) as (supervisor, _told):
        with pytest.raises(Refused) as refused, sole_supervisor(tmp_path / "run"):
            pass
        assert refused.value.code == "service.running"
        assert str(os.getpid()) in refused.value.message
        assert only(supervisor).state == "ready"


SUPERVISOR = """
import sys
from pathlib import Path
from tests.integration.test_service_supervisor import PARENT, component, supervised
home = Path(sys.argv[1])
with supervised(home, [component(home, "parent", PARENT)]) as (supervisor, _told):
    print(supervisor.status()[0].pid, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_supervisor_left_is_ended_by_its_heir(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as dying:
        assert dying.stdout is not None
        left = int(dying.stdout.readline())
        until(lambda: len(members(left)) == 2)
        dying.kill()
        dying.wait()
        assert len(members(left)) == 2, "a component does not die with its supervisor"
    os.kill(left, signal.SIGKILL)  # the leader gone as well: only its worker remains
    until(lambda: find(left) is None)
    assert len(members(left)) == 1
    with sole_supervisor(tmp_path / "run") as record:
        assert record.sweep() == ["parent"]
        assert members(left) == []
        assert record.sweep() == []


def test_a_process_that_only_bears_a_recorded_number_is_left_alone(tmp_path: Path) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True) as innocent,
        sole_supervisor(tmp_path / "run") as record,
    ):
        process = find(innocent.pid)
        assert process is not None
        record.note("old", type(process)(process.pid, process.started - 1, process.session))
        assert record.sweep() == []
        assert innocent.poll() is None
        kill_session(innocent.pid)


def test_a_component_whose_supervisor_dies_before_recording_it_never_begins(tmp_path: Path) -> None:
    """The program waits for the word of its supervisor; the end of the pipe is none."""
    from hub.service.component import _STARTER  # noqa: PLC0415

    mark = tmp_path / "mark"
    with subprocess.Popen([*_STARTER, "touch", str(mark)], stdin=subprocess.PIPE) as waiting:
        assert waiting.stdin is not None
        waiting.stdin.close()
        assert waiting.wait(10) != 0
    assert not mark.exists()


def test_a_port_that_is_taken_is_refused_with_the_name_of_its_setting(free_port: int) -> None:
    require_free("127.0.0.1", free_port, "HUB_WEB_PORT")
    with subprocess.Popen([sys.executable, "-c", SERVER, str(free_port)]) as server:
        until(lambda: _is_taken(free_port))
        with pytest.raises(Refused) as refused:
            require_free("127.0.0.1", free_port, "HUB_WEB_PORT")
        assert refused.value.code == "service.port"
        assert "HUB_WEB_PORT" in refused.value.remedy
        assert answers_at("127.0.0.1", free_port, b"SSH-2.0")(datetime.now(UTC))
        assert server.wait(10) == 0
    assert not answers_at("127.0.0.1", free_port, b"SSH-2.0")(datetime.now(UTC))


def _is_taken(port: int) -> bool:
    try:
        require_free("127.0.0.1", port, "HUB_WEB_PORT")
    except Refused:
        return True
    return False


def test_logs_are_private_and_bounded_while_their_writer_goes_on(tmp_path: Path) -> None:
    with supervised(tmp_path, [component(tmp_path, "chatty", CHATTY)]):
        log = tmp_path / "run/logs/chatty.log"
        until(lambda: log.with_name("chatty.log.1").exists())
        until(lambda: log.stat().st_size < MOST_BYTES)
        for file in (log, log.with_name("chatty.log.1")):
            assert file.stat().st_mode & 0o777 == 0o600
