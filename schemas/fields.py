"""A field of an agreement: one column of the partner's file, and what becomes of it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, JsonValue, StringConstraints, model_validator
from pydantic import Field as Constraint

from schemas.codelists import available, code_list
from schemas.model import Model

Classification = Literal["direct_identifier", "quasi_identifier", "special_category", "payload"]
Treatment = Literal["drop", "keep", "pseudonym", "year", "month"]


def _closed(options: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """A field is frozen; its options are copied so that nobody outside holds them."""
    return dict(options)


Name = Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9_]{0,62}\z")]
Line = Annotated[str, StringConstraints(pattern=r"\A[^\x00-\x1f\x7f]{1,400}\z", strip_whitespace=False)]
Header = Annotated[
    str, StringConstraints(pattern=r"\A[^\x00-\x20\x7f]([^\x00-\x1f\x7f]{0,98}[^\x00-\x20\x7f])?\z")
]
Options = Annotated[Mapping[str, JsonValue], AfterValidator(_closed)]


class Text(Model):
    """A sentence for people, in German and in English."""

    de: Line
    en: Line


class Field(Model):
    """One column: its heading in the file, the check of its values, its protection and its treatment.

    ``check`` names an entry of ``schemas.checks.CHECKS`` and ``options`` are that check's parameters.
    ``released_as`` is the column's name at the recipient, None exactly when the treatment is ``drop``.
    """

    name: Name
    header: Header
    title: Text
    description: Line
    check: str
    options: Options = Constraint(default_factory=dict)
    required: bool
    classification: Classification
    treatment: Treatment
    released_as: Name | None

    @model_validator(mode="before")
    @classmethod
    def _list_in_full(cls, data: Any) -> Any:
        """Write a code list that is taken as it stands out in full: what was agreed is what was read then."""
        options = data.get("options") if isinstance(data, Mapping) and data.get("check") == "code" else None
        if (
            not isinstance(options, Mapping)
            or "codes" in options
            or options.get("codelist") not in available()
        ):
            return data
        codes = {code: code for code in code_list(str(options["codelist"]))}
        return {**data, "options": {**options, "codes": codes}}
