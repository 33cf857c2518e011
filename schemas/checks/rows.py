"""The exact word about single rows: a strict pydantic model made from an agreement's fields."""

from collections.abc import Callable
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, create_model
from pydantic_core import PydanticCustomError

from schemas.checks.table import CHECKS
from schemas.fields import Field


class Sheet(Protocol):
    """Whatever has fields: an agreement."""

    @property
    def id(self) -> str:
        """The agreement's id."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its fields, in the order of the file."""


class _Row(BaseModel):
    """A row of texts, closed and strict; errors name codes, never values."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=()
    )


def row_model(agreement: Sheet) -> type[BaseModel]:
    """A strict model of one row: an attribute per field, text or None.

    Empty and None mean missing. Each fault is an error whose ``type`` is a reason code. Read errors with
    ``errors(include_input=False, include_context=False, include_url=False)``: pydantic carries the input.
    """
    columns: dict[str, Any] = {
        field.name: (Annotated[str | None, AfterValidator(_explainer(field))], ...)
        for field in agreement.fields
    }
    return create_model(f"{agreement.id}Row", __base__=_Row, **columns)


def _explainer(field: Field) -> Callable[[str | None], str | None]:
    check = CHECKS[field.check]

    def explained(text: str | None) -> str | None:
        code = check.explain(text, field) if text else ("value.missing" if field.required else None)
        if code is not None:
            raise PydanticCustomError(code, "the value does not fit the agreement")
        return text

    return explained
