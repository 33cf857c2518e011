"""Recognisable values go through SFTP, Airflow and the pages: what the hub wrote holds none of them."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import requests
from psycopg import sql

from connectors.consents import read_consents
from hub import consent_register
from hub.service.logins import make_logins
from schemas.samples import csv_bytes, sample, write_consents, write_sample
from tests.alive.hub_up import Alive, until
from tests.e2e.hub import COLLECTOR, Hub
from tests.e2e.search import Search, files, tables, told_apart
from tests.e2e.test_canaries import CANARIES, WORD, marked

pytestmark = pytest.mark.needs("sftp")
PATIENCE = 180
PAGES = ("/hub/submissions", "/hub/log", "/hub/log/0")


def _dropped(alive: Alive) -> list[tuple[str, Path]]:
    """Files with canaries in every personal field: with errors, as XLSX, held back, cut in half."""
    e2, e3, e7 = (alive.agreements[name] for name in ("E2", "E3", "E7"))
    progress = marked(sample(e3, 120, 1, errors=True, canary=WORD))
    consents = alive.desk / "Einwilligungen.csv"
    write_consents(progress, consents)
    consent_register.bring_in(alive.office, COLLECTOR, read_consents(consents))
    attendance = marked(sample(e2, 100, 2, errors=True, canary=WORD, file_format="xlsx"))
    reports = marked(sample(e7, 40, 3, canary=WORD))
    odd = replace(reports, frame=reports.frame.with_columns(pl.lit("SY").alias("Staatsangehoerigkeit")))
    found = []
    for name, made in (("Stand", progress), ("Fehlzeiten", attendance), ("gut", reports), ("odd", odd)):
        path = alive.desk / f"{name} {WORD}.{made.file_format}"
        write_sample(made, path)
        found.append((made.agreement.id, path))
    half = alive.desk / f"halb {WORD}.csv"
    half.write_bytes(csv_bytes(reports)[:1500])
    return [*found, ("E7", half)]


@pytest.fixture(scope="module")
def canaried(alive: Alive) -> Hub:
    """The living hub after canaries went through it, asked by everybody who may ask."""
    mark = alive.since()
    dropped = _dropped(alive)
    alive.drop_at_once((agreement, [path]) for agreement, path in dropped)
    unfinished = alive.desk / f"unfertig {WORD}.csv.part"
    unfinished.write_bytes(dropped[2][1].read_bytes())
    alive.drop("E7", [unfinished])
    rest = {"acknowledged", "refused", "quarantined"}
    until(
        lambda: len(found := alive.submissions(mark)) == len(dropped) and set(found.values()) <= rest,
        PATIENCE,
        "all canaries at rest",
    )
    alive.cast.clients["kreisvolkshochschule"].fetch("receipts/*", alive.desk / "receipts")
    alive.cast.clients["auslaenderbehoerde"].fetch("outbox/E7/*", alive.desk / "parcels")
    assert any(WORD.encode() in path.read_bytes() for path in (alive.desk / "parcels").iterdir())
    return Hub(alive.settings.root)


@pytest.fixture(scope="module")
def search() -> Search:
    return Search(CANARIES)


def test_no_file_of_the_living_hub_holds_a_canary(canaried: Hub, search: Search) -> None:
    """Task logs, component logs, sealed uploads, the databases' own files."""
    logs = [path for path in (canaried.home / "airflow" / "logs").rglob("*.log") if path.stat().st_size]
    assert len(logs) > 10, "tasks have written logs"
    assert not told_apart(search.everywhere(files(canaried)))


def test_no_table_of_the_hub_or_of_airflow_holds_a_canary(canaried: Hub, search: Search) -> None:
    with canaried.superuser("airflow") as airflow:
        (pushed,) = airflow.execute(sql.SQL("SELECT count(*) FROM xcom")).fetchone() or (0,)
    assert pushed > 5, "tasks have pushed XComs"
    for database in ("hub", "airflow"):
        assert not told_apart(search.everywhere(tables(canaried, database)))


def test_no_page_and_no_answer_of_the_interface_holds_a_canary(
    canaried: Hub, alive: Alive, search: Search
) -> None:
    assert canaried.home == alive.settings.root
    address = alive.settings.web_address
    logins = make_logins(alive.settings)
    submissions = [f"/hub/submissions/{name}" for name in alive.submissions(0)]
    interface = (
        "/api/v2/dags",
        "/api/v2/dags/~/dagRuns?limit=100",
        "/api/v2/assets",
        "/api/v2/eventLogs?limit=100",
    )
    seen = []
    for name, paths in (
        ("steward", (*PAGES[:1], *submissions)),
        ("auditor", PAGES[1:]),
        ("admin", interface),
    ):
        body = {"username": name, "password": logins[name]}
        token = requests.post(f"{address}/auth/token", json=body, timeout=60).json()["access_token"]
        for path in paths:
            answer = requests.get(
                address + path,
                headers={"Authorization": f"Bearer {token}"},
                cookies={"_token": token},
                timeout=60,
            )
            assert answer.status_code == 200, path
            seen.append((f"{name}: {path}", answer.content))
    assert not told_apart(search.everywhere(seen))


def test_senders_get_their_own_file_names_and_nothing_else_of_them(canaried: Hub, alive: Alive) -> None:
    """The one place where a sender's own word comes back is the name of its own receipts."""
    assert canaried.home == alive.settings.root
    received = list((alive.desk / "receipts").iterdir())
    assert any(WORD in path.name for path in received)
    search = Search([WORD])
    assert not told_apart(search.everywhere((path.name[-20:], path.read_bytes()) for path in received))
