"""Code lists as data: which codes a list knows, and on which day each of them is valid."""

import csv
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BeforeValidator

from schemas.model import Model

FOLDER = Path(__file__).with_name("codelists")
_COLUMNS = ["code", "name", "version", "valid_from", "valid_to"]


def _day(text: object) -> date | None:
    """An empty cell is a period without limit."""
    return date.fromisoformat(str(text)) if text else None


class Code(Model):
    """One code of a list; its validity includes both days, None is without limit."""

    code: str
    name: str
    version: str
    valid_from: Annotated[date | None, BeforeValidator(_day)]
    valid_to: Annotated[date | None, BeforeValidator(_day)]

    def valid(self, on: date) -> bool:
        """Was this code valid on a day?"""
        return (self.valid_from or date.min) <= on <= (self.valid_to or date.max)


def available() -> tuple[str, ...]:
    """The names of all code lists, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.csv") if path.stem != "din_91379_a"))


@cache
def code_list(name: str) -> Mapping[str, Code]:
    """A code list by its name: code → entry, in the order of the file.

    Raises:
        KeyError: there is no such list.
        ValueError: the file is not in the form of a code list.
    """
    if name not in available():
        raise KeyError(name)
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if rows.fieldnames != _COLUMNS:
            message = f"code list {name}: expected the columns {', '.join(_COLUMNS)}"
            raise ValueError(message)
        entries = [Code.model_validate(row) for row in rows]
    codes = {entry.code: entry for entry in entries}
    if len(codes) != len(entries):
        message = f"code list {name}: a code stands twice"
        raise ValueError(message)
    return MappingProxyType(codes)
