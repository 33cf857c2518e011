"""Columns of invented but plausible cells, one function for each kind of check."""

import re
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import polars as pl

from schemas.agreement import Agreement, AtMost, Field, Unique
from schemas.samples.people import Alphabet, names

Rng = np.random.Generator

ISO_SHARE: Final = 0.2  # of dates that are written yyyy-mm-dd instead of dd.mm.yyyy
EMPTY_SHARE: Final = 0.35  # of cells that may be empty
PLACEHOLDER_SHARE: Final = 0.03  # of birth dates that are 1 January because nobody knows better
UNKNOWN_SHARE: Final = 0.01  # of birth dates whose day and month are 00
LATEST_SHARE: Final = 0.8  # of rows about the latest month
HUNDRED: Final = 100  # hours are planned in hundreds
SAMPLE_YEAR: Final = 2025  # what is reported lies in it: in the past, whenever a sample is used
ROWS_PER_COURSE: Final = 15

_COUNTED = re.compile(r"(?P<head>[A-Za-z0-9/_-]*)\[0-9\]\{(?P<digits>[0-9]+)\}")


def columns(
    agreement: Agreement, rng: Rng, rows: int, alphabet: Alphabet, canary: str | None
) -> dict[str, pl.Series]:
    """A column of raw cell texts for each field, by the field's name; every row good and every key unique."""
    last, first = names(rng, rows, alphabet, canary)
    made: dict[str, pl.Series] = {}
    for field in agreement.fields:
        if field.check == "name":
            made[field.name] = first if "first" in field.name else last
        else:
            made[field.name] = _emptied(MAKERS[field.check](field, rng, rows), field, agreement, rng)
    for rule in agreement.rules:
        if isinstance(rule, AtMost):
            made[rule.field] = _share_of(made[rule.other], rng)
        if isinstance(rule, Unique):
            _untangle(made, rule, agreement, rng)
    return made


def _emptied(column: pl.Series, field: Field, agreement: Agreement, rng: Rng) -> pl.Series:
    """Some cells empty, where neither the field nor a rule asks for them."""
    asked = field.required or any(
        rule.kind == "present" and rule.field == field.name for rule in agreement.rules
    )
    if asked:
        return column
    empty = pl.Series(rng.random(len(column)) < EMPTY_SHARE)
    return pl.select(pl.when(empty).then(pl.lit("")).otherwise(column)).to_series()


def _share_of(whole: pl.Series, rng: Rng) -> pl.Series:
    """Half to all of these numbers, in half steps, with a decimal comma where one is needed."""
    halves = np.floor(whole.cast(pl.Int64).to_numpy() * rng.uniform(1.0, 2.0, len(whole))).astype(np.int64)
    return _halves(halves)


def _halves(halves: np.ndarray) -> pl.Series:
    count = pl.Series(halves)
    comma = pl.when(count % 2 == 1).then(pl.lit(",5")).otherwise(pl.lit(""))
    return pl.select((count // 2).cast(pl.String) + comma).to_series()


def _untangle(made: dict[str, pl.Series], rule: Unique, agreement: Agreement, rng: Rng) -> None:
    """Draw birth dates or numbers again in rows that happen to repeat an earlier row's key."""
    loose = next(
        f
        for f in agreement.fields
        if f.name in rule.fields and f.check in ("birth_date", "participant_number")
    )
    while True:
        keys = pl.DataFrame({name: made[name] for name in rule.fields})
        again = ~keys.select(pl.struct(pl.all()).is_first_distinct()).to_series()
        if not again.any():
            return
        fresh = MAKERS[loose.check](loose, rng, len(again))
        made[loose.name] = pl.select(pl.when(again).then(fresh).otherwise(made[loose.name])).to_series()


def _numbers(field: Field, rng: Rng, rows: int) -> pl.Series:
    """Different numbers of the field's pattern, a head and counted digits, in no order."""
    head, digits = _form(field)
    if rows > 10**digits:
        message = f"{field.header} has only {10**digits} numbers, not {rows}"
        raise ValueError(message)
    spread = 10**digits // rows
    drawn = rng.permutation(rows) * spread + rng.integers(0, spread, rows)
    return _padded(drawn, digits, head)


def _courses(field: Field, rng: Rng, rows: int) -> pl.Series:
    """Numbers of a few courses, all with a leading zero."""
    head, digits = _form(field)
    courses = rng.integers(10 ** (digits - 2), 10 ** (digits - 1), 1 + rows // ROWS_PER_COURSE)
    return _padded(rng.choice(courses, rows), digits, head)


def _form(field: Field) -> tuple[str, int]:
    found = _COUNTED.fullmatch(str(field.options["pattern"]))
    if found is None:
        message = f"{field.header}: samples are made for patterns of a head and counted digits only"
        raise ValueError(message)
    return found["head"], int(found["digits"])


def _padded(numbers: np.ndarray, digits: int, head: str) -> pl.Series:
    return head + pl.Series(numbers).cast(pl.String).str.zfill(digits)


def _days(first: str, last: str) -> Callable[[Field, Rng, int], pl.Series]:
    """Days between two ISO dates, in both forms."""

    def drawn(field: Field, rng: Rng, rows: int) -> pl.Series:  # noqa: ARG001 -- all makers look alike
        days = rng.integers(np.datetime64(first, "D").astype(int), np.datetime64(last, "D").astype(int), rows)
        return _written(pl.Series(days).cast(pl.Int32).cast(pl.Date), rng)

    return drawn


def _written(days: pl.Series, rng: Rng) -> pl.Series:
    iso = pl.Series(rng.random(len(days)) < ISO_SHARE)
    return pl.select(
        pl.when(iso).then(days.dt.strftime("%Y-%m-%d")).otherwise(days.dt.strftime("%d.%m.%Y"))
    ).to_series()


def _birth_dates(field: Field, rng: Rng, rows: int) -> pl.Series:
    """Days of birth with what registers hold: 1 January as a placeholder, unknown days and months."""
    days = _days("1955-01-01", "2006-12-31")(field, rng, rows)
    years = pl.Series(rng.integers(1955, 2007, rows)).cast(pl.String)
    lot = pl.Series(rng.random(rows))
    return pl.select(
        pl.when(lot < PLACEHOLDER_SHARE)
        .then("01.01." + years)
        .when(lot > 1 - UNKNOWN_SHARE)
        .then("00.00." + years)
        .otherwise(days)
    ).to_series()


def _months(field: Field, rng: Rng, rows: int) -> pl.Series:  # noqa: ARG001 -- all makers look alike
    """Months of the sample year, most of them the last one."""
    month = np.where(rng.random(rows) < LATEST_SHARE, 12, rng.integers(1, 13, rows))
    written = [f"{SAMPLE_YEAR}-{m:02d}" for m in range(13)] + [f"{m:02d}.{SAMPLE_YEAR}" for m in range(13)]
    return pl.Series(written).gather(month + 13 * (rng.random(rows) < ISO_SHARE))


def _codes(field: Field, rng: Rng, rows: int) -> pl.Series:
    accepted = list(_mapping(field.options["codes"]))
    return pl.Series(accepted).gather(rng.integers(0, len(accepted), rows))


def _mapping(options: object) -> Mapping[str, object]:
    return options if isinstance(options, Mapping) else {}


def _levels(field: Field, rng: Rng, rows: int) -> pl.Series:  # noqa: ARG001 -- all makers look alike
    return pl.Series(["A1", "A2", "B1", "B2", "C1", "C2"]).gather(
        rng.choice(6, rows, p=[0.2, 0.3, 0.3, 0.15, 0.04, 0.01])
    )


def _integers(field: Field, rng: Rng, rows: int) -> pl.Series:
    """Small numbers as they are; larger ones as hundreds, as courses are planned."""
    least, most = (int(str(field.options[word])) for word in ("min", "max"))
    if most < HUNDRED:
        return pl.Series(rng.integers(least, most + 1, rows)).cast(pl.String)
    return pl.Series(HUNDRED * rng.integers(1, min(most, 900) // HUNDRED + 1, rows)).cast(pl.String)


def _decimals(field: Field, rng: Rng, rows: int) -> pl.Series:  # noqa: ARG001 -- all makers look alike
    return _halves(rng.integers(2, 17, rows))


MAKERS: Final[Mapping[str, Callable[[Field, Rng, int], pl.Series]]] = {
    "participant_number": _numbers,
    "course_number": _courses,
    "birth_date": _birth_dates,
    "date": _days(f"{SAMPLE_YEAR}-01-01", f"{SAMPLE_YEAR}-12-31"),
    "month": _months,
    "code": _codes,
    "cefr": _levels,
    "integer": _integers,
    "decimal": _decimals,
}
