"""Looking up many 16-byte values (ids, MACs) among many others, in memory.

Both sides are put into order first: searched in order, one search begins where the last one ended, while at
random each would miss every cache of the processor.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.uint8]  # shape (n, 16)
Words = NDArray[np.uint64]  # shape (n,) or (n, 2)
Places = NDArray[np.int64]

ABSENT = -1


def places(known: Values, asked: Values) -> Places:
    """Tell where each of some values stands among known ones; shape (n,), ABSENT where it does not.

    Of several equal known ones it is the first.
    """
    among, wanted = _words(known), _words(asked)
    rank, order = np.argsort(among[:, 0], kind="stable"), np.argsort(wanted[:, 0])
    at = search(among[rank, 0], among[rank, 1], wanted[order])
    found = np.empty(len(wanted), dtype=np.int64)
    found[order] = np.where(at == ABSENT, ABSENT, rank[at]) if len(rank) else ABSENT
    return found


def search(first: Words, second: Words, wanted: Words) -> Places:
    """Find pairs of words (n, 2) in a run of pairs sorted by the first word; ABSENT where there is none.

    ``wanted`` may come in any order; sorted by its first word it is found ten times as fast. Pairs that share
    a first word are walked through, however rare they are.
    """
    found = np.full(len(wanted), ABSENT, dtype=np.int64)
    at = np.searchsorted(first, wanted[:, 0])
    while True:
        inside = at < len(first)
        safe = np.where(inside, at, 0)
        same = inside & (found == ABSENT)
        if not same.any():
            return found
        same &= first[safe] == wanted[:, 0]
        hit = same & (second[safe] == wanted[:, 1])
        found[hit] = at[hit]
        if not (same & ~hit).any():
            return found
        at = at + 1


def _words(values: Values) -> Words:
    return np.ascontiguousarray(values).view(np.uint64).reshape(-1, 2)
