"""The keys that a file has shown so far, in 16 bytes each, so that a later part knows a repetition again.

A key is remembered as the AES-CMAC (RFC 4493) of its row text under a key of this run alone: nobody can
choose texts that collide, and nothing of a person can be read from memory.
"""

import secrets
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from hub.aes_columns import cmac_texts, row_texts
from hub.lookup import ABSENT, search

Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

_MERGE: Final = 2  # a run is merged into the one before unless that is at least this many times larger


class TextsSeen:
    """A set of rows of text cells; it grows, and tells which rows are new to it.

    The MACs lie in a few sorted runs, each at least twice as long as the next, so that n rows cost n log n
    steps and 16 bytes each (up to 40 for a moment, while two runs are merged).
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._runs: list[Words] = []  # each (2, n), sorted by the first word

    def __len__(self) -> int:
        return sum(run.shape[1] for run in self._runs)

    def add(self, rows: pl.DataFrame) -> Bools:
        """Take in rows of String columns; True (n,) for each that was neither here nor earlier among them."""
        macs = cmac_texts(self._key, row_texts(rows)).view(np.uint64).reshape(-1, 2)
        order = np.argsort(macs[:, 0])
        ordered = macs[order]
        new = _first_among(ordered, order)
        for run in self._runs:
            new &= search(run[0], run[1], ordered) == ABSENT
        self._keep(ordered[new].T)
        fresh = np.empty(len(macs), dtype=np.bool_)
        fresh[order] = new
        return fresh

    def _keep(self, words: Words) -> None:
        if not words.shape[1]:
            return
        if not self._runs or self._runs[-1].shape[1] >= _MERGE * words.shape[1]:
            self._runs.append(np.ascontiguousarray(words))
            return
        while self._runs and self._runs[-1].shape[1] < _MERGE * words.shape[1]:
            words = np.concatenate([self._runs.pop(), words], axis=1)
        # What is merged is in order already, and a stable sort goes through such runs once.
        self._runs.append(words[:, np.argsort(words[0], kind="stable")])


class KeysSeen:
    """The keys of one file under each ``unique`` rule of its agreement, by the rule's place there."""

    def __init__(self) -> None:
        self._rules: dict[int, TextsSeen] = {}

    def of(self, rule: int) -> TextsSeen:
        """Give the keys seen under one rule."""
        return self._rules.setdefault(rule, TextsSeen())


def _first_among(ordered: Words, places: Places) -> Bools:
    """Tell which MACs (n, 2), ordered by their first word, stand at the lowest place of all equal ones."""
    if not (ordered[1:, 0] == ordered[:-1, 0]).any():
        return np.ones(len(ordered), dtype=np.bool_)
    frame = pl.DataFrame({"high": ordered[:, 0], "low": ordered[:, 1], "place": places})
    lowest = frame.select(pl.col("place") == pl.col("place").min().over("high", "low"))
    return lowest.to_series().to_numpy().copy()
