"""Values from a closed list: what the partner writes, and the code that it stands for."""

from collections.abc import Mapping
from typing import Self

import polars as pl
from pydantic import Field as Constraint
from pydantic import model_validator

from schemas.checks.check import BaseCheck, CheckOptions, spreadsheet_trace
from schemas.codelists import available, code_list


class CodeOptions(CheckOptions):
    """Accepted text → canonical code. ``codelist`` names the list that must know every canonical code.

    A code that is an accepted text as well stands for itself, so that canonical stays canonical.
    """

    codes: Mapping[str, str] = Constraint(min_length=1)
    codelist: str | None = None

    @model_validator(mode="after")
    def _settled(self) -> Self:
        moved = sorted(code for code in self.codes.values() if self.codes.get(code, code) != code)
        if moved:
            message = f"{', '.join(moved)} is an accepted text and a code, but stands for another code"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _known_codes(self) -> Self:
        if self.codelist is None:
            return self
        if self.codelist not in available():
            message = f"expected one of the code lists {', '.join(available())}"
            raise ValueError(message)
        unknown = sorted(set(self.codes.values()) - set(code_list(self.codelist)))
        if unknown:
            message = f"code list {self.codelist} does not know {', '.join(unknown)}"
            raise ValueError(message)
        return self


class CodeCheck(BaseCheck[CodeOptions]):
    """A text of the partner's list; its canonical form is the code."""

    name = "code"

    def __init__(self) -> None:
        super().__init__(CodeOptions)

    def _good(self, column: pl.Expr, options: CodeOptions) -> pl.Expr:
        return column.is_in(sorted(options.codes))

    def _fault(self, text: str, options: CodeOptions) -> str | None:
        return None if text in options.codes else spreadsheet_trace(text) or "value.code"

    def _canonical(self, column: pl.Expr, options: CodeOptions) -> pl.Expr:
        return column.replace_strict(list(options.codes), list(options.codes.values()), default=column)

    def _conforming(self, column: pl.Expr, options: CodeOptions) -> pl.Expr:
        return column.is_in(sorted(set(options.codes.values())))


class LevelCheck(BaseCheck[CheckOptions]):
    """A level of the Common European Framework of Reference, A1 to C2."""

    name = "cefr"

    def __init__(self) -> None:
        super().__init__(CheckOptions)

    def _good(self, column: pl.Expr, options: CheckOptions) -> pl.Expr:  # noqa: ARG002 -- levels have none
        return column.is_in(list(code_list("cefr")))

    def _fault(self, text: str, options: CheckOptions) -> str | None:  # noqa: ARG002 -- levels have none
        return None if text in code_list("cefr") else spreadsheet_trace(text) or "value.code"
