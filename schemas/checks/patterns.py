"""Numbers that identify: participant numbers, course numbers. Text by nature, digits by looks.

The patterns of agreements are kept to what Python and Polars read alike: no digit class of Unicode,
which takes Arabic digits, no anchors, no groups.
"""

import re
from typing import Annotated, Final

import polars as pl
from pydantic import AfterValidator

from schemas.checks.check import BaseCheck, CheckOptions, spreadsheet_trace, whole

_PLAIN_PATTERN = re.compile(
    r"""(?: [A-Za-z0-9/_-]
          | \[ (?: [A-Z]-[A-Z] | [a-z]-[a-z] | [0-9]-[0-9] | [A-Za-z0-9] )+ \]
          | \{ [0-9]{1,2} (?: , [0-9]{1,2} )? \}
        )+""",
    re.VERBOSE,
)
_ZEROS_EATEN: Final = 3  # more are not an eaten zero but another number


def _plain(pattern: str) -> str:
    if not _PLAIN_PATTERN.fullmatch(pattern):
        message = "expected ASCII letters, digits, - _ /, classes such as [0-9] and counts such as {7}"
        raise ValueError(message)
    try:
        re.compile(pattern)
    except re.error:
        message = "expected a regular expression"
        raise ValueError(message) from None
    return pattern


class PatternOptions(CheckOptions):
    """The form of the whole number, as a plain regular expression."""

    pattern: Annotated[str, AfterValidator(_plain)]


class PatternCheck(BaseCheck[PatternOptions]):
    """A number of one agreed form, compared digit by digit; it has one form only."""

    def __init__(self, name: str) -> None:
        super().__init__(PatternOptions)
        self.name = name

    def _good(self, column: pl.Expr, options: PatternOptions) -> pl.Expr:
        return column.str.contains(whole(options.pattern))

    def _fault(self, text: str, options: PatternOptions) -> str | None:
        if re.fullmatch(options.pattern, text):
            return None
        if trace := spreadsheet_trace(text):
            return trace
        return "value.leading_zero" if _zeros_eaten(text, options.pattern) else "value.format"


def _zeros_eaten(text: str, pattern: str) -> bool:
    """Would a few zeros before the last run of digits make the number whole?"""
    head = text.rstrip("0123456789")
    digits = text[len(head) :]
    return bool(digits) and any(
        re.fullmatch(pattern, head + "0" * eaten + digits) for eaten in range(1, _ZEROS_EATEN + 1)
    )
