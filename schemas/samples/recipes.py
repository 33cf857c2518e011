"""Typical errors as recipes: each spoils rows of its own in one way, and says which code must come of it.

What is expected is written down here by hand, from the agreement's words; no check is asked for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from schemas.agreement import TODAY, Agreement, AtMost, Field, NotAfter, Present, Unique

FileFormat = Literal["csv", "xlsx"]
Row = dict[str, str]

FAR_DAY: Final = "31.12.2099"
FAR_MONTH: Final = "12.2099"


@dataclass(frozen=True)
class Recipe:
    """One error in one column (``field``), or in the row as a whole (None).

    ``spoil`` turns a good row, by field names, into the spoilt one. Rows that no column shows, because the
    file itself is mangled there, name their ``mangling`` instead.
    """

    name: str
    code: str
    field: Field | None
    spoil: Callable[[Row], Row]
    formats: tuple[FileFormat, ...] = ("csv", "xlsx")
    mangling: Literal["short", "long", "number", "duplicate", "totals"] | None = None


@dataclass(frozen=True)
class _Value:
    """A bad text for the first column of a check.

    In it, {good} is the row's good text, {shorn} that without its leading zero, {canary} the canary, {long} a
    text longer than any field takes.
    """

    name: str
    check: str
    code: str
    bad: str


_VALUES: Final = (
    _Value("missing_value", "name", "value.missing", ""),
    _Value("foreign_script", "name", "value.characters", "Олена {canary}"),
    _Value("digit_in_name", "name", "value.characters", "{good}2"),
    _Value("mojibake", "name", "value.mojibake", "MÃ¼ller {canary}"),
    _Value("lost_letters", "name", "value.mojibake", "M\ufffdller {canary}"),
    _Value("formula", "name", "value.formula", '=HYPERLINK("http://x.example","{canary}")'),
    _Value("too_long", "name", "value.too_long", "{good}{long}"),
    _Value("day_not_in_form", "birth_date", "value.format", "um 1980 {canary}"),
    _Value("no_such_day", "birth_date", "value.range", "31.02.1990"),
    _Value("serial_date", "birth_date", "value.serial_date", "29221"),
    _Value("serial_month", "month", "value.serial_date", "45992"),
    _Value("serial_day", "date", "value.serial_date", "45992"),
    _Value("eaten_zero", "course_number", "value.leading_zero", "{shorn}"),
    _Value("scientific", "course_number", "value.scientific", "1,23E+11"),
    _Value("number_not_in_form", "participant_number", "value.format", "{good}9"),
    _Value("eaten_zeros", "participant_number", "value.leading_zero", "KVHS-12345"),
    _Value("unknown_code", "code", "value.code", "Unbekannt {canary}"),
    _Value("unknown_level", "cefr", "value.code", "D1"),
    _Value("number_too_large", "integer", "value.range", "99999"),
    _Value("number_in_words", "integer", "value.format", "viele {canary}"),
    _Value("thousands_point", "decimal", "value.format", "1.000,5"),
    _Value("negative_number", "decimal", "value.range", "-2"),
)


def recipes(agreement: Agreement, file_format: FileFormat, canary: str | None) -> tuple[Recipe, ...]:
    """Every recipe that this agreement can be given in files of this format."""
    found = [*_values(agreement, canary or ""), *_rules(agreement), *_shapes(agreement)]
    return tuple(recipe for recipe in found if file_format in recipe.formats)


def _values(agreement: Agreement, canary: str) -> list[Recipe]:
    made = []
    for value in _VALUES:
        field = next((f for f in agreement.fields if f.check == value.check), None)
        if field is not None:
            made.append(Recipe(value.name, value.code, field, _in_cell(field.name, value.bad, canary)))
    return made


def _in_cell(name: str, bad: str, canary: str) -> Callable[[Row], Row]:
    def spoil(row: Row) -> Row:
        good = row[name]
        text = bad.format(good=good, shorn=good.removeprefix("0"), canary=canary, long="a" * 201)
        return {**row, name: text.strip()}

    return spoil


def _rules(agreement: Agreement) -> list[Recipe]:
    made = []
    for rule in agreement.rules:
        if isinstance(rule, Unique):
            made.append(Recipe("duplicate_row", rule.code, None, dict, mangling="duplicate"))
            continue
        field = agreement.field(rule.field)
        if isinstance(rule, Present):
            made.append(Recipe(f"no_{field.name}", rule.code, field, _set(field.name, "")))
        elif isinstance(rule, AtMost):
            made.append(Recipe(f"{field.name}_exceeds", rule.code, field, _one_more(field.name, rule.other)))
        elif isinstance(rule, NotAfter):
            late = FAR_MONTH if field.check == "month" else FAR_DAY
            name = "in_the_future" if rule.other == TODAY else f"after_{rule.other}"
            made.append(Recipe(f"{field.name}_{name}", rule.code, field, _set(field.name, late)))
    return made


def _set(name: str, text: str) -> Callable[[Row], Row]:
    return lambda row: {**row, name: text}


def _one_more(name: str, other: str) -> Callable[[Row], Row]:
    return lambda row: {**row, name: str(int(row[other]) + 1)}


def _shapes(agreement: Agreement) -> list[Recipe]:
    made = [
        Recipe("short_row", "row.field_count", None, dict, ("csv",), "short"),
        Recipe("long_row", "row.field_count", None, dict, ("csv",), "long"),
        Recipe("totals_row", "row.totals_row", None, _totals(agreement), mangling="totals"),
    ]
    numbered = next((f for f in agreement.fields if f.check == "course_number"), None)
    if numbered is not None:
        made.append(Recipe("number_cell", "value.number_cell", numbered, dict, ("xlsx",), "number"))
    return made


def _totals(agreement: Agreement) -> Callable[[Row], Row]:
    """A last row that sums up the numbers and says so in its first cell."""
    sums: Mapping[str, str] = {f.name: "4711" for f in agreement.fields if f.check in ("integer", "decimal")}
    first = agreement.fields[0].name
    return lambda row: {**dict.fromkeys(row, ""), **sums, first: "Summe"}
