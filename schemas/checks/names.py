"""Names of people: DIN 91379:2022-08, datatype A (letters, letters with combining marks, non-letters N1).

Text that is not in Normalization Form C is data, not an error: it is compared and passed on in NFC.
"""

import csv
import re
from collections.abc import Iterator
from functools import cache
from itertools import permutations
from typing import Final
from unicodedata import normalize

import polars as pl

from schemas.checks.check import FORMULA_STARTS, BaseCheck, CheckOptions, whole
from schemas.codelists import FOLDER

# What the bytes 0x80 to 0xBF become when UTF-8 is read as Windows-1252 or as ISO 8859-1: the second half of
# a destroyed letter. The first half is an Â, Ã, Ä or Å before anything of these, or a rarer capital before
# what is no letter ("KŘÍŽ" is a name). U+FFFD stands where a reader gave up.
_CONTINUATION: Final = "\u0080-\u00bf" + "".join(
    bytes([byte]).decode("cp1252", errors="ignore") for byte in range(0x80, 0xA0)
)
_SYMBOL: Final = _CONTINUATION[:3] + "".join(sign for sign in _CONTINUATION[3:] if not sign.isalpha())
MOJIBAKE: Final = f"[ÂÃÄÅ][{_CONTINUATION}]|[ÆÇÈÉÌÍÐÑ][{_SYMBOL}]|á[º»]|â€|\ufffd"

_MOJIBAKE = re.compile(MOJIBAKE)
_OBSOLETE_MARKS = re.compile(
    "[\u0340\u0341\u0343\u0344]"
)  # Unicode discourages them; no keyboard writes them
# One expression for the screen: a formula's first character, or a destroyed letter anywhere.
_DAMAGE: Final = rf"\A[{re.escape(''.join(FORMULA_STARTS))}]|{MOJIBAKE}"


class NameCheck(BaseCheck[CheckOptions]):
    """A name or a part of one, with at least one letter; canonical in NFC."""

    name = "name"

    def __init__(self) -> None:
        super().__init__(CheckOptions)

    def _good(self, column: pl.Expr, options: CheckOptions) -> pl.Expr:  # noqa: ARG002 -- names have none
        return column.str.contains(_screen_pattern()) & ~column.str.contains(_DAMAGE)

    def _fault(self, text: str, options: CheckOptions) -> str | None:  # noqa: ARG002 -- names have none
        if _MOJIBAKE.search(text):
            return "value.mojibake"
        if text.startswith(FORMULA_STARTS):
            return "value.formula"
        parts = _parts(normalize("NFC", text))
        if parts is None or _OBSOLETE_MARKS.search(text):
            return "value.characters"
        return None if any(part in _letters() for part in parts) else "value.format"

    def _canonical(self, column: pl.Expr, options: CheckOptions) -> pl.Expr:  # noqa: ARG002
        return column.map_batches(_composed, return_dtype=pl.String, is_elementwise=True)

    def _conforming(self, column: pl.Expr, options: CheckOptions) -> pl.Expr:
        return self._good(column, options) & (column.str.normalize("NFC") == column)


def _composed(names: pl.Series) -> pl.Series:
    """The names in NFC; only those that may not be in it yet are normalised, which takes long."""
    doubtful = names.str.contains(_maybe_decomposed())
    if not doubtful.any():
        return names
    return (
        names.to_frame("name")
        .select(
            pl.when(doubtful).then(names.set(~doubtful, None).str.normalize("NFC")).otherwise(pl.col("name"))
        )
        .to_series()
    )


@cache
def _maybe_decomposed() -> str:
    """Combining marks, and the characters that NFC replaces."""
    return rf"[\u0300-\u036f{''.join(_twins(_letters() | _non_letters()))}]"


def _read(*kinds: str) -> Iterator[str]:
    """Characters and sequences of these kinds, each as text."""
    with (FOLDER / "din_91379_a.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"] not in kinds:
                continue
            if row["kind"] == "sequence":
                yield "".join(chr(int(point, 16)) for point in row["first"].split())
            else:
                yield from map(chr, range(int(row["first"], 16), int(row["last"], 16) + 1))


@cache
def _letters() -> frozenset[str]:
    """Letters of the standard, alone or with their combining marks."""
    return frozenset(_read("letter", "sequence"))


@cache
def _non_letters() -> frozenset[str]:
    """What else may stand in a name: blank, apostrophe, hyphen and the like."""
    return frozenset(_read("non_letter"))


def _parts(text: str) -> list[str] | None:
    """The text cut into characters of the standard, longest first; None if something is none of them."""
    parts, place = [], 0
    while place < len(text):
        for length in (3, 2, 1):
            part = text[place : place + length]
            if part in _letters() or part in _non_letters():
                break
        else:
            return None
        parts.append(part)
        place += len(part)
    return parts


@cache
def _screen_pattern() -> str:
    """One expression for whole columns: any spelling of allowed characters, at least one of them a letter."""
    letter = _either(_letters())
    anything = f"(?:{letter}|{_either(_non_letters())})*"
    return whole(f"{_either(_non_letters())}*(?:{letter}){anything}")


def _either(allowed: frozenset[str]) -> str:
    """A pattern of all canonically equivalent spellings of these characters."""
    spellings = {spelling for text in allowed for spelling in _spellings(text)} | set(_twins(allowed))
    single = "".join(re.escape(text) for text in sorted(spellings) if len(text) == 1)
    longer = sorted(re.escape(text) for text in spellings if len(text) > 1)
    return "(?:" + "|".join([f"[{single}]", *longer]) + ")"


def _spellings(text: str) -> Iterator[str]:
    """The text in every order and every stage of composition that has this same NFC."""
    base, *marks = list(normalize("NFD", text))
    for order in permutations(marks):
        for composed in range(len(marks) + 1):
            spelling = normalize("NFC", base + "".join(order[:composed])) + "".join(order[composed:])
            if normalize("NFC", spelling) == text:
                yield spelling


def _twins(allowed: frozenset[str]) -> Iterator[str]:
    """Single characters that only exist for compatibility and whose NFC is allowed (the sign for kelvin)."""
    known = allowed.__contains__
    return (
        twin for twin in map(chr, range(0x80, 0x2200)) if known(normalize("NFC", twin)) and not known(twin)
    )
