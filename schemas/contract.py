"""An agreement: who sends what to whom, on which law, in which form, and what is done to it on the way.

Agreements are data (``schemas/agreements/*.yaml``); ``schemas.loading`` reads them into this model. An
agreement that exists as an object is sound in itself: every name in it is known, and what the law forbids
cannot be written in it (``schemas.soundness``).
"""

import hashlib
from functools import cached_property
from typing import Annotated, Literal, Self

import rfc8785
from pydantic import Field as Constraint
from pydantic import StringConstraints, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from schemas.fields import Field, Line, Text
from schemas.model import Model
from schemas.soundness import faults
from schemas.terms import Delivery, Expectation, Intake, LegalBasis, Output, PartnerName, Person, Rule

Semver = Annotated[str, StringConstraints(pattern=r"\A(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}\z")]


class Agreement(Model):
    """One agreement in one version. Days of retention count from the recipient's receipt."""

    id: Annotated[str, StringConstraints(pattern=r"\A[A-Z][A-Z0-9]{0,15}\z")]
    version: Semver
    status: Literal["draft", "approved", "active", "suspended", "retired"]
    title: Text
    sender: PartnerName
    recipient: PartnerName
    purpose: Annotated[str, StringConstraints(pattern=r"\Ahttps://w3id\.org/dpv[A-Za-z0-9/_-]*#[A-Za-z]+\z")]
    purpose_text: Text
    legal_basis: LegalBasis
    identity: Literal["identified", "pseudonym"]
    reidentification: Literal["dual_control", "forbidden"] = "forbidden"
    person: Person | None = None
    delivery: Delivery
    intake: Intake
    output: Output
    fields: Annotated[tuple[Field, ...], Constraint(min_length=1, max_length=500)]
    rules: tuple[Rule, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    retention_days: int = Constraint(default=30, ge=0, le=3_650)
    quarantine_days: int = Constraint(default=14, ge=1, le=365)
    contract_reference: Line
    notice_reference: Line

    @model_validator(mode="after")
    def _sound(self) -> Self:
        found = [
            InitErrorDetails(
                type=PydanticCustomError("agreement", "{reason}", {"reason": text}), loc=place, input=None
            )
            for place, text in faults(self)
        ]
        if found:
            raise ValidationError.from_exception_data("Agreement", found)
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over the canonical JSON (RFC 8785) of everything that is agreed."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()

    @cached_property
    def released(self) -> tuple[Field, ...]:
        """The fields that the recipient gets, in the order in which they are delivered."""
        return tuple(field for field in self.fields if field.treatment != "drop")

    @cached_property
    def identifiers(self) -> tuple[Field, ...]:
        """The direct identifiers among the fields."""
        return tuple(field for field in self.fields if field.classification == "direct_identifier")

    def field(self, name: str) -> Field:
        """The field of a name.

        Raises:
            KeyError: the agreement has no such field.
        """
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}
