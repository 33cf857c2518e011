"""Minimisation: the treatments by which a field is dropped, kept or made coarser before it leaves.

The set is closed: a treatment that is not here is an error when the agreement is read.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hub.errors import Corrupt
from schemas.agreement import Agreement, Field

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


def ordered(agreement: Agreement, parts: Iterator[pl.DataFrame], slice_rows: int) -> Iterator[pl.DataFrame]:
    """Bring the released rows into an order that tells nothing of the sender's: that of their pseudonyms.

    Rows of identified agreements leave as they came. The columns beside the pseudonym hold few different
    texts, so they are kept as codes meanwhile; only slices of the result are ever laid out in full.
    """
    by = [_column(field) for field in agreement.released if field.treatment == "pseudonym"]
    if not by:
        yield from parts
        return
    rows = pl.concat([part.with_columns(pl.exclude(by).cast(pl.Categorical)) for part in parts])
    order = rows.select(pl.col(by[0]).arg_sort()).to_series()
    for first in range(0, rows.height, slice_rows):
        yield rows[order.slice(first, slice_rows)].cast(pl.String)


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
