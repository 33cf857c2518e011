"""The tamper matrix: each operation at each place is found and named, by whoever looks at that place.

The table in docs/reference/tamper-matrix.md is written from the attacks themselves.
"""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hub import Hub
from tests.e2e.tamper import bed as beds
from tests.e2e.tamper.attacks import ATTACKS, OPERATIONS, SENSELESS, VERIFIERS, Attack
from tests.e2e.tamper.bed import Bed, Outcome

for _module in ("on_database", "on_public_log", "on_kit", "on_salts"):
    importlib.import_module(f"tests.e2e.tamper.{_module}")

TABLE = Path(__file__).parents[2] / "docs" / "reference" / "tamper-matrix.md"
BEGIN, END = "<!-- written by tests/e2e/test_tamper_matrix.py -->\n", "<!-- end -->\n"
CELLS = {(attack.operation, attack.place) for attack in ATTACKS}


@pytest.fixture(scope="module")
def bed(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """The hub to be tampered with; afterwards whatever was done to it was undone."""
    bed = beds.made(hub, tmp_path_factory.mktemp("tamper") / "desk")
    proved(bed)
    yield bed
    proved(bed)


def proved(bed: Bed) -> None:
    """Untouched, everybody proves everything."""
    sound = Outcome(0, frozenset())
    assert bed.verify_database(kept=True) == sound
    assert bed.public(lambda _: None) == sound
    assert bed.kit(bed.members) == sound
    assert bed.kit(bed.remade(bed.bodies)) == sound
    assert [bed.prove_row(parcel) for parcel in bed.parcels] == [sound, sound]
    assert bed.check_row({}) == sound


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_it_is_found_and_named(bed: Bed, attack: Attack) -> None:
    found = attack.run(bed)
    assert found.status == 1
    assert attack.codes <= found.codes, sorted(found.codes)


def test_every_operation_is_tried_at_every_place_where_it_makes_sense() -> None:
    every = {(operation, place) for operation in OPERATIONS for place in VERIFIERS}
    assert every - CELLS == SENSELESS.keys()
    assert len(CELLS) >= 40
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


def test_the_table_in_the_documentation_is_what_was_tried() -> None:
    """HUB_WRITE_TABLE=1 writes it."""
    head, _, rest = TABLE.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    expected = head + BEGIN + table() + END + tail
    if os.environ.get("HUB_WRITE_TABLE"):
        TABLE.write_text(expected, encoding="utf-8")
    assert TABLE.read_text(encoding="utf-8") == expected


def table() -> str:
    """Write the matrix, and each attack below it."""
    lines = ["| | " + " | ".join(VERIFIERS) + " |", "|---" * (len(VERIFIERS) + 1) + "|"]
    lines.append("| found by | " + " | ".join(VERIFIERS.values()) + " |")
    for operation in OPERATIONS:
        cells = [codes(operation, place) for place in VERIFIERS]
        lines.append(f"| **{operation}** | " + " | ".join(cells) + " |")
    lines += ["", "Without sense:", ""]
    lines += [f"- {operation}, {place}: {why}." for (operation, place), why in SENSELESS.items()]
    for place, verifier in VERIFIERS.items():
        lines += [
            "",
            f"### {place}, {verifier}",
            "",
            "| operation | what is done to it | told |",
            "|---|---|---|",
        ]
        some = sorted(
            (one for one in ATTACKS if one.place == place), key=lambda one: OPERATIONS.index(one.operation)
        )
        lines += [f"| {one.operation} | {one.what} | {listed(one.codes)} |" for one in some]
    return "\n".join(["", *lines, "", ""])


def codes(operation: str, place: str) -> str:
    found: list[str] = []
    for attack in ATTACKS:
        if (attack.operation, attack.place) == (operation, place):
            found += sorted(attack.codes - set(found))
    return ", ".join(f"`{code}`" for code in found) or "\N{EN DASH}"


def listed(codes: frozenset[str]) -> str:
    return ", ".join(f"`{code}`" for code in sorted(codes))
