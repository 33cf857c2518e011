"""What an agreement must be besides well-formed: its names known, its promises kept, the law's bans held.

Each rule here yields (place, sentence) pairs; the place is a path in the agreement's model.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ValidationError

from schemas.checks.table import CHECKS
from schemas.reasons import catalogue
from schemas.terms import TODAY, AtMost, ConsentBasis, NotAfter, Statute, Unique

if TYPE_CHECKING:
    from schemas.contract import Agreement
    from schemas.fields import Field

Place = tuple[str | int, ...]
Fault = tuple[Place, str]

# SGB II §51a, AZRG §10(4), IDNrG §5: these numbers join no two authorities' files.
FORBIDDEN_JOIN_KEYS: Final = frozenset(
    {"kundennummer", "azrnummer", "steueridnr", "steueridentifikationsnummer", "steuerid", "idnr"}
)
# The immigration authority gets nothing but what a statute on this list orders (deny by default).
GUARDED_RECIPIENTS: Final = {
    "auslaenderbehoerde": frozenset(
        {"AsylbLG §11(3)", "AufenthG §4a(5)", "AufenthG §16g(5)", "AufenthG §60c(5)", "AufenthG §60d"}
    )
}
# Words of pydantic's models, and of the frames that hold rows.
_RESERVED: Final = frozenset(dir(BaseModel)) | {"place", "column", "code"}


def faults(agreement: "Agreement") -> Iterator[Fault]:
    """Everything that is wrong with an agreement whose parts are well-formed."""
    yield from _names(agreement)
    for index, field in enumerate(agreement.fields):
        for place, text in _field(field):
            yield ("fields", index, *place), text
    yield from _references(agreement)
    yield from _rules(agreement)
    yield from _protection(agreement)
    yield from _law(agreement)


def _names(agreement: "Agreement") -> Iterator[Fault]:
    for attribute in ("name", "header", "released_as"):
        words = [getattr(field, attribute) for field in agreement.fields]
        count = Counter(word for word in words if word is not None)
        for index, word in enumerate(words):
            if count[word] > 1 and words.index(word) < index:
                yield ("fields", index, attribute), f"{word} stands twice; expected each {attribute} once"


def _field(field: "Field") -> Iterator[Fault]:
    if field.name in _RESERVED:
        yield ("name",), f"{field.name} is reserved; expected another name"
    if field.check not in CHECKS:
        yield ("check",), f"unknown check {field.check}; expected one of {', '.join(sorted(CHECKS))}"
    else:
        yield from _options(field)
    if (field.treatment == "drop") != (field.released_as is None):
        yield ("released_as",), "expected a released_as for every treatment but drop, and none for drop"
    if field.treatment in ("year", "month") and field.check not in ("date", "birth_date", "month"):
        yield ("treatment",), f"expected a date for the treatment {field.treatment}"
    if field.treatment != "drop" and (banned := _words(field) & FORBIDDEN_JOIN_KEYS):
        yield (
            ("treatment",),
            f"{', '.join(sorted(banned))} must not join authorities' files; expected drop",
        )


def _options(field: "Field") -> Iterator[Fault]:
    try:
        CHECKS[field.check].options.model_validate(dict(field.options))
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_context=False, include_url=False):
            yield ("options", *problem["loc"]), problem["msg"]


def _words(field: "Field") -> set[str]:
    """The field's names without what people put between words."""
    return {"".join(filter(str.isalnum, word.lower())) for word in (field.name, field.header, field.check)}


def _references(agreement: "Agreement") -> Iterator[Fault]:
    known = {field.name for field in agreement.fields}
    named: list[tuple[Place, str | None]] = [
        (("person", "number"), agreement.person.number if agreement.person else None),
        (("delivery", "period"), agreement.delivery.period),
        *((("delivery", "key", i), name) for i, name in enumerate(agreement.delivery.key)),
        *((("expectations", i, "column"), item.column) for i, item in enumerate(agreement.expectations)),
    ]
    for index, rule in enumerate(agreement.rules):
        if isinstance(rule, Unique):
            named.extend((("rules", index, "fields", i), name) for i, name in enumerate(rule.fields))
        else:
            named.append((("rules", index, "field"), rule.field))
        if isinstance(rule, AtMost) or (isinstance(rule, NotAfter) and rule.other != TODAY):
            named.append((("rules", index, "other"), rule.other))
    for place, name in named:
        if name is not None and name not in known:
            yield place, f"no field is called {name}"


def _rules(agreement: "Agreement") -> Iterator[Fault]:
    kinds = {field.name: field.check for field in agreement.fields}
    days, numbers = {"date", "birth_date", "month"}, {"integer", "decimal"}
    for index, rule in enumerate(agreement.rules):
        if rule.code not in catalogue() or catalogue()[rule.code].fate != "refused":
            yield ("rules", index, "code"), f"{rule.code} is no reason to refuse a row (schemas/reasons.yaml)"
        if isinstance(rule, NotAfter | AtMost):
            expected = days if isinstance(rule, NotAfter) else numbers
            for attribute in ("field", "other"):
                kind = kinds.get(getattr(rule, attribute))
                if kind is not None and kind not in expected:
                    text = f"{kind} has no such order; expected {', '.join(sorted(expected))}"
                    yield ("rules", index, attribute), text
    for index, expectation in enumerate(agreement.expectations):
        if expectation.metric == "mean" and kinds.get(expectation.column or "", "integer") not in numbers:
            yield ("expectations", index, "column"), "expected a number for the metric mean"


def _protection(agreement: "Agreement") -> Iterator[Fault]:
    """A pseudonymous recipient gets one pseudonym and no identifier, an identified one no pseudonym."""
    pseudonyms = [i for i, field in enumerate(agreement.fields) if field.treatment == "pseudonym"]
    if agreement.identity == "identified":
        for index in pseudonyms:
            yield ("fields", index, "treatment"), "an identified recipient gets no pseudonym"
        return
    if len(pseudonyms) != 1:
        yield ("identity",), f"expected exactly one field with the treatment pseudonym, got {len(pseudonyms)}"
    for index, field in enumerate(agreement.fields):
        if field.classification == "direct_identifier" and field.treatment not in ("drop", "pseudonym"):
            yield ("fields", index, "treatment"), "a direct identifier never reaches a pseudonymous recipient"
        if index in pseudonyms and agreement.person and field.name != agreement.person.number:
            yield ("fields", index, "treatment"), "expected the pseudonym in place of the person's number"


def _law(agreement: "Agreement") -> Iterator[Fault]:
    if agreement.sender.id == agreement.recipient.id:
        yield ("recipient", "id"), "expected a recipient other than the sender"
    by_person = agreement.identity == "pseudonym" or isinstance(agreement.legal_basis, ConsentBasis)
    if by_person and agreement.person is None:
        yield ("person",), "consent and pseudonyms need to know how a row's person is known"
    if agreement.person is not None:
        numbers = [field for field in agreement.fields if field.name == agreement.person.number]
        if any(not field.required for field in numbers):
            yield ("person", "number"), "expected a required field as the person's number"
    allowed = GUARDED_RECIPIENTS.get(agreement.recipient.id)
    if allowed is not None and not (
        isinstance(agreement.legal_basis, Statute) and allowed.issuperset(agreement.legal_basis.paragraphs)
    ):
        text = f"{agreement.recipient.id} receives nothing but under {', '.join(sorted(allowed))}"
        yield ("legal_basis",), text
