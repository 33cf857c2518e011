"""Airflow's real api-server over a real hub, and a real browser in front of it."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import requests
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

from hub.service.logins import logins_file, make_logins
from tests.e2e.hub import Hub

HUB = (sys.executable, "-c", "from hub.cli import main; main()")
PROJECT = Path(__file__).parents[2]
PATIENCE = 400  # seconds until the api-server answers, its tables made and the machine busy
COOKIE = "_token"


@dataclass
class Pages:
    """The served pages: their address, who can log in, and every answer that anybody was given."""

    hub: Hub
    address: str
    passwords: dict[str, str]
    answers: list[tuple[str, bytes]] = field(default_factory=list, repr=False)

    def visitor(self, name: str | None) -> requests.Session:
        """Be a user who is logged in, or a stranger; redirects are not followed."""
        session = requests.Session()
        session.trust_env = False
        session.hooks["response"].append(
            lambda answer, **_: self.answers.append((answer.url, answer.content))
        )
        if name is not None:
            body = {"username": name, "password": self.passwords[name]}
            told = requests.post(f"{self.address}/auth/token", json=body, timeout=60)
            session.cookies.set(COOKIE, told.json()["access_token"], domain="127.0.0.1", path="/")
        return session

    def _note(self, answer: requests.Response, **_: object) -> None:
        self.answers.append((answer.url, answer.content))

    def get(
        self, visitor: requests.Session, path: str, accept: str = "text/html", **more: str
    ) -> requests.Response:
        """Ask for a page as a browser does."""
        headers = {"Accept": accept, **more}
        return visitor.get(self.address + path, headers=headers, timeout=60, allow_redirects=False)


@contextmanager
def serving(hub: Hub) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start the api-server as `hub airflow` does; what is to be done meanwhile is done in the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**hub.settings.environment(), "HUB_HOME": str(hub.home), "HUB_WEB_PORT": str(port)}
    log = hub.desk / "api-server.log"
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            [*HUB, "airflow", "api-server"], env=environment, stdout=sink, stderr=sink
        ) as server,
    ):
        try:
            yield server, f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()


def answering(hub: Hub, server: subprocess.Popen[bytes], address: str) -> Pages:
    """Wait until the server answers."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert server.poll() is None, (hub.desk / "api-server.log").read_text(encoding="utf-8")[-4000:]
        try:
            requests.get(f"{address}/api/v2/version", timeout=5)
        except requests.RequestException:
            time.sleep(0.3)
        else:
            assert logins_file(hub.settings).stat().st_mode & 0o077 == 0
            return Pages(hub, address, make_logins(hub.settings))
    message = f"no answer from {address} within {PATIENCE} s"
    raise TimeoutError(message)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Open Debian's Chromium; nothing but this machine can be reached from it."""
    program = shutil.which("chromium")
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",  # tests may run as root
                "--disable-dev-shm-usage",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        yield browser
        browser.close()


@dataclass
class Window:
    """A browser window of one user, which writes down whatever goes wrong and wherever it turned."""

    pages: Pages
    page: Page
    name: str
    complaints: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: self._complain(said.type, said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._ask(urlsplit(request.url)))
        self.page.on("response", self._note)

    def log_in(self, path: str) -> None:
        """Ask for a page, be led to Airflow's login, and come back to it."""
        self.page.goto(self.pages.address + path)
        self.page.get_by_label("Username").fill(self.name)
        self.page.get_by_label("Password").fill(self.pages.passwords[self.name])
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"**{path}")

    def shoot(self, folder: Path, name: str) -> None:
        """Save a picture of the whole page."""
        folder.mkdir(parents=True, exist_ok=True)
        self.page.evaluate("document.activeElement.blur()")
        self.page.screenshot(path=folder / f"{name}.png", full_page=True)

    def _ask(self, address: SplitResult) -> None:
        if address.scheme in ("http", "https", "ws", "wss"):  # not what a page holds itself
            self.asked.add(address.netloc)

    def _complain(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(text)

    def _note(self, answer: Response) -> None:
        if "/hub/" in answer.url and answer.request.resource_type == "document":
            self.pages.answers.append((answer.url, answer.body() if answer.ok else b""))
