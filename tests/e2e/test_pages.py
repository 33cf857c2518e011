"""The pages in Airflow's own, as people see them: real api-server, real logins, Debian's Chromium."""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Browser, FrameLocator, expect
from starlette.routing import Route

from hub import exchange, intake, readings, staff
from hub.ledger.evidence import Unsound
from hub.ledger.inclusion import prove
from hub.roles import LOGINS
from hub.runtime import initialise, open_office
from hub.settings import Settings
from portal_pages.app import make_app
from portal_pages.site import HEADERS
from schemas.reasons import reason
from schemas.samples import sample
from tests.e2e.accessible import flaws
from tests.e2e.hub import Answer, Hub, agreement, plain_csv
from tests.e2e.pages import Pages, Window, answering, browsing, serving
from tests.e2e.search import Search, told_apart
from tests.e2e.test_canaries import CANARIES, WORD, marked

pytestmark = pytest.mark.needs("chromium")
E2, E3 = agreement("E2"), agreement("E3")
NOBODY = "admin"  # may log in to Airflow; this hub knows no such member of staff
ROLES = {name: role for name, role in LOGINS.items() if name != NOBODY}
LOOK = re.compile(r'name="(token|matter|verdict)" value="([^"]+)"')
PICTURES = os.environ.get("HUB_SCREENSHOTS")


@dataclass
class Scene:
    """What was there before anybody looked: one file delivered by the command line, two held, one refused."""

    pages: Pages
    delivered: Answer
    held: tuple[str, str]
    refused: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("pages") / "home"
    initialise(Settings(home=home))
    with open_office(Settings(home=home)) as office:
        hub = Hub(home)
        with serving(hub) as (server, address):  # it takes its time to start; meanwhile files come in
            made = marked(sample(E3, 300, 7, errors=True, canary=WORD))
            assert hub.bring_consents(made).status == 0
            delivered = hub.submit(made, f"{WORD} Liste")
            assert hub.fetch(delivered.json["parcels"][0]["id"], E3.recipient.id).status == 0
            spoilt = plain_csv(made.frame), *(spoilt_file(seed) for seed in (8, 9))
            under = ("E2", "E2", "E2")
            refused, *held = [
                intake.accept(office, io.BytesIO(content), name, intake.Totals(), name=f"{WORD}.csv")
                for content, name in zip(spoilt, under, strict=True)
            ]
            assert exchange.carry(office, refused) == "refused"
            assert [exchange.carry(office, one) for one in held] == ["quarantined", "quarantined"]
            for name, role in ROLES.items():
                staff.ensure(office, name, role)
            yield Scene(answering(hub, server, address), delivered, (held[0], held[1]), refused)


def spoilt_file(seed: int) -> bytes:
    """A file of which more rows are wrong than its agreement expects, with a canary in every row."""
    made = marked(sample(E2, 40, seed, canary=WORD))
    return plain_csv(made.frame.with_columns(made.frame["Kursnummer"].str.slice(1).alias("Kursnummer")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def auditor(scene: Scene, browser: Browser) -> Iterator[Window]:
    """The auditor's window, logged in by hand on the way to the submissions."""
    with browser.new_context(locale="de-DE", viewport={"width": 1366, "height": 900}) as context:
        context.set_default_timeout(60_000)
        window = Window(scene.pages, context.new_page(), "auditor")
        window.log_in("/hub/submissions")
        yield window


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(PICTURES) if PICTURES else tmp_path_factory.mktemp("pictures")


def every_route(scene: Scene) -> list[tuple[str, str]]:
    """All routes that are not open to everybody, as methods and addresses of something which is there."""
    app = make_app(current_user=print, login_address=str, session_cookie="")
    places = {"{identity}": scene.held[0], "{index}": "0"}
    found = []
    for route in app.routes:
        assert isinstance(route, Route), "no mount, no static folder"
        if route.path.startswith("/log/public/"):
            continue
        path = re.sub(r"\{\w+\}", lambda part: places[part[0]], route.path)
        found += [(method, f"/hub{path}") for method in route.methods or ()]
    assert len(found) == 7
    return found


def send(pages: Pages, visitor: requests.Session, method: str, path: str, **more: Any) -> requests.Response:
    return visitor.request(method, pages.address + path, timeout=60, allow_redirects=False, **more)


def log_size(scene: Scene) -> int:
    return len(scene.pages.hub.log())


def test_no_route_answers_a_stranger(scene: Scene) -> None:
    pages, before = scene.pages, log_size(scene)
    stranger = pages.visitor(None)
    for method, path in every_route(scene):
        answer = send(pages, stranger, method, path, headers={"Accept": "text/html"})
        if method == "GET" and not path.endswith(("/proof", "/body")):
            assert (answer.status_code, answer.content) == (303, b"")
            assert answer.headers["location"] == f"/auth/login?next={quote(path, safe='')}"
        else:
            assert answer.status_code == 401
        as_data = send(pages, stranger, method, path, headers={"Accept": "application/json"})
        assert as_data.status_code == 401
        forged = send(pages, stranger, method, path, cookies={"_token": "e30.e30.e30"})
        assert forged.status_code in (303, 401)
    assert log_size(scene) == before


def test_the_public_log_is_everybody_s_and_holds_hashes_alone(scene: Scene) -> None:
    assert scene.pages.hub.run("log", "checkpoint", "--publish").status == 0
    before, stranger = log_size(scene), scene.pages.visitor(None)
    answer = send(scene.pages, stranger, "GET", "/hub/log/public/checkpoint")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    size = int(answer.text.split("\n")[1])
    tile = send(scene.pages, stranger, "GET", f"/hub/log/public/tile/0/000.p/{size}")
    assert (tile.status_code, len(tile.content)) == (200, 32 * size)
    for path in ("entries/000", "0/0", "..%2fcheckpoint", "..%2fkeys/log-1.pem"):
        refused = send(scene.pages, stranger, "GET", f"/hub/log/public/tile/{path}")
        assert (refused.status_code, refused.text) == (404, "404")
    assert send(scene.pages, stranger, "POST", "/hub/log/public/checkpoint").status_code == 405
    assert log_size(scene) == before, "reading what is public is no reading of the log"


def test_no_route_answers_a_user_whom_the_hub_does_not_know(scene: Scene) -> None:
    nobody, before = scene.pages.visitor(NOBODY), log_size(scene)
    for method, path in every_route(scene):
        answer = send(scene.pages, nobody, method, path)
        assert answer.status_code == 403
        assert "S-2" not in answer.text
    assert log_size(scene) == before


def test_each_role_sees_what_its_task_needs_and_no_more(scene: Scene) -> None:
    expected = {"steward": (200, 403), "auditor": (200, 200), "dpo": (200, 200)}
    for name, (submissions, log) in expected.items():
        visitor, before = scene.pages.visitor(name), log_size(scene)
        for path in ("/hub/submissions", f"/hub/submissions/{scene.held[0]}"):
            answer = scene.pages.get(visitor, path)
            assert answer.status_code == submissions
            assert ("/hub/log" in answer.text) == (log == 200), "no way is shown that is closed"
        assert log_size(scene) == before
        for path in ("/hub/log", "/hub/log/0", "/hub/log/0/proof", "/hub/log/0/body"):
            assert scene.pages.get(visitor, path).status_code == log
        assert log_size(scene) == before + (4 if log == 200 else 0), "each reading is logged"
    decide = {
        name: send(scene.pages, scene.pages.visitor(name), "POST", decision(scene)) for name in expected
    }
    assert {name: answer.status_code for name, answer in decide.items()} == {
        "steward": 400,
        "auditor": 403,
        "dpo": 400,
    }


def test_every_answer_forbids_what_pages_do_not_need(scene: Scene) -> None:
    auditor, stranger = scene.pages.visitor("auditor"), scene.pages.visitor(None)
    paths = (
        "/hub/submissions",
        "/hub/log/0",
        "/hub/log/0/proof",
        "/hub/none",
        "/hub/log/99999",
        "/hub/log/x",
    )
    for visitor in (auditor, stranger):
        for path in paths:
            told = scene.pages.get(visitor, path).headers
            assert {name: told[name] for name in HEADERS} == HEADERS
    assert "script" not in HEADERS["Content-Security-Policy"]
    assert HEADERS["Content-Security-Policy"].startswith("default-src 'none';")


def test_documentation_routes_are_off_and_errors_quote_nothing(scene: Scene) -> None:
    auditor = scene.pages.visitor("auditor")
    for path in ("/docs", "/redoc", "/openapi.json", "/", "/submissions/", "/static/x"):
        assert scene.pages.get(auditor, f"/hub{path}").status_code == 404
    word = "Zitatprobe"
    for path, status in {
        f"/submissions/{word}": 404,
        "/submissions/S-20200101-0000000000": 404,
        f"/submissions?state={word}": 400,
        f"/submissions?agreement=%3Cb%3E{word}": 400,
        f"/log/{word}": 404,
        "/log/999999": 404,
        f"/log/{2**63}": 404,
        f"/log?kind={word}": 400,
        f"/log?submission={word}": 400,
    }.items():
        answer = scene.pages.get(auditor, f"/hub{path}")
        assert (answer.status_code, word in answer.text) == (status, False), path


def test_without_its_database_the_portal_says_so_and_nothing_else(scene: Scene) -> None:
    auditor = scene.pages.visitor("auditor")
    with scene.pages.hub.superuser("postgres") as database:
        database.execute("ALTER DATABASE hub ALLOW_CONNECTIONS false")
        database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'hub'")
        try:
            for path in ("/hub/submissions", "/hub/log/0"):
                answer = scene.pages.get(auditor, path)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                assert "Die Datenbank antwortet gerade nicht." in answer.text
                assert not re.search(r"postgres|hub_|psycopg|SELECT|Traceback", answer.text)
        finally:
            database.execute("ALTER DATABASE hub ALLOW_CONNECTIONS true")
    assert scene.pages.get(auditor, "/hub/submissions").status_code == 200


def test_what_cannot_be_logged_is_not_shown(scene: Scene) -> None:
    auditor = scene.pages.visitor("auditor")
    with scene.pages.hub.superuser() as database:
        database.execute("REVOKE INSERT ON ledger.entry FROM hub_application")
        database.execute("REVOKE INSERT, UPDATE ON hub.log_reading FROM hub_application")
        try:
            for path in ("/hub/log", "/hub/log/0", "/hub/log/0/proof"):
                answer = scene.pages.get(auditor, path)
                assert (answer.status_code, re.search("<table|<pre|activated", answer.text)) == (500, None)
        finally:
            database.execute("GRANT INSERT ON ledger.entry TO hub_application")
            database.execute(
                "GRANT INSERT, UPDATE (readings, seen, last_at) ON hub.log_reading TO hub_application"
            )


def test_the_submissions_are_seen_with_state_counts_and_reasons(
    scene: Scene, auditor: Window, pictures: Path
) -> None:
    auditor.page.goto(f"{scene.pages.address}/hub/submissions")
    rows = auditor.page.locator("tbody tr")
    expect(rows).to_have_count(4)
    told = scene.delivered.json
    first = rows.last
    expect(first).to_contain_text("quittiert")
    expect(first).to_contain_text(f"{E3.sender.name}")
    for count, word in (
        (300, "erhalten"),
        (told["rows"]["delivered"], "geliefert"),
        (told["rows"]["refused"], "abgewiesen"),
        (told["rows"]["withheld"], "zurückgehalten"),
    ):
        expect(first).to_contain_text(f"{count} {word}")
    drawn = first.get_by_role("img")
    expect(drawn).to_have_attribute("aria-label", re.compile(f"Von 300 Zeilen: {told['rows']['delivered']}"))
    expect(rows.nth(2)).to_contain_text("abgewiesen")
    expect(rows.nth(2)).to_contain_text(reason("file.header").de)
    for at in (0, 1):
        expect(rows.nth(at)).to_contain_text("in Quarantäne")
        expect(rows.nth(at)).to_contain_text(reason("batch.refused_share").de)
    assert flaws(auditor.page) == []
    auditor.shoot(pictures, "submissions")
    auditor.page.get_by_role("link", name="in Quarantäne 2").click()
    expect(auditor.page.locator("tbody tr")).to_have_count(2)
    auditor.page.get_by_label("Vereinbarung").select_option("E3")
    auditor.page.get_by_role("button", name="Anwenden").click()
    expect(auditor.page.get_by_text("Keine Einlieferung passt zu dieser Auswahl.")).to_be_visible()


def test_one_submission_is_seen_with_its_course_parcel_and_receipts(
    scene: Scene, auditor: Window, pictures: Path
) -> None:
    told, page = scene.delivered.json, auditor.page
    page.goto(f"{scene.pages.address}/hub/submissions")
    page.get_by_role("link", name=told["submission"]).click()
    course = page.locator("ol.course li")
    expect(course).to_have_count(6)
    expect(course.last).to_contain_text("quittiert")
    for code, count in told["reasons"].items():
        line = page.locator("tr", has=page.get_by_text(code, exact=True))
        expect(line).to_contain_text(reason(code).de)
        expect(line.locator("td").first).to_have_text(str(count))
    parcel = page.locator("tr", has_text=told["parcels"][0]["name"])
    expect(parcel).to_contain_text(told["parcels"][0]["sha256"])
    expect(parcel).to_contain_text("gesendet")
    expect(parcel).not_to_contain_text("noch nicht")
    for step in ("annehmen", "prüfen", "freigeben", "schützen", "liefern", "quittieren"):
        expect(page.get_by_role("rowheader", name=step, exact=True)).to_be_visible()
    expect(page.get_by_text("Eingangsquittung")).to_be_visible()
    assert flaws(page) == []
    auditor.shoot(pictures, "submission")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_text("partially taken")).to_be_visible()
    page.get_by_role("link", name="All submissions").click()
    expect(page.get_by_role("heading", name="Submissions")).to_be_visible()
    page.get_by_role("link", name="Deutsch").click()


def test_the_log_is_shown_in_airflows_own_frame_with_the_proof_of_an_entry(
    scene: Scene, auditor: Window, pictures: Path
) -> None:
    page, told = auditor.page, scene.delivered.json
    page.goto(scene.pages.address + "/")
    page.get_by_role("link", name="Protokoll", exact=True).click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Übermittlungsprotokoll")).to_be_visible()
    newest = frame.locator("tbody tr").first
    size = int((newest.locator("th").text_content() or "").strip()) + 1
    expect(frame.get_by_text(re.compile(rf"^{size} Einträge\."))).to_be_visible()
    page.screenshot(path=pictures / "log.png")
    intent = told["parcels"][0]["intent_index"]
    frame.get_by_role("link", name=str(intent), exact=True).click()
    prove_what_is_seen(frame, intent)
    with page.expect_download() as fetched:
        frame.get_by_role("link", name="Beweis herunterladen").click()
    text = Path(fetched.value.path()).read_text(encoding="utf-8")
    assert fetched.value.suggested_filename == f"entry-{intent}.tlog-proof"
    body = scene.pages.get(scene.pages.visitor("auditor"), f"/hub/log/{intent}/body").content
    with open_office(scene.pages.hub.settings) as office:
        key, origin = office.ring.log_public(), office.settings.origin
    assert prove(body, text, origin, key).index == intent
    with pytest.raises(Unsound):
        prove(body + b" ", text, origin, key)
    page.goto(f"{scene.pages.address}/hub/log/{intent}")
    assert flaws(page) == []
    auditor.shoot(pictures, "entry")
    page.goto(f"{scene.pages.address}/hub/log")
    assert flaws(page) == []
    with open_office(scene.pages.hub.settings) as office:
        readings.close(office, timedelta())  # as upkeep does once their five minutes are over
        with office.database.transaction() as session:
            alias = next(one.alias for one in staff.listed(session) if one.name == "auditor")
    log = scene.pages.hub.log()
    looks = [entry for entry in log if entry["kind"] == "log_read" and entry["actor"]["id"] == alias]
    proofs = [entry["details"] for entry in looks if entry["reason"] == "proof"]
    assert any(told["first"] <= intent <= told["last"] for told in proofs)
    assert scene.pages.hub.run("log", "verify").json["ok"]


def prove_what_is_seen(frame: FrameLocator, index: int) -> None:
    """The entry's page says proved, shows the steps, and the drawing's end is the root of the checkpoint."""
    expect(frame.get_by_role("heading", name=f"Eintrag {index}")).to_be_visible()
    expect(frame.get_by_role("heading", name="Bewiesen")).to_be_visible()
    expect(frame.locator("pre").first).to_contain_text('"kind": "intent"')
    steps = frame.locator("table.proof tbody tr").count()
    assert steps >= 4
    expect(frame.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile(f"{steps} Schritte vom Eintrag {index}")
    )
    root = frame.locator("table.proof tbody tr").last.locator("td").last.text_content() or ""
    assert re.fullmatch(r"[0-9a-f]{64}", root.strip())
    expect(frame.locator("dl").nth(1)).to_contain_text(root.strip())


def test_two_people_release_with_two_logins(scene: Scene, browser: Browser, pictures: Path) -> None:
    held, pages = scene.held[0], scene.pages
    for name, said in (
        ("steward", "Eine zweite Person muss noch"),
        ("dpo", "Die Einlieferung ist freigegeben"),
    ):
        with browser.new_context(locale="de-DE") as context:
            context.set_default_timeout(60_000)
            window = Window(pages, context.new_page(), name)
            window.log_in(f"/hub/submissions/{held}")
            assert flaws(window.page) == []
            window.shoot(pictures, f"decision-{name}")
            window.page.get_by_role("button", name="Freigeben").click()
            expect(window.page.get_by_role("status")).to_contain_text(said)
            expect(window.page.get_by_role("button", name="Freigeben")).to_have_count(0)
            assert window.complaints == []
            elsewhere = window.page.url.replace(held, scene.held[1])
            assert "?done=" in elsewhere
            window.page.goto(elsewhere)
            expect(window.page.get_by_role("status")).to_have_count(0)
    told = pages.hub.run("review", "show", held).json
    assert [(word["approver"], word["method"], word["valid"]) for word in told["decisions"]] == [
        ("steward", "login", True),
        ("dpo", "login", True),
    ]
    assert pages.hub.show(held)["state"] == "validated"


def decision(scene: Scene) -> str:
    return f"/hub/submissions/{scene.held[1]}/decision"


def test_nothing_is_decided_by_a_form_that_is_not_ones_own(scene: Scene) -> None:
    pages, path = scene.pages, decision(scene)
    steward, dpo = pages.visitor("steward"), pages.visitor("dpo")
    shown = pages.get(steward, f"/hub/submissions/{scene.held[1]}").text
    token, matter, _ = (value for _, value in LOOK.findall(shown)[:3])
    good = {"token": token, "matter": matter, "verdict": "approve", "grounds": "examined"}
    ours = {"Origin": pages.address, "Sec-Fetch-Site": "same-origin"}

    def sent(visitor: requests.Session, headers: dict[str, str], **changed: str) -> int:
        return send(pages, visitor, "POST", path, data=good | changed, headers=headers).status_code

    assert sent(steward, {}) == 403
    assert sent(steward, {"Origin": "https://elsewhere.example"}) == 403
    assert sent(steward, {"Origin": "null", "Sec-Fetch-Site": "same-origin"}) == 403
    assert sent(steward, {"Sec-Fetch-Site": "cross-site"}) == 403
    assert sent(steward, ours | {"Sec-Fetch-Site": "same-site"}) == 403
    assert sent(dpo, ours) == 403, "another person's form"
    assert sent(pages.visitor("steward"), ours) == 403, "another login session's form"
    assert sent(steward, ours, verdict="reject") == 403, "a form of its own for each verdict"
    assert sent(steward, ours, token=token[:-1] + ("0" if token[-1] != "0" else "1")) == 403
    assert sent(steward, ours, token="9" * 10 + token[10:]) == 403, "a longer life"
    assert sent(steward, ours, matter="0" * 64) == 403
    bearer = ours | {"Authorization": f"Bearer {steward.cookies['_token']}"}
    assert sent(steward, bearer) == 403, "forms are sent by browsers"
    assert pages.hub.run("review", "show", scene.held[1]).json["decisions"] == []
    assert sent(steward, ours) == 303
    assert sent(steward, ours) == 409, "one word each"
    (word,) = pages.hub.run("review", "show", scene.held[1]).json["decisions"]
    assert (word["approver"], word["verdict"]) == ("steward", "approve")


def test_whoever_is_suspended_sees_nothing_from_that_moment(scene: Scene) -> None:
    dpo = scene.pages.visitor("dpo")
    assert scene.pages.get(dpo, "/hub/log").status_code == 200
    with open_office(scene.pages.hub.settings) as office, office.database.transaction() as session:
        staff.suspend(session, office, "dpo")
    assert scene.pages.get(dpo, "/hub/log").status_code == 403


def test_the_browser_asked_nobody_else_and_had_nothing_to_complain_about(
    scene: Scene, auditor: Window
) -> None:
    assert auditor.asked == {scene.pages.address.removeprefix("http://")}
    assert auditor.complaints == []


def test_no_canary_is_in_any_answer_or_in_the_servers_own_log(scene: Scene) -> None:
    """Every page that this file's tests were given, Airflow's answers among them, and what was logged."""
    log = (scene.pages.hub.desk / "api-server.log").read_bytes()
    places = [*scene.pages.answers, ("api-server.log", log)]
    assert len(places) > 100
    assert not told_apart(Search(CANARIES).everywhere(places))
