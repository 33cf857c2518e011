"""What every field check is: a fast screen over a column, an exact word about one value, a canonical form.

The two ways of looking are written apart on purpose. ``screen`` runs over whole columns in Polars,
``explain`` over a single text in plain Python; tests hold them against each other. The law: what the
screen passes, explain finds good.

All of them see the text of a cell without blanks at its ends. An empty text means "missing" and is the
caller's business, never a check's.
"""

import re
from abc import ABC, abstractmethod
from typing import ClassVar, Final, Generic, Literal, Protocol, TypeVar

import polars as pl
from pydantic import Field as Constraint

from schemas.fields import Field
from schemas.model import Model

LogicalType = Literal["string", "date", "integer", "number"]
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")

_SCIENTIFIC = re.compile(r"[0-9]+([.,][0-9]+)?[Ee]\+?[0-9]{1,3}")


class CheckOptions(Model):
    """Parameters that every check takes: the longest text, in characters."""

    max_length: int = Constraint(default=200, ge=1, le=10_000)


Options = TypeVar("Options", bound=CheckOptions)


class Check(Protocol):
    """One kind of value: see the module for what its four ways of looking owe to each other."""

    @property
    def name(self) -> str:
        """The word by which agreements call this check."""

    @property
    def logical_type(self) -> LogicalType:
        """The logical type that the Open Data Contract Standard has for it."""

    @property
    def options(self) -> type[CheckOptions]:
        """The model of its parameters."""

    def screen(self, column: pl.Expr, field: Field) -> pl.Expr:
        """Boolean per row: True where the value is certainly good."""

    def explain(self, text: str, field: Field) -> str | None:
        """The reason code of a single bad text; None if it is good."""

    def normal(self, column: pl.Expr, field: Field) -> pl.Expr:
        """The canonical text of every good value; what it makes of others means nothing."""

    def conforms(self, column: pl.Expr, field: Field) -> pl.Expr:
        """Boolean per row: True where the value is a canonical text of this check."""


class BaseCheck(ABC, Generic[Options]):
    """The shape shared by the checks of this package: length first, then the check's own rules."""

    name: str
    logical_type: ClassVar[LogicalType] = "string"

    def __init__(self, options: type[Options]) -> None:
        self.options = options

    def screen(self, column: pl.Expr, field: Field) -> pl.Expr:
        """See ``Check.screen``."""
        options = self.read(field)
        return (column.str.len_chars() <= options.max_length) & self._good(column, options)

    def explain(self, text: str, field: Field) -> str | None:
        """See ``Check.explain``."""
        options = self.read(field)
        return "value.too_long" if len(text) > options.max_length else self._fault(text, options)

    def normal(self, column: pl.Expr, field: Field) -> pl.Expr:
        """See ``Check.normal``."""
        return self._canonical(column, self.read(field))

    def conforms(self, column: pl.Expr, field: Field) -> pl.Expr:
        """See ``Check.conforms``."""
        return self._conforming(column, self.read(field))

    def read(self, field: Field) -> Options:
        """The field's options as this check's own model."""
        return self.options.model_validate(dict(field.options))

    @abstractmethod
    def _good(self, column: pl.Expr, options: Options) -> pl.Expr: ...

    @abstractmethod
    def _fault(self, text: str, options: Options) -> str | None: ...

    def _canonical(self, column: pl.Expr, options: Options) -> pl.Expr:  # noqa: ARG002 -- others need them
        """A text that has one form only is its own canonical form."""
        return column

    def _conforming(self, column: pl.Expr, options: Options) -> pl.Expr:
        """Where every good text is canonical, conforming is being good."""
        return self._good(column, options)


def whole(pattern: str) -> str:
    """A pattern for Polars that matches the whole text; not even a newline may follow it."""
    return rf"\A(?:{pattern})\z"


def spreadsheet_trace(text: str) -> str | None:
    """What a spreadsheet may have made of a number: the code, or None."""
    if _SCIENTIFIC.fullmatch(text):
        return "value.scientific"
    return "value.formula" if text.startswith(FORMULA_STARTS) else None
