"""A spreadsheet's typed cell turned into the text that its column expects, or into a reason why not.

Spreadsheet programs eat leading zeros, turn course numbers into dates and dates into serial numbers. What
they have eaten cannot be guessed back, so a cell of the wrong type is a fault, never a conversion.
"""

import datetime as dt
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from connectors.formats.batch import BLANKS
from schemas.agreement import Field

NUMBER_CHECKS: Final = frozenset({"integer", "decimal"})
DATE_CHECKS: Final = frozenset({"date", "birth_date"})
MONTH_CHECKS: Final = frozenset({"month"})

_SPOILT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|_x[0-9A-Fa-f]{4}_")
"""Control characters, raw or in the escaped form of ECMA-376 (22.4.2.4), which openpyxl leaves as it is."""


@dataclass(frozen=True)
class Cell:
    """One cell as openpyxl reads it: 1-based column, value, and type letter (n, s, b, d, e, f)."""

    column: int
    value: object
    kind: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing but blanks stands in the cell."""
        return self.value is None or (
            isinstance(self.value, str) and self.kind not in ("f", "e") and not self.value.strip(BLANKS)
        )


class Reading(NamedTuple):
    """What a cell says: its text, or a fault's code and ""."""

    text: str
    code: str | None


def read_cell(cell: Cell, field: Field) -> Reading:
    """The cell's text for a field's column.

    Numbers become exact decimal text in number columns only; dates become ISO 8601 in date columns and
    YYYY-MM in month columns only.
    """
    value = cell.value
    if cell.kind == "f":
        return Reading("", "value.formula")
    if cell.kind == "e" or isinstance(value, bool):
        return Reading("", "value.format")
    if isinstance(value, int | float):
        return _read_number(value, field)
    if isinstance(value, dt.date):
        return _read_date(value, field)
    return _read_text(value)


def _read_text(value: object) -> Reading:
    if not isinstance(value, str):
        return Reading("", None if value is None else "value.format")
    if _SPOILT.search(value):
        return Reading("", "value.characters")
    return Reading(value.strip(BLANKS), None)


def _read_number(value: float, field: Field) -> Reading:
    if field.check in NUMBER_CHECKS:
        if not math.isfinite(value):
            return Reading("", "value.format")
        # repr is the shortest text that reads back as the same number: what the clerk typed.
        text = f"{Decimal(repr(value)):f}"
        return Reading(text.rstrip("0").rstrip(".") if "." in text else text, None)
    if field.check in DATE_CHECKS | MONTH_CHECKS:
        return Reading("", "value.serial_date")
    return Reading("", "value.number_cell")


def _read_date(value: dt.date, field: Field) -> Reading:
    if field.check in NUMBER_CHECKS:
        return Reading("", "value.format")
    if field.check not in DATE_CHECKS | MONTH_CHECKS:
        return Reading("", "value.number_cell")
    if isinstance(value, dt.datetime):
        if value.time() != dt.time():
            return Reading("", "value.format")
        value = value.date()
    text = value.isoformat()
    return Reading(text[:7] if field.check in MONTH_CHECKS else text, None)
