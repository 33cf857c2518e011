"""The small pictures of the pages, as figures: the templates draw them as SVG, with a text beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hub.states import Fate

WIDTH = 1000
LEAST = 18  # a single row of many thousands can still be seen
GAP = 4


@dataclass(frozen=True)
class Piece:
    """One coloured part of a bar: which fate, how many rows, from where, how wide (bars are 1000 wide)."""

    fate: str
    rows: int
    x: float
    width: float


def bar(rows: Mapping[str, int]) -> list[Piece]:
    """Divide a bar among the fates of a submission's rows; empty while nothing is counted."""
    told = [(fate.value, rows[fate.value]) for fate in Fate if rows[fate.value]]
    whole = sum(count for _, count in told)
    room = WIDTH - GAP * (len(told) - 1) - LEAST * len(told)
    pieces, x = [], 0.0
    for fate, count in told:
        width = LEAST + room * count / whole
        pieces.append(Piece(fate, count, round(x, 1), round(width, 1)))
        x += width + GAP
    return pieces


@dataclass(frozen=True)
class Knot:
    """One place of a proof's way: where it is drawn, its hash's beginning, what it is."""

    x: int
    y: int
    name: str
    role: str  # leaf, path, sibling, root
    parent: tuple[int, int] | None


@dataclass(frozen=True)
class Way:
    """A proof's way through the tree as a drawing of ``width`` by ``height``."""

    width: int
    height: int
    knots: tuple[Knot, ...]


ACROSS, UP, MARGIN, TEXT = 44, 36, 30, 150


def in_order(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Put counts into the order in which people read them: received, the fates, then what else there is."""
    names = ["received", *(fate.value for fate in Fate)]
    first = [(name, counts[name]) for name in names if counts.get(name)]
    return first + [(name, count) for name, count in counts.items() if name not in names]


def way(leaf: bytes, steps: Sequence[tuple[bytes, bool, bytes]]) -> Way:
    """Draw the way from a leaf to the root; a step is the sibling, whether that is left, and the parent."""
    knots: list[tuple[int, int, bytes, str, int]] = []
    x = level = 0
    here = leaf
    for sibling, on_the_left, reached in steps:
        # A right child goes up to the left, a left child to the right, as in the tree itself.
        turn = -1 if on_the_left else 1
        knots.append((x, level, here, "leaf" if level == 0 else "path", x + turn))
        knots.append((x + 2 * turn, level, sibling, "sibling", x + turn))
        x, level, here = x + turn, level + 1, reached
    knots.append((x, level, here, "root", x))
    left, right = min(knot[0] for knot in knots), max(knot[0] for knot in knots)

    def place(column: int, row: int) -> tuple[int, int]:
        return MARGIN + (column - left) * ACROSS, MARGIN + (level - row) * UP

    return Way(
        width=2 * MARGIN + (right - left) * ACROSS + TEXT,
        height=2 * MARGIN + level * UP,
        knots=tuple(
            Knot(*place(column, row), name.hex()[:6], role, None if role == "root" else place(up, row + 1))
            for column, row, name, role, up in knots
        ),
    )
