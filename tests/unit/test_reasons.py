"""The reason catalogue: complete, in two languages, silent about values, and its page is the catalogue's."""

import re
from pathlib import Path

import pytest

from schemas.reasons import catalogue, reason, reference, write_reference

ROOT = Path(__file__).parents[2]


def test_every_code_has_a_sentence_and_a_remedy_in_both_languages() -> None:
    for entry in catalogue().values():
        for text in (entry.de, entry.en, entry.remedy_de, entry.remedy_en):
            assert text.endswith("."), entry.code
            assert "|" not in text, entry.code
            assert "{" not in text, f"{entry.code}: a sentence never takes a value"
        assert len({entry.de, entry.en, entry.remedy_de, entry.remedy_en}) >= 3


def test_codes_are_dotted_words() -> None:
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9_]+", code) for code in catalogue())


def test_a_coarse_code_is_a_code_of_the_same_fate_and_coarse_itself() -> None:
    for entry in catalogue().values():
        coarse = reason(entry.coarse)
        assert coarse.fate == entry.fate
        assert coarse.coarse == coarse.code


def test_a_sender_cannot_tell_the_unknown_from_those_who_said_no() -> None:
    withheld = {entry.code: entry.coarse for entry in catalogue().values() if entry.fate == "withheld"}
    assert {"person.unknown", "consent.missing", "consent.withdrawn", "consent.expired"} <= set(withheld)
    assert set(withheld.values()) == {"consent.none"}


@pytest.mark.parametrize(
    ("prefix", "fate"),
    [("value.", "refused"), ("row.", "refused"), ("batch.", "quarantined"), ("consent.", "withheld")],
)
def test_families_share_their_fate(prefix: str, fate: str) -> None:
    family = [entry for code, entry in catalogue().items() if code.startswith(prefix)]
    assert family
    assert {entry.fate for entry in family} == {fate}


def test_an_unknown_code_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        reason("value.unheard_of")


def test_every_code_of_a_row_that_the_program_names_is_in_the_catalogue() -> None:
    named = set()
    for folder in ("schemas", "hub", "connectors"):
        for path in (ROOT / folder).rglob("*.py"):
            named |= set(re.findall(r'"((?:value|row|egress)\.[a-z_]+)"', path.read_text()))
    assert named
    assert named <= set(catalogue())


def test_the_reference_page_is_written_from_the_catalogue(tmp_path: Path) -> None:
    write_reference(tmp_path / "docs" / "reason-codes.md")
    page = (tmp_path / "docs" / "reason-codes.md").read_text(encoding="utf-8")
    assert page == reference()
    assert page == (ROOT / "docs/reference/reason-codes.md").read_text(encoding="utf-8"), (
        "run write_reference"
    )
    assert all(f"| `{code}` |" in page for code in catalogue())
