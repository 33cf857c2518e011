"""Consents as agencies bring them: a CSV file of fixed columns, read exactly."""

from pathlib import Path

import polars as pl

from hub.errors import Refused

COLUMNS = {
    "Teilnehmernummer": "number",
    "Einwilligung_Nr": "reference",
    "Vorlage": "template",
    "Sprache": "language",
    "Form": "form",
    "Empfaenger": "recipient",
    "Zweck": "purpose",
    "Felder": "fields",
    "Erteilt_am": "given_at",
    "Gueltig_bis": "valid_until",
    "Widerrufen_am": "withdrawn_at",
    "Nachweis": "evidence",
}
DATES = ("given_at", "valid_until", "withdrawn_at")
MAY_BE_EMPTY = ("valid_until", "withdrawn_at", "evidence")
FORMS = {"schriftlich": "written", "elektronisch": "electronic", "mündlich mit Zeugen": "oral with witnesses"}
PATTERNS = {
    "template": r"\A[a-z][a-z0-9-]{0,62}@[1-9][0-9]{0,5}\z",
    "language": r"\A[a-z]{2,3}(-[A-Za-z]{2,8})?\z",
    "recipient": r"\A[a-z][a-z0-9-]{0,63}\z",
    "purpose": r"\Ahttps://[A-Za-z0-9./_#-]{1,200}\z",
    "fields": r"\A[a-z][a-z0-9_]{0,62}( +[a-z][a-z0-9_]{0,62})*\z",
}
DAY = r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\z"


def read_consents(path: Path) -> pl.DataFrame:
    """Read a file of consents: UTF-8, semicolons, one line per consent, days as YYYY-MM-DD (Europe/Berlin).

    ``Felder`` lists the fields by name, separated by blanks. A consent runs from the start of ``Erteilt_am``
    to the end of ``Gueltig_bis``.

    Raises:
        Refused: ``consent.file`` when the file is not of this form, ``consent.row`` naming line and column
            of the first faulty value, never the value.
    """
    try:
        raw = pl.read_csv(path, separator=";", infer_schema=False, encoding="utf8")
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError, ValueError):
        raise _wrong_file(expected="a readable file of consents, found another") from None
    if raw.columns != list(COLUMNS):
        raise _wrong_file(expected=f"the columns {', '.join(COLUMNS)} in this order")
    if raw.height == 0:
        raise _wrong_file(expected="at least one consent, found none")
    rows = raw.rename(COLUMNS).with_columns(pl.all().fill_null("").str.strip_chars())
    _check_rows(rows)
    days = rows.with_columns(
        pl.col(name).replace("", None).str.to_date("%Y-%m-%d", strict=False) for name in DATES
    )
    for name in DATES:
        _fail_at(rows[name] != "", days[name].is_null(), name)
    ends = days.with_columns(pl.col("valid_until").dt.offset_by("1d"))  # valid through that day
    berlin = [pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("Europe/Berlin") for name in DATES]
    fields = pl.col("fields").str.replace_all(" +", " ").str.split(" ").list.unique().list.sort()
    return ends.with_columns(*berlin, fields, pl.col("form").replace_strict(FORMS))


def _check_rows(rows: pl.DataFrame) -> None:
    for name in rows.columns:
        if name not in MAY_BE_EMPTY:
            _fail_at(rows[name] == "", None, name)
    for name, pattern in PATTERNS.items():
        _fail_at(~rows[name].str.contains(pattern), None, name)
    _fail_at(~rows["form"].is_in(list(FORMS)), None, "form")
    for name in DATES:
        _fail_at((rows[name] != "") & ~rows[name].str.contains(DAY), None, name)


def _fail_at(wrong: pl.Series, also: pl.Series | None, name: str) -> None:
    found = wrong if also is None else wrong & also
    place = found.arg_max()
    if place is not None and found[place]:
        heading = next(german for german, english in COLUMNS.items() if english == name)
        raise Refused(
            "consent.row",
            f"line {place + 2}, column {heading}: the value is missing or not of the expected form",
            "correct the line and import the file again; nothing of it was taken",
        )


def _wrong_file(*, expected: str) -> Refused:
    return Refused(
        "consent.file", f"expected {expected}", "see docs/consents.md, or: hub agreement sample E3 --out DIR"
    )
