"""The egress gate: the last look at a finished parcel, by code that shares nothing with what made it.

It reads the bytes as the recipient will read them and proves from the agreement alone that they hold the
agreed columns, only values that their treatment allows, only this recipient's pseudonyms of cleared persons,
as many rows as were cleared, and none of the identifiers that were held back. Anything else is
``Corrupt``, an alarm. No message holds a value.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

import numpy as np
import polars as pl

from hub.egress.alarm import stop
from hub.egress.delimited import DelimitedParcel
from hub.egress.persons import WRITTEN, Bytes, Opener, distinct, person_frame
from hub.egress.workbook import WorkbookParcel
from hub.keys import KeyRing
from hub.side_by_side import side_by_side
from schemas.agreement import Agreement
from schemas.fields import Field

_CEFR: Final = ("A1", "A2", "B1", "B2", "C1", "C2")
_TREATED: Final = {"year": r"^[0-9]{4}$", "month": r"^[0-9]{4}-(0[0-9]|1[0-2])$", "pseudonym": WRITTEN}
_NAME: Final = r"^[^\p{C}=+@\-\d][^\p{C}\d<>|=;\\]*$"
_NAME_SIGNS: Final = 200  # counted apart: written into the pattern, its automaton takes 0.1 s to make
# No shape in this module lets in a control character or what a spreadsheet would run as a formula.
_CODE: Final = re.compile(r"[^\W_][\w ./()§,-]{0,63}")
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_PROVEN: Final = frozenset({"code", "cefr", "integer", "decimal", "date", "month", "birth_date"})
_LETTERS, _DIGITS = 4, 6  # what is shorter says nothing about one person


@dataclass(frozen=True)
class Inspection:
    """What the gate saw and let pass: rows, SHA-256 (hex) of the parcel's bytes, columns in order."""

    rows: int
    sha256: str
    columns: tuple[str, ...]


class _Seen(NamedTuple):
    """What the gate saw: the rows as read, the first bad column and row, persons, words that left."""

    frame: pl.DataFrame
    bad: tuple[str, int] | None
    persons: list[pl.DataFrame]
    words: list[pl.Series]


def inspect(  # noqa: PLR0913 -- the gate has one door, and everything goes through it
    parcel: BinaryIO,
    *,
    name: str,
    agreement: Agreement,
    ring: KeyRing,
    cleared: Bytes | None,
    rows: int,
    withheld: Iterable[pl.DataFrame],
    known: Collection[str] = (),
    witness: Callable[[pl.DataFrame], None] = lambda _rows: None,
) -> Inspection:
    """Let a finished parcel pass, or raise the alarm.

    Args:
        parcel: the plain bytes from their start; a workbook must be seekable.
        name: the file name as the recipient sees it.
        agreement: what was agreed; ``released`` fields, identity, recipient, purpose.
        ring: for this recipient's pseudonym key.
        cleared: internal ids of the persons cleared for this parcel, (n, 16), once or once per row; None
            exactly when the agreement releases identified rows.
        rows: how many rows the Clearance lets go.
        withheld: the submission's direct identifiers, any String columns (the raw texts, the canonical ones).
        known: words of ``name`` that the hub itself made (submission id, date) and that are no person's.
        witness: is shown all rows in their order, as read from the parcel, before the verdict on the whole.

    Raises:
        Corrupt: ``egress.metadata``, ``.format``, ``.columns``, ``.value``, ``.pseudonym``, ``.count``,
            ``.foreign_person`` or ``.identifier``, whichever is seen first.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name):
        raise stop("metadata", "a file name of A-Z a-z 0-9 . _ -", "another")
    proofs = {_column(field): _proof(field) for field in agreement.released}
    pseudonyms = [_column(field) for field in agreement.released if field.treatment == "pseudonym"]
    hidden = agreement.identity == "pseudonym"
    if len(pseudonyms) != hidden or hidden != (cleared is not None):
        raise stop("foreign_person", "cleared persons exactly of a pseudonymous parcel", "another claim")
    opener = Opener(ring, agreement.recipient.id, agreement.purpose)
    persons: list[pl.DataFrame] = []
    exposed, seen = [_name_words(name, agreement, known)], 0
    parcel_reader = _reader(parcel, agreement, tuple(proofs))

    def look(frame: pl.DataFrame) -> _Seen:
        bad = _unproved(frame, proofs)
        if bad is not None:
            return _Seen(frame, bad, [], [])
        opened = [opener.persons(frame[column]) for column in pseudonyms]
        return _Seen(
            frame,
            None,
            opened,
            [_words(frame[column]) for column in _open_columns(agreement) if hidden],
        )

    for found in side_by_side(look, parcel_reader.frames()):
        if found.bad is not None:
            column, row = found.bad
            code = "pseudonym" if column in pseudonyms else "value"
            raise stop(code, f"the agreed form in column {column}", f"another in row {seen + row}")
        persons.extend(found.persons)
        exposed.extend(found.words)
        witness(found.frame)
        seen += found.frame.height
    if seen != rows:
        raise stop("count", f"{rows} rows as cleared", str(seen))
    if cleared is not None:
        _only_cleared(persons, cleared)
        _no_identifier(pl.concat(exposed).unique(), withheld)
    return Inspection(rows=seen, sha256=parcel_reader.sha256(), columns=tuple(proofs))


def frames(parcel: BinaryIO, agreement: Agreement) -> Iterator[pl.DataFrame]:
    """Read a parcel's rows as the gate reads them, without a verdict on them; Corrupt ``egress.format``."""
    return _reader(parcel, agreement, tuple(_column(field) for field in agreement.released)).frames()


def _reader(
    parcel: BinaryIO, agreement: Agreement, columns: tuple[str, ...]
) -> DelimitedParcel | WorkbookParcel:
    """Choose by what was agreed, never by what the bytes look like."""
    if agreement.output.format == "csv":
        return DelimitedParcel(parcel, agreement.output.delimiter, columns)
    return WorkbookParcel(parcel, columns)


def _column(field: Field) -> str:
    return field.released_as or field.name


def _open_columns(agreement: Agreement) -> list[str]:
    """Name the columns that could hold any text; all others are proved by membership or by a bare shape."""
    kept = [field for field in agreement.released if field.treatment == "keep"]
    return [_column(field) for field in kept if field.check not in _PROVEN]


def _proof(field: Field) -> pl.Expr:
    """Write what a value of this column must look like; no column goes without such a proof."""
    column = pl.col(_column(field))
    if field.treatment in _TREATED:
        shape = column.str.contains(_TREATED[field.treatment])
    elif field.treatment == "keep" and field.check in _KEPT:
        shape = _KEPT[field.check](column, field)
    else:
        raise stop("value", f"a treatment and check that the gate knows for {field.name}", "others")
    empty = column.is_null() | (column == "")
    good = pl.when(empty).then(statement=not field.required).otherwise(shape)
    return good.fill_null(value=False).alias(_column(field))


def _matches(pattern: str) -> Callable[[pl.Expr, Field], pl.Expr]:
    return lambda column, _field: column.str.contains(pattern)


def _agreed_pattern(column: pl.Expr, field: Field) -> pl.Expr:
    """The agreement's own pattern, over the whole value, of plain characters only."""
    pattern = str(field.options["pattern"]).removeprefix(r"\A").removesuffix(r"\z").removesuffix(r"\Z")
    return column.str.contains(rf"\A(?:{pattern})\z") & column.str.contains(
        r"^[A-Za-z0-9][A-Za-z0-9/_-]{0,199}$"
    )


def _member(column: pl.Expr, field: Field) -> pl.Expr:
    codes = field.options["codes"]
    agreed = [str(code) for code in (codes.values() if isinstance(codes, Mapping) else ())]
    return column.is_in([code for code in agreed if _CODE.fullmatch(code)])


def _day(column: pl.Expr, _field: Field) -> pl.Expr:
    return (
        column.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
        & column.str.to_date("%Y-%m-%d", strict=False).is_not_null()
    )


_KEPT: Final[Mapping[str, Callable[[pl.Expr, Field], pl.Expr]]] = {
    "code": _member,
    "cefr": lambda column, _field: column.is_in(_CEFR),
    "integer": _matches(r"^[0-9]{1,12}$"),
    "decimal": _matches(r"^[0-9]{1,12}(\.[0-9]{1,6})?$"),
    "date": _day,
    "month": _matches(_TREATED["month"]),
    "birth_date": _matches(r"^[0-9]{4}-(0[0-9]|1[0-2])-([0-2][0-9]|3[01])$"),
    "name": lambda column, _field: column.str.contains(_NAME) & (column.str.len_chars() <= _NAME_SIGNS),
    "course_number": _agreed_pattern,
    "participant_number": _agreed_pattern,
}


def _unproved(frame: pl.DataFrame, proofs: Mapping[str, pl.Expr]) -> tuple[str, int] | None:
    """Name the first column with a value that its proof does not let pass, and that value's row, from 1."""
    verdict = frame.select(proofs.values())
    for column in verdict.columns:
        if not verdict[column].all():
            return column, int((~verdict[column]).arg_max() or 0) + 1
    return None


def _only_cleared(persons: list[pl.DataFrame], cleared: Bytes) -> None:
    allowed = person_frame(cleared)
    sent = pl.concat([allowed.clear(), *persons])
    if np.array_equal(distinct(sent), distinct(allowed)):
        return
    if foreign := sent.join(allowed, on=sent.columns, how="anti").height:
        raise stop("foreign_person", "cleared persons only", f"rows of others: {foreign}")
    if missing := allowed.join(sent, on=sent.columns, how="anti").height:
        raise stop("count", "every cleared person", f"missing: {missing}")


def _name_words(name: str, agreement: Agreement, known: Collection[str]) -> pl.Series:
    """Give the words of a file name but those that the hub and the agreement brought into it."""
    partners = agreement.sender.id, agreement.recipient.id
    own = _WORD.findall(" ".join((*known, *partners, agreement.id, agreement.output.format)))
    rest = [word for word in _WORD.findall(name) if word not in own]
    return _words(pl.Series([*rest, "-".join(rest)]))


def _words(texts: pl.Series) -> pl.Series:
    """Fold texts to what is compared, each once: whole values, words, digits; nothing that is short."""
    folded = texts.drop_nulls().unique().str.normalize("NFKC").str.to_lowercase().str.replace_all("ß", "ss")
    parts = folded.str.extract_all(r"[\p{L}\p{M}]+|[\p{N}]+").list.explode(empty_as_null=False)
    words = folded.str.extract_all(r"[\p{L}\p{M}\p{N}]+").list.explode(empty_as_null=False)
    every = pl.concat([folded, words, parts, folded.str.replace_all("[^0-9]", "")]).unique()
    numeric = ~every.str.contains(r"[^0-9]")
    return every.filter((every.str.len_chars() >= _DIGITS) | (~numeric & (every.str.len_chars() >= _LETTERS)))


def _no_identifier(exposed: pl.Series, withheld: Iterable[pl.DataFrame]) -> None:
    """Look for whole identifiers, their words and their digits among the words that left."""
    for frame in withheld if len(exposed) else ():
        for column in frame.columns:
            if _words(frame[column]).is_in(exposed.implode()).any():
                raise stop("identifier", "no direct identifier that was held back", f"one of column {column}")
