"""The auditor's desk: both verifiers of a kit side by side, one of them open in a real browser."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from hub.kit.browser import build_page
from hub.kit.program import build_program, sentences
from tests.e2e.made_kits import write
from tests.e2e.pages import browsing

PICTURES = os.environ.get("HUB_SCREENSHOTS")
_NUMBERS = count()


@dataclass
class Desk:
    """The auditor's desk: both verifiers, the page open in a browser, and whatever the page did beside."""

    folder: Path
    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _chosen: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def lay(self, name: str, content: str | bytes | Mapping[str, bytes]) -> Path:
        """Lay a file on the desk, or a kit of these members; none is written over, as browsers mind that."""
        file = self.folder / str(next(_NUMBERS)) / name
        file.parent.mkdir()
        if isinstance(content, Mapping):
            return write(file, content)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    def open(self) -> None:
        """Open the page anew, from its file."""
        self.page.goto((self.folder / "pruefen.html").as_uri())
        expect(self.page.locator("#self")).to_contain_text("Bestanden")
        self._chosen.clear()

    def by_page(self, case: "Case") -> dict[str, Any]:
        """Choose the files, press the button, and save what the page found."""
        for sort, files in (
            ("kit", [case.kit]),
            ("trust", [case.trust] if case.trust else []),
            ("receipts", case.receipts),
            ("kept", case.kept),
        ):
            if files or self._chosen.get(sort):
                self.page.set_input_files(f"#{sort}", files)
            self._chosen[sort] = bool(files)
        self.page.get_by_role("button", name="Prüfen").click()
        expect(self.page.locator("#verdict")).to_be_visible()
        with self.page.expect_download() as saved:
            self.page.get_by_role("button", name="Ergebnis als JSON speichern").click()
        told: dict[str, Any] = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
        return told

    def by_program(self, case: "Case") -> "subprocess.Popen[str]":
        """Ask pruefen.py the same; it works while the page does."""
        words = [str(self.folder / "pruefen.py"), "--json", str(case.kit)]
        words += ["--trust", str(case.trust)] if case.trust else []
        words += [part for file in case.receipts for part in ("--receipt", str(file))]
        words += [part for file in case.kept for part in ("--checkpoint", str(file))]
        return subprocess.Popen(
            [sys.executable, "-I", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


@dataclass
class Case:
    """A kit with what an auditor brings to it."""

    kit: Path
    trust: Path | None
    receipts: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def agreed(desk: Desk, case: Case) -> dict[str, Any]:
    """What both verifiers say, which must be the same."""
    with desk.by_program(case) as running:
        page = desk.by_page(case)
        said, complaint = running.communicate(timeout=60)
    program = json.loads(said)
    assert running.returncode == (0 if program["ok"] else 1), complaint
    for told in (page, program):
        for several in ("findings", "notes"):
            told[several].sort(key=lambda one: (one["code"], one["place"]))
    assert page == program
    shown = desk.page.locator("section[aria-labelledby=about-findings] tbody th").all_text_contents()
    assert sorted(shown) == [one["code"] for one in page["findings"]]
    return page


def codes(told: dict[str, Any]) -> set[str]:
    return {one["code"] for one in told["findings"]}


def places(told: dict[str, Any], code: str) -> list[str]:
    return [one["place"] for one in told["findings"] if one["code"] == code]


def shoot(desk: Desk, name: str) -> None:
    """Save a picture of the whole page, where pictures are wanted."""
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        desk.page.evaluate("document.activeElement.blur()")
        desk.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


@contextmanager
def at_desk(folder: Path) -> Iterator[tuple[Desk, Browser]]:
    """Lay both verifiers on the desk and open the page."""
    (folder / "pruefen.html").write_text(build_page(sentences()), encoding="utf-8")
    (folder / "pruefen.py").write_text(build_program(), encoding="utf-8")
    with (
        browsing() as browser,
        browser.new_context(locale="de-DE", viewport={"width": 1366, "height": 900}) as context,
    ):
        desk = Desk(folder, context.new_page())
        desk.open()
        yield desk, browser
