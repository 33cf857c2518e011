"""The public log over HTTP: what is open without a login, and that nothing else is."""

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import FastAPI, HTTPException

from hub.settings import Settings
from portal_pages.app import make_app
from portal_pages.door import Door
from portal_pages.site import HEADERS

NOTE = "hub.example/log\n300\n…\n\n— hub.example/log AAAA\n"
FULL, PART, TOP = bytes(range(256)) * 32, b"p" * 44 * 32, b"t" * 32
LASTING = "public, max-age=31536000, immutable"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "public-log"
    for path, content in {
        "checkpoint": NOTE.encode(),
        "tile/0/000": FULL,
        "tile/0/001.p/44": PART,
        "tile/1/000.p/1": TOP,
        "secret": b"secret",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "000").write_bytes(b"secret")
    return tmp_path


@dataclass
class Answer:
    status_code: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()


@dataclass
class Stranger:
    """Somebody who is not logged in and asks for paths as they stand, in the server's own protocol (ASGI)."""

    app: FastAPI

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def request(self, method: str, path: str) -> Answer:
        told: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            told.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"hub.example"), (b"accept", b"text/html")],
            "server": ("hub.example", 80),
            "client": ("127.0.0.1", 1),
        }
        asyncio.run(self.app(scope, receive, send))
        headers = {name.decode(): value.decode() for name, value in told[0]["headers"]}
        return Answer(told[0]["status"], headers, b"".join(part.get("body", b"") for part in told[1:]))


@pytest.fixture
def stranger(home: Path) -> Stranger:
    """The hub that is asked has neither keys nor database."""

    def nobody() -> None:
        raise HTTPException(401)

    app = make_app(
        current_user=nobody,
        login_address=lambda page: f"/login?next={page}",
        session_cookie="c",
        door=Door(lambda: Settings(home=home)),
    )
    return Stranger(app)


def test_checkpoint_and_tiles_are_read_without_a_login(stranger: Stranger) -> None:
    answer = stranger.get("/log/public/checkpoint")
    assert (answer.status_code, answer.text) == (200, NOTE)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    for path, content in {
        "0/000": FULL,
        "0/001.p/44": PART,
        "1/000.p/1": TOP,
        "0/001.p/7": PART[: 7 * 32],
        "0/000.p/255": FULL[: 255 * 32],
    }.items():
        answer = stranger.get(f"/log/public/tile/{path}")
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["cache-control"] == LASTING
        others = HEADERS.keys() - {"Cache-Control"}
        assert {name: answer.headers[name.lower()] for name in others} == {
            name: HEADERS[name] for name in others
        }


@pytest.mark.parametrize(
    "path",
    [
        "secret",
        "tile/0/001",
        "tile/0/000.p/256",
        "tile/0/000.p",
        "tile/0/0",
        "tile/entries/000",
        "tile/0/../../secret",
        "tile/0/..%2f..%2f..%2fkeys%2f000",
        "tile/0/%2e%2e/%2e%2e/secret",
        "tile//0/000",
        "tile/0/000/",
        "tile/0/000%00",
        "tile/0/x000/000",
        "",
        "entries",
    ],
)
def test_nothing_else_is_there_whatever_the_path_says(stranger: Stranger, path: str) -> None:
    answer = stranger.get(f"/log/public/{path}")
    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000"])
def test_what_is_public_can_be_read_and_nothing_more(stranger: Stranger, method: str, path: str) -> None:
    assert stranger.request(method, f"/log/public/{path}").status_code == 405


def test_before_anything_is_published_nothing_is_there(stranger: Stranger, home: Path) -> None:
    (home / "public-log" / "checkpoint").unlink()
    answer = stranger.get("/log/public/checkpoint")
    assert (answer.status_code, answer.text) == (404, "404")


@pytest.mark.parametrize("path", ["/log", "/log/0", "/log/0/proof", "/log/0/body", "/submissions"])
def test_every_other_page_still_asks_for_the_login(stranger: Stranger, path: str) -> None:
    assert stranger.get(path).status_code in {303, 401}
