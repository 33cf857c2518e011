"""The row that sums up the others: a file's last row, that tells about no person."""

from collections.abc import Mapping, Sequence
from typing import Final

from connectors.formats.cells import NUMBER_CHECKS
from schemas.agreement import Agreement

WORDS: Final = frozenset({"summe", "gesamt", "total", "insgesamt"})


class Totals:
    """Tells a totals row under an agreement, whose fields stand at these positions in the file."""

    def __init__(self, agreement: Agreement, positions: Mapping[str, int]) -> None:
        # A number in the key (hours missed) is what a totals row holds; the rest of the key is who and when.
        self._key = [
            positions[name]
            for name in agreement.delivery.key
            if agreement.field(name).check not in NUMBER_CHECKS
        ]
        self._required = [positions[field.name] for field in agreement.fields if field.required]

    def holds(self, cells: Sequence[str]) -> bool:
        """Whether a file's last row, of as many cells as agreed, is a totals row.

        It is when its first filled cell says so, or when the key's cells are empty and the filled ones are
        numbers. A row whose required cells are all filled is a row, whatever its first word.
        """
        filled = [cell for cell in cells if cell]
        if not filled or (self._required and all(cells[position] for position in self._required)):
            return False
        if says_totals(filled[0]):
            return True
        nobody = bool(self._key) and not any(cells[position] for position in self._key)
        return nobody and all(map(_is_number, filled))


def says_totals(cell: str) -> bool:
    """Whether a cell is the word that introduces a totals row."""
    return cell.rstrip(":").rstrip().casefold() in WORDS


def _is_number(cell: str) -> bool:
    digits = cell.lstrip("+-").replace(".", "").replace(",", "").replace(" ", "")
    return digits.isascii() and digits.isdigit()
