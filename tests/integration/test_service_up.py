"""`hub up`, the whole of it: real database, drop server and Airflow; watched, killed, swept, ended."""

import json
import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from hub.database import postmaster
from hub.runtime import initialise
from hub.service.processes import PROC, members
from hub.settings import Settings

PROJECT = Path(__file__).parents[2]
HUB = (sys.executable, "-c", "from hub.cli import main; main()")
COMPONENTS = {"database", "drop", "api-server", "scheduler", "dag-processor", "triggerer"}
PATIENCE = 240  # seconds, on two cores that do other things as well
LISTENING = "0A"  # the state in /proc/net/tcp
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}


@dataclass
class Up:
    """A `hub up` in a process of its own."""

    settings: Settings
    process: subprocess.Popen[bytes]
    answer: dict[str, Any]
    told: Path

    def pid(self, component: str) -> int:
        if component == "database":
            server = postmaster.running(self.settings.postgres)
            return server.pid if server else 0
        record = json.loads((self.settings.run / "service.json").read_text(encoding="utf-8"))
        return next((int(line["pid"]) for line in record["processes"] if line["component"] == component), 0)

    def is_ready_again(self, component: str, since: int) -> bool:
        lines = self.told.read_text(encoding="utf-8")[since:].splitlines()
        own = [line for line in lines if f" {component}: " in line]
        return bool(own) and own[-1].endswith("ready")


def start(settings: Settings) -> Up:
    told, said = settings.root.with_name("told"), settings.root.with_name("said")
    with told.open("wb") as errors, said.open("wb") as output:
        process = subprocess.Popen(
            [*HUB, "up", "--json"],
            env=settings.environment() | {"PYTHONPATH": str(PROJECT)},
            stdout=output,
            stderr=errors,
        )

    def answers() -> bool:
        assert process.poll() is None, told.read_text(encoding="utf-8")
        return said.read_text(encoding="utf-8").endswith("\n")

    until(answers, PATIENCE)
    return Up(settings, process, json.loads(said.read_text(encoding="utf-8")), told)


def until(holds: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def carriers(home: Path) -> dict[int, str]:
    """Every process that works in a HUB_HOME, was given its path, or has a file of it open."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _carries(entry, os.fsencode(home)):
            found[int(entry.name)] = _line(entry)
    return found


def _carries(entry: Path, home: bytes) -> bool:
    try:
        places = [entry / "cwd", *(entry / "fd").iterdir()]
        texts = [(entry / name).read_bytes() for name in ("cmdline", "environ")]
    except OSError:
        return False
    for place in places:
        try:
            texts.append(os.fsencode(place.readlink()))
        except OSError:
            continue
    return any(home in text for text in texts)


def _line(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def free_ports(count: int) -> list[int]:
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in with_ports]
    for one in with_ports:
        one.close()
    return ports


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    web, drop = free_ports(2)
    home = tmp_path_factory.mktemp("service") / "hub home"
    made = Settings(home=home, web_port=web, drop_port=drop, free_bytes=0)
    initialise(made)
    return made


@pytest.fixture(scope="module")
def first(settings: Settings) -> Iterator[Up]:
    up = start(settings)
    yield up
    if up.process.poll() is None:
        up.process.terminate()
        up.process.wait(60)


def test_everything_answers_when_the_hub_is_up(first: Up) -> None:
    assert {one["name"]: one["state"] for one in first.answer["components"]} == dict.fromkeys(
        COMPONENTS, "ready"
    )
    pages = first.answer["addresses"]["pages"]
    health = requests.get(f"{pages}/api/v2/monitor/health", timeout=20).json()
    assert {part["status"] for part in health.values()} == {"healthy"}
    with socket.create_connection(("127.0.0.1", first.settings.drop_port), 20) as line:
        assert line.recv(7) == b"SSH-2.0"


def test_each_named_user_logs_in_with_the_password_from_a_file_that_only_the_hub_reads(first: Up) -> None:
    file = Path(first.answer["logins_file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    logins = json.loads(file.read_text(encoding="utf-8"))
    assert set(logins) == {"steward", "auditor", "dpo", "admin"}
    for name, password in logins.items():
        tries = [(password, 201), (secrets.token_urlsafe(15), 401)]
        for word, status in tries:
            answer = requests.post(
                f"{first.settings.web_address}/auth/token",
                json={"username": name, "password": word},
                timeout=20,
            )
            assert answer.status_code == status


def test_nothing_of_the_hub_listens_beyond_this_machine(first: Up) -> None:
    own = set()
    for pid in carriers(first.settings.root):
        try:
            handles = [str(handle.readlink()) for handle in (PROC / str(pid) / "fd").iterdir()]
        except OSError:
            continue
        own |= {handle[8:-1] for handle in handles if handle.startswith("socket:[")}
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in (PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in own:
                address, _, port = fields[1].partition(":")
                assert address in LOOPBACK, line
                ports.add(int(port, 16))
    assert {first.settings.web_port, first.settings.drop_port} <= ports


def test_no_secret_stands_in_the_list_of_processes_and_no_file_is_open_to_others(first: Up) -> None:
    keys = (first.settings.key_folder / "secrets").glob("*.key")
    known = [key.read_text(encoding="ascii").strip() for key in keys]
    known += json.loads(Path(first.answer["logins_file"]).read_text(encoding="utf-8")).values()
    lines = " ".join(carriers(first.settings.root).values())
    assert "airflow" in lines
    assert [secret for secret in known if secret in lines] == []
    for folder, _folders, files in os.walk(first.settings.root):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            assert not mode & 0o077 or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)), path


def test_a_second_hub_up_is_refused_and_the_first_goes_on(first: Up) -> None:
    second = subprocess.run(
        [*HUB, "up", "--json"],
        env=first.settings.environment() | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert second.returncode == 1
    assert json.loads(second.stdout)["error"]["code"] == "service.running"
    assert first.process.poll() is None
    assert postmaster.running(first.settings.postgres) is not None


def test_what_is_killed_comes_back_and_leaves_nothing_beside_itself(first: Up) -> None:
    since = first.told.stat().st_size
    scheduler, database = first.pid("scheduler"), first.pid("database")
    os.kill(scheduler, signal.SIGKILL)
    os.kill(database, signal.SIGKILL)
    until(lambda: first.is_ready_again("database", since), PATIENCE)
    until(lambda: first.is_ready_again("scheduler", since), PATIENCE)
    assert members(scheduler) == []
    assert first.pid("scheduler") not in {0, scheduler}
    assert first.pid("database") not in {0, database}
    # The other parts of Airflow may have ended with the database.
    for name in COMPONENTS:
        until(lambda name=name: first.is_ready_again(name, 0), PATIENCE)  # type: ignore[misc]


def test_after_kill_9_the_next_hub_up_sweeps_and_takes_over_and_ctrl_c_leaves_nothing(first: Up) -> None:
    sessions = [first.pid(name) for name in sorted(COMPONENTS - {"database"})]
    first.process.kill()
    first.process.wait()
    assert all(members(session) for session in sessions), "what it started lives on without it"
    heir = start(first.settings)
    try:
        told = heir.told.read_text(encoding="utf-8")
        for name in COMPONENTS - {"database"}:
            assert f"{name}: left over by a supervisor that died, ended" in told
        assert [members(session) for session in sessions] == [[]] * len(sessions)
        assert {one["state"] for one in heir.answer["components"]} == {"ready"}
        assert carriers(first.settings.root)
    finally:
        heir.process.send_signal(signal.SIGINT)
        status = heir.process.wait(90)
    assert status == 0
    assert carriers(first.settings.root) == {}
    assert postmaster.processes(first.settings.postgres) == set()


def test_a_port_that_is_taken_is_refused_before_anything_starts(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.web_port)):
        refused = subprocess.run(
            [*HUB, "up", "--json"],
            env=settings.environment() | {"PYTHONPATH": str(PROJECT)},
            capture_output=True,
            check=False,
            timeout=120,
        )
    error = json.loads(refused.stdout)["error"]
    assert refused.returncode == 1
    assert error["code"] == "service.port"
    assert "HUB_WEB_PORT" in error["remedy"]
    assert carriers(settings.root) == {}
