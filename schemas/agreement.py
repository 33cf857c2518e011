"""Agreements as the rest of the hub knows them: the model, its parts, and the way to read one from a file."""

from schemas.contract import Agreement
from schemas.fields import Classification, Field, Text, Treatment
from schemas.loading import SHIPPED, AgreementError, Problem, load_agreement
from schemas.terms import (
    TODAY,
    AtMost,
    ConsentBasis,
    Delivery,
    Expectation,
    Intake,
    LegalBasis,
    NotAfter,
    Output,
    PartnerName,
    Person,
    Present,
    Rule,
    Statute,
    Unique,
)

__all__ = [
    "SHIPPED",
    "TODAY",
    "Agreement",
    "AgreementError",
    "AtMost",
    "Classification",
    "ConsentBasis",
    "Delivery",
    "Expectation",
    "Field",
    "Intake",
    "LegalBasis",
    "NotAfter",
    "Output",
    "PartnerName",
    "Person",
    "Present",
    "Problem",
    "Rule",
    "Statute",
    "Text",
    "Treatment",
    "Unique",
    "load_agreement",
]
