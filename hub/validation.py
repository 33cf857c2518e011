"""Validation of rows (Prüfung): every row held against its agreement, part by part.

A vectorised screen lets the good rows through; only rows that fail it go to the exact row model, which says
why. The rules between fields follow. The screen may be stricter than the model, never laxer: a row that the
screen stops and nothing explains is set aside (quarantined), not lost. Findings name places and codes, never
values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl
from pydantic import BaseModel, ValidationError

from hub.by_value import by_value
from hub.keys_seen import KeysSeen
from schemas.agreement import Agreement, Field
from schemas.checks import CHECKS, row_model
from schemas.terms import TODAY, AtMost, NotAfter, Present, Unique

REFUSED: Final = "refused"
QUARANTINED: Final = "quarantined"
DISAGREEMENT: Final = "validation.disagreement"
MONTH: Final = len("2026-01")
DAY: Final = len("2026-01-31")
FINDINGS: Final = {"place": pl.UInt32, "column": pl.String, "code": pl.String, "fate": pl.String}


@dataclass(frozen=True)
class Validated:
    """A part after validation.

    ``frame`` holds the good rows in the file's order: ``place`` and every field in its canonical text, ""
    where it is missing, never null. ``findings`` has a line for each reason (``place``, ``column``:
    the field's name or null for the whole row, ``code``, ``fate``); all lines of a place carry the same fate,
    ``refused`` or ``quarantined``.
    """

    frame: pl.DataFrame
    findings: pl.DataFrame


def validate_part(frame: pl.DataFrame, agreement: Agreement, today: date) -> Validated:
    """Divide the rows of a part into good ones and findings; every row is in exactly one of the two.

    Repeated keys are not looked for: see ``refuse_repeated``.

    Args:
        frame: ``place`` (UInt32) and a String column per field; "" is a missing value.
        agreement: whose fields and rules hold.
        today: the day that the rules call ``today``.
    """
    good, rows = _judge_values(frame, agreement)
    rows, refused = _hold_rules(rows, agreement, today)
    findings = pl.concat([*_word_on(frame.filter(~good), agreement, today), refused])
    return Validated(frame=rows, findings=findings.sort("place", maintain_order=True))


def refuse_repeated(part: Validated, agreement: Agreement, seen: KeysSeen) -> Validated:
    """Refuse the rows whose keys the file has shown before; parts come in the file's order.

    Args:
        part: as ``validate_part`` gave it.
        agreement: whose ``unique`` rules hold.
        seen: the keys of the file's earlier parts; the good rows' keys are added.
    """
    rows, repeated = _first_of_keys(part.frame, agreement, seen)
    if repeated.is_empty():
        return part
    findings = pl.concat([part.findings, repeated])
    return Validated(frame=rows, findings=findings.sort("place", maintain_order=True))


def _judge_values(frame: pl.DataFrame, agreement: Agreement) -> tuple[pl.Series, pl.DataFrame]:
    """Say of each row whether it is certainly good, and write the good ones in canonical text."""
    good = pl.repeat(value=True, n=frame.height, dtype=pl.Boolean, eager=True)
    columns = [frame["place"]]
    for field in agreement.fields:
        passes, texts = by_value(frame[field.name], _field_screen(field), _canonical_field(field))
        good &= passes
        columns.append(texts.alias(field.name))
    return good, pl.DataFrame(columns).filter(good)


def _word_on(suspects: pl.DataFrame, agreement: Agreement, today: date) -> list[pl.DataFrame]:
    """Say what is wrong with the rows that the screen has stopped."""
    if suspects.is_empty():
        return []
    explained = _explain(suspects, agreement)
    doubtful = suspects.join(explained, on="place", how="anti", maintain_order="left")
    canonical = doubtful.select("place", *(_canonical_field(field) for field in agreement.fields))
    unexplained, broken = _hold_rules(canonical, agreement, today)
    return [explained, broken, _findings(unexplained, None, DISAGREEMENT, QUARANTINED)]


def _field_screen(field: Field) -> pl.Expr:
    column = pl.col(field.name)
    passes = CHECKS[field.check].screen(column, field)
    return (
        pl.when(_missing(column)).then(statement=not field.required).otherwise(passes).fill_null(value=False)
    )


def _missing(column: pl.Expr) -> pl.Expr:
    return column.is_null() | (column == "")


def _canonical_field(field: Field) -> pl.Expr:
    column = pl.col(field.name)
    text = CHECKS[field.check].normal(column, field)
    if not field.required:
        text = pl.when(_missing(column)).then(pl.lit("")).otherwise(text)
    return text.alias(field.name)


def _explain(suspects: pl.DataFrame, agreement: Agreement) -> pl.DataFrame:
    """Ask the row model about every value that the screen stopped; one that it takes gets no line.

    The model's word about a value depends on its field alone, so each text is asked about once.
    """
    findings = [pl.DataFrame(schema=FINDINGS)]
    for field in agreement.fields:
        stopped = suspects.filter(~_field_screen(field)).select(
            "place", text=pl.col(field.name).fill_null("")
        )
        texts = stopped["text"].unique()
        if stopped.is_empty():
            continue
        codes = pl.Series(
            list(_ask(row_model(_Column(agreement.id, (field,))), field.name, texts)), dtype=pl.String
        )
        reasons = pl.DataFrame({"text": texts, "code": codes}).drop_nulls()
        explained = stopped.join(reasons, on="text", maintain_order="left")
        findings.append(
            explained.select("place", *_literals(column=field.name), "code", *_literals(fate=REFUSED))
        )
    return pl.concat(findings)


@dataclass(frozen=True)
class _Column:
    """As much of an agreement as the row model needs to speak about one field."""

    id: str
    fields: tuple[Field, ...]


def _ask(model: type[BaseModel], name: str, texts: pl.Series) -> Iterator[str | None]:
    for text in texts:
        try:
            model.model_validate({name: text})
        except ValidationError as error:  # it carries the text: only its type is taken
            yield error.errors(include_input=False, include_context=False, include_url=False)[0]["type"]
        else:
            yield None


def _hold_rules(rows: pl.DataFrame, agreement: Agreement, today: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Divide canonical rows into those that keep every rule between fields, and findings of the others."""
    breaches = [
        (rule, _breach(rule, agreement, today)) for rule in agreement.rules if not isinstance(rule, Unique)
    ]
    findings = [
        _findings(rows.filter(breach.fill_null(value=False)), rule.field, rule.code, REFUSED)
        for rule, breach in breaches
    ]
    found = pl.concat([pl.DataFrame(schema=FINDINGS), *findings])
    if found.is_empty():
        return rows, found
    return rows.join(found, on="place", how="anti", maintain_order="left"), found


def _breach(rule: Present | NotAfter | AtMost, agreement: Agreement, today: date) -> pl.Expr:
    """Say of each row whether it certainly breaks the rule; a missing value breaks none but ``present``."""
    column = pl.col(rule.field)
    if isinstance(rule, Present):
        return _missing(column)
    if isinstance(rule, AtMost):  # "" is no number, and null exceeds nothing
        return column.cast(pl.Float64, strict=False) > pl.col(rule.other).cast(pl.Float64, strict=False)
    checks = [agreement.field(rule.field).check]
    if rule.other == TODAY:
        latest = pl.lit(today.isoformat())
    else:
        # An unknown day or month (00) of the later date may be any: it counts as the last one.
        latest = pl.col(rule.other).str.replace_all("-00", "-99", literal=True)
        checks.append(agreement.field(rule.other).check)
    digits = MONTH if "month" in checks else DAY
    return (latest != "") & (column.str.slice(0, digits) > latest.str.slice(0, digits))


def _first_of_keys(
    rows: pl.DataFrame, agreement: Agreement, seen: KeysSeen
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep the first row of each key; what one ``unique`` rule refuses, the rules after it do not see."""
    found = [pl.DataFrame(schema=FINDINGS)]
    for place, rule in enumerate(agreement.rules):
        if isinstance(rule, Unique):
            first = pl.Series(seen.of(place).add(rows.select(rule.fields)))
            found.append(_findings(rows.filter(~first), None, rule.code, REFUSED))
            rows = rows.filter(first)
    return rows, pl.concat(found)


def _findings(rows: pl.DataFrame, column: str | None, code: str, fate: str) -> pl.DataFrame:
    return rows.select("place", *_literals(column=column, code=code, fate=fate))


def _literals(**texts: str | None) -> list[pl.Expr]:
    return [pl.lit(text, pl.String).alias(name) for name, text in texts.items()]
