"""A file's header line held against the columns that its agreement names."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.formats.batch import BLANKS
from connectors.formats.refusal import refused
from schemas.agreement import Field

_SHOWN: Final = 20


@dataclass(frozen=True)
class Header:
    """Where each field stands in the file (0-based, by the field's name), and what was odd about the line."""

    positions: Mapping[str, int]
    notices: tuple[str, ...]


def fits(names: Sequence[str], fields: Sequence[Field]) -> bool:
    """Whether these are the agreed columns, each exactly once, in any order."""
    return sorted(map(_plain, names)) == sorted(_plain(field.header) for field in fields)


def kinship(names: Sequence[str], fields: Sequence[Field]) -> int:
    """How many of the agreed columns stand among these names."""
    return len({_plain(field.header) for field in fields} & set(map(_plain, names)))


def match(names: Sequence[str], fields: Sequence[Field]) -> Header:
    """Find every field's column by its name.

    Raises Refused ``file.header`` naming the agreed columns that are missing or doubled. Unknown names are
    given by number and position only: where the header line is missing, they are a person's data.
    """
    if not fits(names, fields):
        raise refused("file.header", _difference(names, fields))
    plain = [_plain(name) for name in names]
    positions = {field.name: plain.index(_plain(field.header)) for field in fields}
    notices = []
    if any(name != name.strip(BLANKS) for name in names):
        notices.append("file.header_blanks")
    if list(positions.values()) != list(range(len(fields))):
        notices.append("file.header_reordered")
    return Header(positions, tuple(notices))


def column_letter(position: int) -> str:
    """The letters that a spreadsheet shows above the column at this 0-based position: 0 is A, 26 is AA."""
    letters = ""
    number = position + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip(BLANKS))


def _difference(names: Sequence[str], fields: Sequence[Field]) -> str:
    plain = [_plain(name) for name in names]
    expected = {_plain(field.header): field.header for field in fields}
    missing = [header for name, header in expected.items() if name not in plain]
    doubled = [header for name, header in expected.items() if plain.count(name) > 1]
    unknown = [str(position) for position, name in enumerate(plain, start=1) if name not in expected]
    parts = [f"expected {len(fields)} columns, found {len(names)}"]
    if missing:
        parts.append("missing: " + ", ".join(missing))
    if doubled:
        parts.append("more than once: " + ", ".join(doubled))
    if unknown:
        more = ", ..." if len(unknown) > _SHOWN else ""
        parts.append(f"not agreed: {len(unknown)} (at position {', '.join(unknown[:_SHOWN])}{more})")
    return "; ".join(parts)
