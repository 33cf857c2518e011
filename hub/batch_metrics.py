"""The figures of a batch, counted part by part, for its expectations; none of them tells a person's value."""

import math
import secrets

import polars as pl

from hub.expectations import metric_key
from schemas.agreement import Agreement


class Metrics:
    """Counts what the agreement's expectations ask for.

    ``rows`` are all rows of the file, unreadable ones too; ``refused_share`` is the refused ones of them;
    ``empty_share`` of a column is its missing values among the readable rows, good or not (in good rows a
    required field is never empty); ``distinct_share`` is different values of all filled ones, and ``mean``
    their mean, both over good rows. A share or mean of nothing is NaN.

    Different values are told apart by 64 bits of a hash with a secret seed: of a million, two fall together
    once in 30 million files, and the share is then wrong by a millionth.
    """

    def __init__(self, agreement: Agreement) -> None:
        wanted = {(item.metric, item.column) for item in agreement.expectations}
        self._empty = {column: 0 for metric, column in wanted if metric == "empty_share" and column}
        self._filled = {column: 0 for metric, column in wanted if metric == "distinct_share" and column}
        self._hashes: dict[str, list[pl.Series]] = {column: [] for column in self._filled}
        self._seed = secrets.randbits(64)
        self._sums = {column: (0.0, 0) for metric, column in wanted if metric == "mean" and column}
        self._readable = self._refused = 0

    def add(self, readable: pl.DataFrame, good: pl.DataFrame, refused: int) -> None:
        """Count a part: its rows as read, its good rows in canonical text, and how many rows were refused."""
        self._readable += readable.height
        self._refused += refused
        for column in self._empty:
            self._empty[column] += int((readable[column] == "").sum())
        for column, hashes in self._hashes.items():
            filled = good[column].filter(good[column] != "")
            self._filled[column] += len(filled)
            hashes.append(filled.hash(self._seed))
        for column, (total, count) in self._sums.items():
            numbers = good[column].cast(pl.Float64, strict=False).drop_nulls()
            self._sums[column] = (total + float(numbers.sum()), count + len(numbers))

    def figures(self, rows: int) -> dict[str, float]:
        """Give the figures by ``hub.expectations.metric_key``; ``rows`` is how many the whole file has."""
        figures = {"rows": float(rows), "refused_share": _share(self._refused, rows)}
        for column, empty in self._empty.items():
            figures[metric_key("empty_share", column)] = _share(empty, self._readable)
        for column, hashes in self._hashes.items():
            different = pl.concat(hashes).n_unique() if hashes else 0
            figures[metric_key("distinct_share", column)] = _share(different, self._filled[column])
        for column, (total, count) in self._sums.items():
            figures[metric_key("mean", column)] = _share(total, count)
        return figures


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
