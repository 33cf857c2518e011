"""The life of a submission: one table, and everything drawn from it."""

from itertools import pairwise
from pathlib import Path

import pytest

from hub.database.migrations.versions.r0001_tables import STATE_RULES
from hub.states import FINAL, RESTING, TRANSITIONS, State, diagram

PAGE = Path(__file__).parents[2] / "docs" / "submission-states.md"
STRAIGHT = [
    State.RECEIVED,
    State.VALIDATED,
    State.AUTHORISED,
    State.PROTECTED,
    State.DELIVERED,
    State.ACKNOWLEDGED,
]


def after(state: State) -> set[State]:
    """Find every state that a submission can still come to."""
    found: set[State] = set()
    waiting = [state]
    while waiting:
        here = waiting.pop()
        fresh = {t.target for t in TRANSITIONS if t.source == here} - found
        found |= fresh
        waiting += fresh
    return found


def test_the_page_shows_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"```mermaid\n{diagram()}```\n" in page, "draw it again: make diagram"
    for step in TRANSITIONS:
        assert f"| {step.source} | {step.target} | {step.made_by} | {step.why} |\n" in page


def test_the_migration_holds_a_copy_of_the_table() -> None:
    assert tuple((t.source.value, t.target.value, t.made_by) for t in TRANSITIONS) == STATE_RULES


def test_no_change_is_listed_twice() -> None:
    pairs = [(t.source, t.target) for t in TRANSITIONS]
    assert len(pairs) == len(set(pairs))


def test_the_straight_way_is_open() -> None:
    pairs = {(t.source, t.target) for t in TRANSITIONS}
    assert all(step in pairs for step in pairwise(STRAIGHT))


@pytest.mark.parametrize("state", sorted(set(State) - {State.RECEIVED}))
def test_every_state_can_be_reached(state: State) -> None:
    assert state in after(State.RECEIVED)


@pytest.mark.parametrize("state", sorted(set(State) - FINAL))
def test_from_every_state_an_end_can_be_reached(state: State) -> None:
    assert after(state) & FINAL


@pytest.mark.parametrize("state", sorted(FINAL))
def test_an_end_is_an_end(state: State) -> None:
    assert after(state) == set()


def test_what_was_sent_can_only_be_acknowledged() -> None:
    assert after(State.DELIVERED) == {State.ACKNOWLEDGED}


def test_delivery_is_reached_through_protection_only() -> None:
    assert {t.source for t in TRANSITIONS if t.target == State.DELIVERED} == {State.PROTECTED}
    assert {t.source for t in TRANSITIONS if t.target == State.PROTECTED} == {State.AUTHORISED}


def test_only_people_release_what_rests() -> None:
    leaving = {t.made_by for t in TRANSITIONS if t.source in RESTING and t.target not in {*RESTING, *FINAL}}
    assert leaving == {"reviewers"}
