"""Columns worked on value by value: what holds for a text holds in every row where it stands.

Most columns of an exchange hold few different texts (levels, months, kinds of course, names). What is to be
found out about each row is found out about each text once and handed to its rows.
"""

from typing import Final

import polars as pl

_LOOKED_AT: Final = 1_000  # rows of a column by which it is judged
_FEW: Final = 300  # different texts among these; a column of more repeats itself too little to be worth it


def by_value(column: pl.Series, *wanted: pl.Expr) -> list[pl.Series]:
    """Evaluate expressions over a text column; each must be elementwise and of this column alone.

    The results have the column's height and order; they are named by their places.
    """
    named = [expression.alias(str(place)) for place, expression in enumerate(wanted)]
    if len(column) <= _LOOKED_AT or column.head(_LOOKED_AT).n_unique() > _FEW or column.has_nulls():
        return column.to_frame().select(named).get_columns()
    # Categories of its own: those of the process would be shared with, and remembered from, other columns.
    coded = column.cast(pl.Categorical(pl.Categories.random()))
    texts = coded.unique()
    of_texts = texts.cast(pl.String).to_frame().select(named)
    places = texts.to_physical().arg_sort().gather(coded.to_physical())
    return [result.gather(places) for result in of_texts.get_columns()]
