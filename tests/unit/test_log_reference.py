"""The reference of the log's entries says what the code does."""

import re
from pathlib import Path
from typing import get_args

from hub.cli.log_prove import FLAWS
from hub.ledger import entry
from hub.ledger.entry import Entry, Kind

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "log-entries.md").read_text(encoding="utf-8")


def tables(text: str) -> list[list[list[str]]]:
    """Give each table of a page as rows of cells, its heading left out."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
        for table in found
    ]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_kind_of_event_stands_there_with_what_it_needs() -> None:
    kinds = tables(REFERENCE)[0]
    assert [named(row[0]) for row in kinds] == [[kind] for kind in get_args(Kind)]
    for kind, row in zip(get_args(Kind), kinds, strict=True):
        assert tuple(named(row[4])) == entry.REQUIRED.get(kind, ()), kind
        assert all(row), kind


def test_every_field_stands_there_with_the_kinds_that_it_is_reserved_for() -> None:
    fields = tables(REFERENCE)[1]
    assert {name for row in fields for name in named(row[0])} == set(Entry.model_fields)
    told = {named(row[0])[0]: set(named(row[1])) for row in fields}
    for name, kinds in entry.RESERVED.items():
        assert set(kinds) == told[name] & set(get_args(Kind)), name


def test_every_way_in_which_a_proof_fails_stands_there() -> None:
    page = (DOCS / "log-search-and-proofs.md").read_text(encoding="utf-8")
    assert {name for row in tables(page)[-1] for name in named(row[0])} == {f"proof.{flaw}" for flaw in FLAWS}
