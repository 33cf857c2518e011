"""docker-compose.yaml: what it promises on paper, and its own commands at work with two Celery workers.

There is no container engine here: tests/e2e/composed.py says how near this comes to one.
"""

import json
import os
import re
import stat
import subprocess
import tempfile
import time
import tomllib
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import func, select

from hub.database.configuration import SETTINGS
from hub.database.models import Parcel, Submission
from hub.database.session import address
from hub.demo.cast import Cast, assemble
from hub.office import Office
from hub.runtime import database_url, open_office
from schemas.samples import sample
from tests.e2e.composed import ROOT, Composed, read_file
from tests.e2e.hub import Hub, agreement, conserved

FILE = read_file()
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
HUBS = [name for name, told in SERVICES.items() if "build" in told]
E3, E7 = agreement("E3"), agreement("E7")
alive = pytest.mark.needs("redis-server", "sftp")


def test_nothing_is_published_but_the_sftp_port_and_the_pages_to_this_machine_alone() -> None:
    published = {name: told["ports"] for name, told in SERVICES.items() if "ports" in told}
    assert published == {"drop": ["2222:2222"], "api-server": ["127.0.0.1:8080:8080"]}
    assert {told.get("network_mode") for told in SERVICES.values()} == {None}


def test_nothing_but_what_is_published_reaches_beyond_the_inner_network() -> None:
    assert FILE["networks"]["inside"] == {"internal": True}
    outside = {name for name, told in SERVICES.items() if told["networks"] != ["inside"]}
    assert outside == {"drop", "api-server"}


def test_every_service_is_contained() -> None:
    for name, told in SERVICES.items():
        user, group = map(int, told["user"].split(":"))
        assert user >= 10_000, name
        assert group >= 10_000, name
        assert told["read_only"] is True, name
        assert told["cap_drop"] == ["ALL"], name
        assert "cap_add" not in told, name
        assert told["security_opt"] == ["no-new-privileges:true"], name
        assert told.get("privileged") is None, name
        assert told["restart"] == ("on-failure:5" if name == "init" else "unless-stopped"), name
        assert told["logging"]["options"]["max-size"], name


def test_every_service_that_goes_on_has_a_health_check_and_time_to_end() -> None:
    going_on = SERVICES.keys() - {"init"}
    assert {name for name, told in SERVICES.items() if "healthcheck" in told} == going_on
    assert {name for name, told in SERVICES.items() if "stop_grace_period" in told} == going_on


def test_who_needs_something_waits_until_it_is_healthy_or_done() -> None:
    for name, told in SERVICES.items():
        for wanted, how in told.get("depends_on", {}).items():
            done = "service_completed_successfully" if wanted == "init" else "service_healthy"
            assert how == {"condition": done}, (name, wanted)
    assert all("init" in SERVICES[name]["depends_on"] for name in HUBS if name != "init")


def test_images_are_named_with_a_release() -> None:
    assert {told["image"] for told in SERVICES.values() if "build" not in told} == {
        "postgres:18-bookworm",
        "redis:7.2-bookworm",
    }
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {SERVICES[name]["image"] for name in HUBS} == {f"landkreis-data-exchange-hub:{version}"}


def test_secrets_come_as_files_only_and_only_to_those_who_need_them() -> None:
    shown = {name: sorted(told["secrets"]) for name, told in SERVICES.items() if "secrets" in told}
    assert shown == {
        "database": ["postgres_password"],
        "queue": ["redis_password", "redis_users"],
        "init": ["hub_database_url"],
        "scheduler": ["hub_broker_url"],
        "worker": ["hub_broker_url"],
    }
    for name, told in SERVICES.items():
        for variable, value in told.get("environment", {}).items():
            secret = re.search(r"password|secret|token|broker", variable, re.IGNORECASE)
            assert not secret or (variable.endswith("_FILE") and value.startswith("/run/secrets/")), variable
            assert "@" not in value, f"{name}: {variable} holds a login"
        assert not re.search(r"requirepass|://[^/ ]*@", " ".join(map(str, told["command"]))), name
    assert all(set(told) == {"file"} for told in FILE["secrets"].values())


def test_keys_lie_apart_from_data_and_only_their_maker_may_write_them() -> None:
    mounts = {
        name: [volume for volume in SERVICES[name]["volumes"] if volume.startswith("keys:")] for name in HUBS
    }
    assert mounts.pop("init") == ["keys:/var/lib/hub-keys"]
    assert set(map(tuple, mounts.values())) == {("keys:/var/lib/hub-keys:ro",)}
    assert all(SERVICES[name]["environment"]["HUB_KEYS"] == "/var/lib/hub-keys" for name in HUBS)


def test_the_database_server_logs_as_little_as_the_embedded_one() -> None:
    told = dict(word.removeprefix("-c").split("=", 1) for word in SERVICES["database"]["command"][1:])
    own = {name: value for name, value in SETTINGS.items() if name.startswith(("log_", "lc_", "password_"))}
    assert own.items() <= told.items()


def test_the_number_of_workers_is_told_to_the_scheduler_by_the_same_word() -> None:
    three = read_file({"HUB_WORKERS": "3"})["services"]
    assert three["worker"]["deploy"]["replicas"] == three["scheduler"]["environment"]["HUB_WORKERS"] == "3"


def test_the_image_is_made_from_the_lock_and_everything_that_runs_is_in_it() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "--require-hashes --requirement requirements.lock" in text
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"python:3.11-slim-bookworm"}
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert {SERVICES[name]["user"] for name in SERVICES} == {"10001:10001"}
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    assert packages | {"dags", "plugins", "deploy", "requirements.lock", "pyproject.toml"} <= set(allowed)
    assert all((ROOT / name).exists() for name in allowed)


def test_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "of the hub"

    def made() -> dict[str, str]:
        subprocess.run(
            ["/bin/sh", str(ROOT / "deploy" / "secrets.sh"), str(folder)], check=True, capture_output=True
        )
        return {file.name: file.read_text(encoding="ascii") for file in folder.iterdir()}

    first = made()
    assert first.keys() == FILE["secrets"].keys()
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert first["postgres_password"] in first["hub_database_url"]
    assert first["redis_password"] in first["hub_broker_url"]
    assert first["redis_password"] not in first["redis_users"], "Redis is shown a digest"
    assert len({first["postgres_password"], first["redis_password"]}) == 2
    (folder / "hub_broker_url").unlink()
    assert made() == first


@dataclass
class Deployed:
    """The services at work, and the hub as its operator, its partners and its database see it."""

    composed: Composed
    office: Office
    hub: Hub
    cast: Cast

    def drop(self, under: str, *files: Path) -> None:
        """Drop files in one visit, as their sender."""
        client = self.cast.clients[agreement(under).sender.id]
        client.do(*(f'put "{file}" "inbox/{under}/{file.name}"' for file in files))

    def until_acknowledged(self, under: str, count: int, patience: float = 240) -> list[str]:
        """Wait until so many submissions are there and acknowledged."""
        end = time.monotonic() + patience
        while True:
            with self.office.database.transaction() as session:
                wanted = select(Submission.id, Submission.state).where(Submission.agreement == under)
                states = dict(session.execute(wanted).all())
            if Counter(states.values()) == {"acknowledged": count}:
                return sorted(states)
            assert time.monotonic() < end, Counter(states.values())
            time.sleep(0.25)

    def asked_of_airflow(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Read in Airflow's own database."""
        with psycopg.connect(address(database_url(self.hub.settings, "airflow"))) as connection:
            return connection.execute(question.encode(), values).fetchall()

    def worker_that_sends(self, under: str) -> tuple[int, str]:
        """Wait until a task on a worker has sent something and goes on; the worker's number, and the run."""
        end, before = time.monotonic() + 90, dict[str, int]()
        question = """
            SELECT hostname, pid, run_id FROM task_instance
            WHERE dag_id = %s AND task_id = 'deliver' AND state = 'running'
        """
        sent = (
            select(func.count())
            .select_from(Parcel)
            .join(Submission)
            .where(Submission.agreement == under, Parcel.state == "sent")
        )
        while time.monotonic() < end:
            for host, pid, run in self.asked_of_airflow(question, f"exchange_{under.lower()}"):
                with self.office.database.transaction() as session:
                    now = session.scalar(sent) or 0
                if now > before.setdefault(run, now):
                    leaders = {self.composed.running["worker", number].pid: number for number in (1, 2)}
                    contained = self.composed.contained
                    return int(host.removeprefix("worker-")) if contained else leaders[os.getsid(pid)], run
        message = "no worker was seen while it sent"
        raise AssertionError(message)


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    with tempfile.TemporaryDirectory(prefix="hub-") as folder, pytest.MonkeyPatch.context() as patch:
        composed = Composed(Path(folder))
        try:
            composed.up()
            serving = composed.environment("drop")
            for name in ("HUB_KEYS", "HUB_DATABASE_URL", "HUB_DROP_HOST", "HUB_DROP_PORT"):
                patch.setenv(name, serving[name])
            hub = Hub(composed.home)
            with open_office(hub.settings) as office:
                yield Deployed(composed, office, hub, assemble(office, [E3, E7]))
        finally:
            composed.end()


@alive
def test_a_file_goes_through_the_celery_workers_and_everybody_gets_what_they_are_owed(
    deployed: Deployed,
) -> None:
    hub, made = deployed.hub, sample(E3, 300, 11, errors=True)
    assert hub.bring_consents(made).status == 0
    deployed.drop("E3", hub.written(made, "Kurse"))
    (submission,) = deployed.until_acknowledged("E3", 1)

    told = hub.show(submission)
    assert told["rows"] == {
        "received": 300,
        "delivered": made.delivered,
        "already_delivered": 0,
        "refused": sum(made.expected.values()),
        "withheld": sum(made.withheld.values()),
        "quarantined": 0,
    }
    sender, recipient = deployed.cast.clients[E3.sender.id], deployed.cast.clients[E3.recipient.id]
    sender.fetch(f"receipts/*{submission}*", hub.desk / "receipts")
    receipts = [*(hub.desk / "receipts").glob("*.jwt")]
    assert len(receipts) == 2
    recipient.fetch("outbox/E3/*", hub.desk / "parcels")
    (parcel,) = (file for file in (hub.desk / "parcels").iterdir() if file.suffix == ".csv")
    assert len(parcel.read_text("utf-8").splitlines()) == 1 + made.delivered
    words = [word for file in receipts for word in ("--receipt", str(file))]
    verified = deployed.composed.run("drop", "hub", "log", "verify", "--json", *words)
    assert verified.returncode == 0, verified.stderr
    ran = deployed.asked_of_airflow(
        "SELECT task_id, state FROM task_instance WHERE dag_id = 'exchange_e3' AND state <> 'skipped'"
    )
    assert len(ran) >= 6
    assert {state for _task, state in ran} == {"success"}


@alive
def test_a_worker_killed_in_the_middle_loses_nothing_and_sends_nothing_twice(deployed: Deployed) -> None:
    hub, composed = deployed.hub, deployed.composed
    lists = [sample(E7, 3000, seed) for seed in range(41, 49)]
    files = [hub.written(made, f"Meldung {number}") for number, made in enumerate(lists)]
    deployed.drop("E7", *files[:6])
    number, run = deployed.worker_that_sends("E7")
    composed.kill("worker", number)
    killed = datetime.now(UTC)
    deployed.drop("E7", *files[6:])
    submissions = deployed.until_acknowledged("E7", len(files))

    log, shown = hub.log(), [hub.show(submission) for submission in submissions]
    for told in shown:
        kinds = Counter(entry["kind"] for entry in log if entry.get("submission") == told["submission"])
        assert (kinds["intent"], kinds["outcome"]) == (1, 1)
        assert conserved(told["rows"])
        assert [parcel["state"] for parcel in told["parcels"]] == ["sent"]
    assert sum(told["rows"]["delivered"] for told in shown) == sum(made.delivered for made in lists)
    assert hub.run("log", "verify").status == 0

    tries = """
        SELECT hostname, state, start_date FROM {}
        WHERE (dag_id, run_id, task_id) = ('exchange_e7', %s, 'deliver')
    """
    lost = deployed.asked_of_airflow(tries.format("task_instance_history"), run)
    taken_over = deployed.asked_of_airflow(tries.format("task_instance"), run)
    assert [state for _host, state, _began in lost] == ["failed"], "it was amid its work"
    ((host, state, began),) = taken_over
    assert state in {"success", "skipped"}
    assert (began - killed).total_seconds() < 60, "a lost task is missed after half a minute"
    if composed.contained:
        assert lost[0][0] == f"worker-{number}"
        assert host == f"worker-{3 - number}"


@alive
def test_the_api_server_shows_what_tasks_wrote_on_workers(deployed: Deployed) -> None:
    composed = deployed.composed
    login = {
        "username": "admin",
        "password": json.loads((composed.home / "airflow/logins.json").read_bytes())["admin"],
    }
    asked = deployed.asked_of_airflow(
        "SELECT run_id, try_number FROM task_instance WHERE (dag_id, task_id) = ('exchange_e3', 'receive')"
    )
    pages = f"http://127.0.0.1:{composed.ports['8080']}"

    def answer(path: str, content: bytes | None = None, **headers: str) -> Any:
        request = urllib.request.Request(f"{pages}{path}", content, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as told:  # noqa: S310
            return json.load(told)

    token = answer("/auth/token", json.dumps(login).encode(), **{"Content-Type": "application/json"})
    run, number = asked[0]
    log = answer(
        f"/api/v2/dags/exchange_e3/dagRuns/{quote(run)}/taskInstances/receive/logs/{number}",
        Authorization=f"Bearer {token['access_token']}",
        Accept="application/json",
    )
    assert "claimed 1" in json.dumps(log)


@alive
def test_no_secret_stands_in_a_command_line_or_in_what_services_are_given(deployed: Deployed) -> None:
    composed = deployed.composed
    secrets = {file.read_text("ascii") for file in (composed.folder / "secrets").glob("*_password")}
    keys = composed.folder / "var/lib/hub-keys"
    secrets |= {file.read_text("ascii").strip() for file in keys.rglob("*.key")}
    lines = [*map(_command_line, Path("/proc").glob("[0-9]*"))]
    assert any("scheduler" in line for line in lines), "they are at work"
    assert not [line for line in lines if any(secret in line for secret in secrets)]
    given = [value for name in SERVICES for value in composed.environment(name).values()]
    assert not [value for value in given if any(secret in value for secret in secrets)]


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@alive
def test_health_checks_say_no_where_nobody_answers(deployed: Deployed) -> None:
    composed = deployed.composed
    for service in ("worker", "drop", "queue"):  # the queue last: without it no worker answers
        for name, number in [one for one in composed.running if one[0] == service]:
            composed.kill(name, number)
        assert not composed.is_healthy(service), service
    for service in ("database", "api-server", "scheduler", "dag-processor", "triggerer"):
        assert composed.is_healthy(service)
