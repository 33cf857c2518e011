"""The parts of an agreement besides its fields: partners, legal basis, delivery, rules, expectations."""

from typing import Annotated, Literal, Self

from pydantic import Field as Constraint
from pydantic import StringConstraints, model_validator

from schemas.fields import Line, Name
from schemas.model import Model

Slug = Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9]*(-[a-z0-9]+)*\z", max_length=64)]
Template = Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9-]*@[1-9][0-9]*\z", max_length=80)]


class PartnerName(Model):
    """A partner as the agreement names it; its keys and addresses lie in the registry."""

    id: Slug
    name: Line


class Statute(Model):
    """The law orders or permits the transfer: paragraphs such as ``AufenthG §88a(1)``."""

    kind: Literal["statute"]
    paragraphs: Annotated[tuple[Line, ...], Constraint(min_length=1)]


class ConsentBasis(Model):
    """Each person consents for themselves, on one of these templates (``language-progress@1``)."""

    kind: Literal["consent"]
    templates: Annotated[tuple[Template, ...], Constraint(min_length=1)]


LegalBasis = Annotated[Statute | ConsentBasis, Constraint(discriminator="kind")]


class Person(Model):
    """How a row's person is known: a number of theirs, unique in one partner's space."""

    number: Name
    space: Slug


class Delivery(Model):
    """What a file means: events that happened, a snapshot by key, or all of a period anew."""

    mode: Literal["event", "snapshot", "replace_period"]
    key: Annotated[tuple[Name, ...], Constraint(min_length=1)]
    period: Name | None = None

    @model_validator(mode="after")
    def _period_where_replaced(self) -> Self:
        if (self.mode == "replace_period") != (self.period is not None):
            message = "expected a period for replace_period, and for no other mode"
            raise ValueError(message)
        return self


class Intake(Model):
    """Which files are taken: formats, CSV dialects, bytes and rows at most."""

    formats: Annotated[tuple[Literal["csv", "xlsx"], ...], Constraint(min_length=1)]
    delimiters: tuple[Literal[";", ",", "\t"], ...] = (";",)
    encodings: tuple[Literal["utf-8", "windows-1252"], ...] = ("utf-8",)
    max_bytes: int = Constraint(ge=1)
    max_rows: int = Constraint(ge=1)

    @model_validator(mode="after")
    def _dialect_for_csv(self) -> Self:
        if "csv" in self.formats and not (self.delimiters and self.encodings):
            message = "expected at least one delimiter and one encoding for CSV"
            raise ValueError(message)
        return self


class Output(Model):
    """The form in which the recipient gets a parcel."""

    format: Literal["csv", "xlsx"]
    delimiter: Literal[";", ",", "\t"] = ";"


class Present(Model):
    """A field must be filled."""

    kind: Literal["present"]
    field: Name
    code: str


class NotAfter(Model):
    """A date or month must not lie after another field's, or after today. Missing values pass."""

    kind: Literal["not_after"]
    field: Name
    other: Name
    code: str


class AtMost(Model):
    """A number must not exceed another field's. Missing values pass."""

    kind: Literal["at_most"]
    field: Name
    other: Name
    code: str


class Unique(Model):
    """These fields together stand once in a file; later repetitions are refused."""

    kind: Literal["unique"]
    fields: Annotated[tuple[Name, ...], Constraint(min_length=1)]
    code: str = "row.duplicate"


Rule = Annotated[Present | NotAfter | AtMost | Unique, Constraint(discriminator="kind")]
TODAY = "today"


class Expectation(Model):
    """What the batch as a whole should look like: a metric between bounds, both included."""

    metric: Literal["rows", "refused_share", "empty_share", "distinct_share", "mean"]
    column: Name | None = None
    at_least: float | None = None
    at_most: float | None = None
    severity: Literal["quarantine", "warn"]

    @property
    def code(self) -> str:
        """The reason code of a batch that fails it."""
        return f"batch.{self.metric}"

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        of_file = self.metric in ("rows", "refused_share")
        if of_file == (self.column is not None):
            message = "expected a column for empty_share, distinct_share and mean, and for no other metric"
            raise ValueError(message)
        if self.at_least is None and self.at_most is None:
            message = "expected at_least or at_most"
            raise ValueError(message)
        return self
