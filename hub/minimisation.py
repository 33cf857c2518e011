"""Minimisation: the treatments by which a field is dropped, kept or made coarser before it leaves.

The set is closed: a treatment that is not here is an error when the agreement is read.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hub.errors import Corrupt
from hub.side_by_side import side_by_side
from schemas.agreement import Agreement, Field

_TOGETHER = 1_000  # places at which it is worth while to look closer

Treat = Callable[[pl.Expr], pl.Expr]

TREATMENTS: Mapping[str, Treat] = {
    "keep": lambda column: column,
    "year": lambda column: column.str.slice(0, 4),
    "month": lambda column: column.str.slice(0, 7),
}


def content(rows: pl.DataFrame, agreement: Agreement, ids: NDArray[np.uint8]) -> pl.DataFrame:
    """Give what would be released of rows, the person's internal id in the place of a pseudonym.

    This is what "the same row as before" is measured by: a correction in a field that is dropped changes
    nothing for the recipient, and a new pseudonym key does not make old rows new.
    """
    columns = []
    for field in agreement.released:
        if field.treatment == "pseudonym":
            words = np.ascontiguousarray(ids).view("<u8").reshape(-1, 2)
            person = pl.Series(words[:, 0]).cast(pl.String) + "/" + pl.Series(words[:, 1]).cast(pl.String)
            columns.append(person.alias(field.name))
        else:
            columns.append(treated(rows, field.name, field.treatment).alias(field.name))
    return pl.DataFrame(columns)


def released(
    agreement: Agreement,
    rows: pl.DataFrame,
    ids: NDArray[np.uint8],
    pseudonyms: Callable[[NDArray[np.uint8]], pl.Series],
) -> pl.DataFrame:
    """Make the rows as their recipient gets them: the agreed columns in the agreed order, and no other."""
    columns = []
    for field in agreement.released:
        column = (
            pseudonyms(ids) if field.treatment == "pseudonym" else treated(rows, field.name, field.treatment)
        )
        columns.append(column.alias(_column(field)))
    return pl.DataFrame(columns)


def compact(agreement: Agreement, rows: pl.DataFrame) -> pl.DataFrame:
    """Keep released rows in little room until all are there: few different texts stand beside pseudonyms."""
    by = _pseudonyms(agreement)
    return rows.with_columns(pl.exclude(by).cast(pl.Categorical)) if by else rows


def ordered(agreement: Agreement, parts: Iterator[pl.DataFrame], slice_rows: int) -> Iterator[pl.DataFrame]:
    """Bring the released rows into an order that tells nothing of the sender's: that of their pseudonyms.

    Parts come as ``compact`` leaves them. Rows of identified agreements leave as they came; of others only
    slices of the result are ever laid out in full.
    """
    by = _pseudonyms(agreement)
    if not by:
        yield from parts
        return
    rows = pl.concat(parts)
    order = _order(rows[by[0]])
    starts = range(0, rows.height, slice_rows)
    yield from side_by_side(lambda first: rows[order[first : first + slice_rows]].cast(pl.String), starts)


def _order(written: pl.Series) -> NDArray[np.int64]:
    """Give the places of pseudonyms in their order; numbers made of their signs are sorted faster than texts.

    All begin with the same two signs, and eight more leave hardly two persons of a million together.
    """
    signs = written.str.slice(2, 8).str.pad_end(8, " ").cast(pl.Binary)
    decisive = signs.bin.reinterpret(dtype=pl.UInt64, endianness="big").to_numpy()
    order = np.argsort(decisive, kind="stable")
    decisive = decisive[order]
    for place in _descents(written.gather(order))[:_TOGETHER]:
        first, end = np.searchsorted(decisive, [decisive[place], decisive[place] + np.uint64(1)])
        together = order[first:end]
        order[first:end] = together[written.gather(together).arg_sort().to_numpy()]
    return order if not len(_descents(written.gather(order))) else written.arg_sort().to_numpy()


def _descents(texts: pl.Series) -> NDArray[np.int64]:
    """Give the places at which a lesser text follows."""
    return np.flatnonzero((texts.shift(-1) < texts).fill_null(value=False).to_numpy())


def _pseudonyms(agreement: Agreement) -> list[str]:
    return [_column(field) for field in agreement.released if field.treatment == "pseudonym"]


def _column(field: Field) -> str:
    return field.released_as or field.name


def treated(rows: pl.DataFrame, name: str, treatment: str) -> pl.Series:
    """Treat one column of canonical text.

    Raises:
        Corrupt: ``minimisation.treatment`` for one that this closed set does not hold.
    """
    treat = TREATMENTS.get(treatment)
    if treat is None:
        raise Corrupt(
            "minimisation.treatment",
            f"expected one of {', '.join(TREATMENTS)}, the agreement says {treatment}",
            "use a treatment of this version of the hub",
        )
    return rows.select(treat(pl.col(name)))[name]
