"""pruefen.html and pruefen.py on the same damaged kits: the same codes at the same places, each named."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.e2e.accessible import flaws
from tests.e2e.kit_damage import ARCHIVES, DAMAGE, Members, packed
from tests.e2e.kit_desk import Case, Desk, agreed, at_desk, codes, shoot
from tests.e2e.kit_stories import STORIES
from tests.e2e.made_kits import Log, witnessed_log

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with at_desk(tmp_path_factory.mktemp("desk")) as (opened, _):
        yield opened


@pytest.fixture(scope="module")
def log() -> Log:
    return witnessed_log()


def test_an_untouched_kit_is_proved(desk: Desk, log: Log) -> None:
    case = Case(desk.lay("good.zip", log.members()), desk.lay("trust.txt", log.trust()))
    told = agreed(desk, case)
    assert told["ok"]
    assert told["findings"] == []
    assert (told["size"], told["entries"], len(told["sample"])) == (601, 601, 10)
    assert told["counts"]["E1"]["transfers"] == 34
    assert [one["size"] for one in told["witnesses"]] == [601, 601]
    expect(desk.page.get_by_role("heading", name="Bewiesen", exact=True)).to_be_visible()
    expect(desk.page.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("Unterschrift: stimmt, Zeugen: stimmt")
    )
    assert flaws(desk.page) == []
    shoot(desk, "kit-proved")
    desk.page.get_by_role("button", name="English").click()
    expect(desk.page.get_by_role("heading", name="Proved", exact=True)).to_be_visible()
    expect(desk.page.get_by_text("No findings.")).to_be_visible()
    assert flaws(desk.page) == []
    desk.page.get_by_role("button", name="Deutsch").click()


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_is_named_as_the_program_names_it(
    desk: Desk, log: Log, damage: Callable[[Members], None]
) -> None:
    members = log.members()
    damage(members)
    kit = desk.lay("damaged.zip", members)
    told = agreed(desk, Case(kit, desk.lay("trust.txt", log.trust())))
    assert not told["ok"]
    assert codes(told) == DAMAGE[damage]
    expect(desk.page.get_by_role("heading", name="Nicht bewiesen", exact=True)).to_be_visible()


@pytest.mark.parametrize("damage", ARCHIVES, ids=lambda damage: damage.__name__)
def test_a_hostile_archive_is_named_as_the_program_names_it(
    desk: Desk, log: Log, damage: Callable[[Log], bytes]
) -> None:
    told = agreed(desk, Case(desk.lay("hostile.zip", damage(log)), desk.lay("trust.txt", log.trust())))
    assert codes(told) >= ARCHIVES[damage]


def test_what_stands_before_the_archive_changes_nothing(desk: Desk, log: Log) -> None:
    kit = desk.lay("before.zip", b"#!/usr/bin/env python3\n" + packed(log))
    assert agreed(desk, Case(kit, desk.lay("trust.txt", log.trust())))["ok"]


@pytest.mark.parametrize("tell", STORIES, ids=lambda tell: tell.__name__)
def test_what_the_log_leaves_open_is_named_as_the_program_names_it(
    desk: Desk, tell: Callable[[Log], None]
) -> None:
    log = Log()
    log.tell(0)
    tell(log)
    log.sign()
    told = agreed(desk, Case(desk.lay("story.zip", log.members()), desk.lay("story.txt", log.trust())))
    assert codes(told) == STORIES[tell]
    assert told["ok"] == (not STORIES[tell])
