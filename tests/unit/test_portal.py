"""The pages' parts without Airflow: words, drawings, forms, pace, and that no route is open by its making."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from hub.ledger.entry import Kind
from hub.overview import STEPS
from hub.roles import GROUNDS, Role, Verdict
from hub.states import Fate, State
from portal_pages import forms
from portal_pages.app import make_app
from portal_pages.drawings import GAP, LEAST, WIDTH, bar, in_order, way
from portal_pages.forms import Forged, Session
from portal_pages.pace import Pace, TooFast
from portal_pages.words import PHRASES, Words

PAGES = Path(__file__).parents[2] / "plugins" / "portal_pages"
KEY = bytes(range(32))
ANNA = Session("anna", "a" * 64)
HOME = "http://127.0.0.1:8080"
FAMILIES = {
    "state": [state.value for state in State],
    "fate": [fate.value for fate in Fate],
    "count": ["received", *(fate.value for fate in Fate)],
    "step": STEPS,
    "kind": get_args(Kind),
    "role": [role.value for role in Role],
    "verdict": get_args(Verdict),
    "do": get_args(Verdict),
    "grounds": [code for codes in GROUNDS.values() for code in codes],
    "parcel": ["intended", "sent", "stopped"],
}


def asks_for(dependant: Dependant) -> Iterator[Any]:
    """Everything that a route depends on."""
    yield dependant.call
    for part in dependant.dependencies:
        yield from asks_for(part)


OPEN = {"/log/public/checkpoint", "/log/public/tile/{place:path}"}


def test_every_route_but_the_public_log_asks_for_the_user_by_its_making() -> None:
    def current_user() -> None:
        """Whatever Airflow says."""

    app = make_app(current_user=current_user, login_address=str, session_cookie="c")
    assert app.routes
    for route in app.routes:
        assert isinstance(route, APIRoute), "no mount, no folder of files, no documentation"
        asks = current_user in list(asks_for(route.dependant))
        assert asks == (route.path not in OPEN), route.path
        assert route.methods in ({"GET"}, {"POST"})
    assert {route.path for route in app.routes if isinstance(route, APIRoute)} >= OPEN


def test_the_package_knows_nothing_of_airflow_and_reads_no_environment() -> None:
    for file in PAGES.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) airflow\b", text, re.MULTILINE), file.name
        assert "environ" not in text


def test_airflows_loader_leaves_the_package_alone() -> None:
    ignored = (PAGES.parent / ".airflowignore").read_text(encoding="utf-8").split()
    assert f"{PAGES.name}/" in ignored


def test_every_phrase_is_there_in_both_languages_and_used() -> None:
    said = "".join(file.read_text(encoding="utf-8") for file in PAGES.rglob("*.html"))
    literal = set(re.findall(r'\bw\("([a-z_.]+)"(?: if|[,)])', said))
    assert literal <= PHRASES.keys()
    assert {"do.approve", "done.released", "error.role", "error.role.remedy"} <= PHRASES.keys()
    built = {*FAMILIES, "receipt", "error", "why", "done", "flaw", "method", "fates"}
    for key, words in PHRASES.items():
        assert all(words), key
        assert key in literal or key.partition(".")[0] in built, f"{key} is said nowhere"
        assert [sorted(re.findall(r"{(\w+)}", text)) for text in words[:1]] == [
            sorted(re.findall(r"{(\w+)}", words[1]))
        ], key
    for key in PHRASES:
        if key.startswith("error.") and not key.endswith((".remedy", ".code")):
            assert f"{key}.remedy" in PHRASES


@pytest.mark.parametrize("family", FAMILIES)
def test_every_value_of_a_closed_family_has_its_word(family: str) -> None:
    assert {value for value in FAMILIES[family] if f"{family}.{value}" not in PHRASES} == set()


def test_templates_never_switch_escaping_off_and_hold_no_script_or_style_of_their_own() -> None:
    templates = list(PAGES.rglob("*.html"))
    assert len(templates) == 7
    for file in templates:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe|autoescape|<script|\bon\w+=|\sstyle=|https?://", text), file.name
    assert not re.search(r"@import|url\(|</", (PAGES / "templates" / "portal.css").read_text("utf-8"))


def test_numbers_and_instants_are_written_as_people_read_them() -> None:
    german, english = Words("de"), Words("en")
    assert (german.number(1234567), german.number(0.5)) == ("1.234.567", "0,50")
    assert (english.number(1234567), english.number(0.5)) == ("1,234,567", "0.50")
    summer = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    assert german.instant(summer) == "02.07.2026 00:30:00"
    assert english.instant("2026-11-22T20:30:00+00:00") == "2026-11-22 21:30:00"
    assert german.of("state", "unheard of") == "unheard of"


@given(counts=st.lists(st.integers(0, 80_000_000), min_size=5, max_size=5))
def test_a_bar_shows_every_fate_that_any_row_met_and_no_other(counts: list[int]) -> None:
    rows = dict(zip([fate.value for fate in Fate], counts, strict=True)) | {"received": sum(counts)}
    pieces = bar(rows)
    assert {piece.fate: piece.rows for piece in pieces} == {
        fate: count for fate, count in rows.items() if count and fate != "received"
    }
    for piece, following in pairwise(pieces):
        assert following.x - (piece.x + piece.width) == pytest.approx(GAP, abs=0.3)
    for piece in pieces:
        assert piece.width >= LEAST - 0.1, "one row of many millions can still be seen"
    if pieces:
        assert pieces[-1].x + pieces[-1].width == pytest.approx(WIDTH, abs=0.5)


def test_counts_are_told_in_the_order_in_which_people_read_them() -> None:
    told = in_order({"delivered": 3, "new": 1, "received": 5, "withheld": 2, "refused": 0})
    assert told == [("received", 5), ("delivered", 3), ("withheld", 2), ("new", 1)]


@given(sides=st.lists(st.booleans(), max_size=40))
def test_a_way_is_drawn_upwards_within_its_picture(sides: list[bool]) -> None:
    steps = [(b"s" * 32, side, bytes([at]) * 32) for at, side in enumerate(sides)]
    drawn = way(b"\xff" * 32, steps)
    roles = [knot.role for knot in drawn.knots]
    assert (roles.count("sibling"), roles.count("root")) == (len(sides), 1)
    for knot in drawn.knots:
        assert 0 < knot.x < drawn.width
        assert 0 < knot.y < drawn.height
        assert (knot.parent is None) == (knot.role == "root")
        if knot.parent:
            assert knot.parent[1] < knot.y
    assert len({(knot.x, knot.y) for knot in drawn.knots}) == len(drawn.knots), "no two in one place"


def test_a_form_is_taken_from_the_one_who_was_shown_it_and_in_time() -> None:
    token = forms.token(KEY, ANNA, "decision/1", now=1000)
    forms.check(KEY, ANNA, "decision/1", token, now=1000 + forms.LIFETIME)
    for key, session, form, given_token, now in (
        (bytes(32), ANNA, "decision/1", token, 1000.0),
        (KEY, Session("berta", ANNA.mark), "decision/1", token, 1000),
        (KEY, Session("anna", "b" * 64), "decision/1", token, 1000),
        (KEY, ANNA, "decision/2", token, 1000),
        (KEY, ANNA, "decision/1", token, 1001 + forms.LIFETIME),
        (KEY, ANNA, "decision/1", "9999999999." + token.partition(".")[2], 1000),
    ):
        with pytest.raises(Forged):
            forms.check(key, session, form, given_token, now=now)


@given(text=st.text(max_size=100))
def test_no_other_text_is_a_token(text: str) -> None:
    with pytest.raises(Forged):
        forms.check(KEY, ANNA, "decision/1", text, now=0)


def test_parts_of_a_form_cannot_be_moved_into_one_another() -> None:
    token = forms.token(KEY, Session("anna", "b"), "c", now=0)
    for session, form in (
        (Session("annab", ""), "c"),
        (Session("anna", "bc"), ""),
        (Session("an", "nab"), "c"),
    ):
        with pytest.raises(Forged):
            forms.check(KEY, session, form, token, now=0)


def request(headers: dict[str, str]) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1:8080", **headers}.items()]
    return Request(
        {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": "/x",
            "query_string": b"",
            "headers": raw,
            "server": ("127.0.0.1", 8080),
        }
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": HOME, "sec-fetch-site": "same-origin"},
        {"origin": HOME},
        {"sec-fetch-site": "same-origin"},
        {"origin": "https://hub.example", "sec-fetch-site": "same-origin"},
    ],
)
def test_our_own_pages_may_send_forms(headers: dict[str, str]) -> None:
    forms.check_origin(request(headers), "https://hub.example")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "null", "sec-fetch-site": "same-origin"},
        {"origin": "https://127.0.0.1:8080"},
        {"origin": "http://127.0.0.1:8081"},
        {"origin": "http://127.0.0.1"},
        {"origin": "http://hub.example"},
        {"origin": "https://hub.example.evil.example"},
        {"origin": HOME, "sec-fetch-site": "cross-site"},
        {"origin": HOME, "sec-fetch-site": "same-site"},
        {"origin": HOME, "sec-fetch-site": "none"},
        {"sec-fetch-site": "none"},
    ],
)
def test_nobody_elses_page_may_send_forms(headers: dict[str, str]) -> None:
    with pytest.raises(Forged):
        forms.check_origin(request(headers), "https://hub.example")


def test_a_login_is_known_by_its_cookie_alone() -> None:
    assert forms.session_of(request({"cookie": "t=abc"}), "anna", "t").user == "anna"
    marks = {forms.session_of(request({"cookie": f"t={held}"}), "anna", "t").mark for held in "ab"}
    assert len(marks) == 2
    for headers in (
        {},
        {"cookie": "t="},
        {"cookie": "u=abc"},
        {"cookie": "t=abc", "authorization": "Bearer x"},
    ):
        with pytest.raises(Forged):
            forms.session_of(request(headers), "anna", "t")


def test_the_log_is_turned_no_faster_than_anybody_reads() -> None:
    clock = iter([0.0, 1, 2, 3, 59.9, 60, 60.1, 61, 61.1])
    pace = Pace(most=3, seconds=60, clock=lambda: next(clock))
    for reader in ("anna", "anna", "berta", "anna"):
        pace.step(reader)
    with pytest.raises(TooFast):
        pace.step("anna")
    pace.step("anna")
    with pytest.raises(TooFast):
        pace.step("anna")
    pace.step("anna")
    pace.step("berta")
