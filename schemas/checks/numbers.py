"""Numbers that count: whole ones, and decimals with comma or point. None of them is negative."""

from decimal import Decimal
from typing import Final, Self

import polars as pl
from pydantic import Field as Constraint
from pydantic import model_validator

from schemas.checks.check import BaseCheck, CheckOptions, spreadsheet_trace, whole

_DIGITS: Final = "0123456789"
_LONGEST: Final = 9  # digits before the comma: with six after it a double is still exact
_LIMIT: Final = 10**_LONGEST - 1


class NumberOptions(CheckOptions):
    """Smallest and largest value, both allowed."""

    min: int = Constraint(default=0, ge=0, le=_LIMIT)
    max: int = Constraint(default=_LIMIT, ge=0, le=_LIMIT)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            message = "expected min to be at most max"
            raise ValueError(message)
        return self


class DecimalOptions(NumberOptions):
    """Digits after the comma: one or two unless said otherwise, so that 1.000 is never read as one."""

    places: int = Constraint(default=2, ge=1, le=6)


class IntegerCheck(BaseCheck[NumberOptions]):
    """A whole number in ASCII digits; canonical without leading zeros."""

    name = "integer"
    logical_type = "integer"

    def __init__(self) -> None:
        super().__init__(NumberOptions)

    def _good(self, column: pl.Expr, options: NumberOptions) -> pl.Expr:
        # The cast reads more than digits ("+5"): the pattern decides about the form, the cast only compares.
        number = column.cast(pl.Int64, strict=False)
        in_range = number.is_between(options.min, options.max)
        return column.str.contains(whole(f"[0-9]{{1,{_LONGEST}}}")) & in_range

    def _fault(self, text: str, options: NumberOptions) -> str | None:
        negative, digits = text.startswith("-"), text.removeprefix("-")
        if not digits or digits.strip(_DIGITS):
            return spreadsheet_trace(text) or "value.format"
        if negative or len(digits) > _LONGEST or not options.min <= int(digits) <= options.max:
            return "value.range"
        return None

    def _canonical(self, column: pl.Expr, options: NumberOptions) -> pl.Expr:  # noqa: ARG002
        return column.cast(pl.Int64, strict=False).cast(pl.String)

    def _conforming(self, column: pl.Expr, options: NumberOptions) -> pl.Expr:
        return column.str.contains(whole("0|[1-9][0-9]*")) & self._good(column, options)


class DecimalCheck(BaseCheck[DecimalOptions]):
    """A decimal with comma or point, no thousands marks; canonical with a point and no idle zeros."""

    name = "decimal"
    logical_type = "number"

    def __init__(self) -> None:
        super().__init__(DecimalOptions)

    def _good(self, column: pl.Expr, options: DecimalOptions) -> pl.Expr:
        form = whole(f"[0-9]{{1,{_LONGEST}}}(?:[.,][0-9]{{1,{options.places}}})?")
        number = column.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
        return column.str.contains(form) & number.is_between(options.min, options.max)

    def _fault(self, text: str, options: DecimalOptions) -> str | None:
        negative, unsigned = text.startswith("-"), text.removeprefix("-").replace(",", ".")
        digits, point, places = unsigned.partition(".")
        if not digits or digits.strip(_DIGITS) or places.strip(_DIGITS) or len(places) > options.places:
            return spreadsheet_trace(text) or "value.format"
        if point and not places:
            return "value.format"
        if negative or len(digits) > _LONGEST or not options.min <= Decimal(unsigned) <= options.max:
            return "value.range"
        return None

    def _canonical(self, column: pl.Expr, options: DecimalOptions) -> pl.Expr:
        exact = pl.Decimal(_LONGEST + options.places, options.places)
        number = column.str.replace(",", ".", literal=True).cast(exact, strict=False)
        return number.cast(pl.String).str.strip_chars_end("0").str.strip_suffix(".")

    def _conforming(self, column: pl.Expr, options: DecimalOptions) -> pl.Expr:
        form = whole(r"(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?")
        return column.str.contains(form) & self._good(column, options)
