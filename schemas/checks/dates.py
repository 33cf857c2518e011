"""Days and months as partners write them: dd.mm.yyyy beside ISO 8601; canonical is ISO 8601.

The screen is one regular expression that knows the calendar (leap years are spelled out between the
field's bounds), because parsing whole columns twice costs more. The word about one value asks
``datetime.date`` instead.
"""

import re
from calendar import isleap
from collections.abc import Iterable
from datetime import date
from typing import Final, Self

import polars as pl
from pydantic import Field as Constraint
from pydantic import model_validator

from schemas.checks.check import BaseCheck, CheckOptions, spreadsheet_trace, whole

_GERMAN_DAY = re.compile(r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})")
_ISO_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_GERMAN_MONTH = re.compile(r"([0-9]{2})\.([0-9]{4})")
_ISO_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")
_SERIAL_DAY = re.compile(r"[0-9]{5}([.,][0-9]+)?")  # 10000 to 99999: 1927 to 2173
_NEVER: Final = "[^\\s\\S]"
_MOST_YEARS: Final = 1_000  # every year is spelled out in the screen


class YearOptions(CheckOptions):
    """First and last year allowed, both included."""

    min_year: int = Constraint(default=1900, ge=1600, le=9999)
    max_year: int = Constraint(default=2100, ge=1600, le=9999)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 <= self.max_year - self.min_year <= _MOST_YEARS:
            message = f"expected max_year to lie 0 to {_MOST_YEARS} years after min_year"
            raise ValueError(message)
        return self


class DateCheck(BaseCheck[YearOptions]):
    """A real day of the calendar, dd.mm.yyyy or yyyy-mm-dd."""

    name = "date"
    logical_type = "date"
    partial = False

    def __init__(self) -> None:
        super().__init__(YearOptions)

    def _good(self, column: pl.Expr, options: YearOptions) -> pl.Expr:
        return column.str.contains(whole(f"{self._german(options)}|{self._iso(options)}"))

    def _fault(self, text: str, options: YearOptions) -> str | None:
        if german := _GERMAN_DAY.fullmatch(text):
            day, month, year = map(int, german.groups())
        elif iso := _ISO_DAY.fullmatch(text):
            year, month, day = map(int, iso.groups())
        else:
            return _no_day(text)
        in_bounds = options.min_year <= year <= options.max_year
        return None if in_bounds and self._real(year, month, day) else "value.range"

    def _real(self, year: int, month: int, day: int) -> bool:
        if self.partial and day == 0:
            day, month = 1, month or 1
        try:
            date(year, month, day)
        except ValueError:
            return False
        return True

    def _canonical(self, column: pl.Expr, options: YearOptions) -> pl.Expr:  # noqa: ARG002 -- ISO for all
        iso = pl.concat_str(
            column.str.slice(6, 4), pl.lit("-"), column.str.slice(3, 2), pl.lit("-"), column.str.slice(0, 2)
        )
        return pl.when(column.str.slice(2, 1) == ".").then(iso).otherwise(column)

    def _conforming(self, column: pl.Expr, options: YearOptions) -> pl.Expr:
        return column.str.contains(whole(self._iso(options)))

    def _german(self, options: YearOptions) -> str:
        return _either(rf"(?:{day})\.(?:{month})\.(?:{year})" for day, month, year in self._calendar(options))

    def _iso(self, options: YearOptions) -> str:
        return _either(f"(?:{year})-(?:{month})-(?:{day})" for day, month, year in self._calendar(options))

    def _calendar(self, options: YearOptions) -> list[tuple[str, str, str]]:
        """Patterns of day, month and year that together are exactly the real days."""
        years = range(options.min_year, options.max_year + 1)
        every = "|".join(map(str, years))
        leap = "|".join(str(year) for year in years if isleap(year)) or _NEVER
        days = [
            ("0[1-9]|1[0-9]|2[0-8]", "0[1-9]|1[0-2]", every),
            ("29|30", "0[13-9]|1[0-2]", every),
            ("31", "0[13578]|1[02]", every),
            ("29", "02", leap),
        ]
        return [*days, ("00", "0[0-9]|1[0-2]", every)] if self.partial else days


class BirthDateCheck(DateCheck):
    """A day of birth as registers know it: day 00, and month 00 with it, are data and not errors."""

    name = "birth_date"
    partial = True


class MonthCheck(BaseCheck[YearOptions]):
    """A month of a year, yyyy-mm or mm.yyyy."""

    name = "month"
    logical_type = "string"

    def __init__(self) -> None:
        super().__init__(YearOptions)

    def _good(self, column: pl.Expr, options: YearOptions) -> pl.Expr:
        year, month = _years(options), "0[1-9]|1[0-2]"
        return column.str.contains(whole(rf"(?:{year})-(?:{month})|(?:{month})\.(?:{year})"))

    def _fault(self, text: str, options: YearOptions) -> str | None:
        if german := _GERMAN_MONTH.fullmatch(text):
            month, year = map(int, german.groups())
        elif iso := _ISO_MONTH.fullmatch(text):
            year, month = map(int, iso.groups())
        else:
            return _no_day(text)
        good = 1 <= month <= 12 and options.min_year <= year <= options.max_year  # noqa: PLR2004 -- months
        return None if good else "value.range"

    def _canonical(self, column: pl.Expr, options: YearOptions) -> pl.Expr:  # noqa: ARG002 -- ISO for all
        iso = pl.concat_str(column.str.slice(3, 4), pl.lit("-"), column.str.slice(0, 2))
        return pl.when(column.str.slice(2, 1) == ".").then(iso).otherwise(column)

    def _conforming(self, column: pl.Expr, options: YearOptions) -> pl.Expr:
        return column.str.contains(whole(f"(?:{_years(options)})-(?:0[1-9]|1[0-2])"))


def _years(options: YearOptions) -> str:
    return "|".join(map(str, range(options.min_year, options.max_year + 1)))


def _either(patterns: Iterable[str]) -> str:
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _no_day(text: str) -> str:
    if _SERIAL_DAY.fullmatch(text):
        return "value.serial_date"
    return spreadsheet_trace(text) or "value.format"
