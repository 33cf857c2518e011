"""Names of invented people, drawn by origin, so that first and last names belong together."""

from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

Alphabet = Literal["din-91379", "windows-1252"]

_FILE: Final = Path(__file__).parents[1] / "sample_names.yaml"
_DOUBLE_SHARE: Final = 0.08  # of last names that are two, with a hyphen


def names(
    rng: np.random.Generator, rows: int, alphabet: Alphabet, canary: str | None
) -> tuple[pl.Series, pl.Series]:
    """Last and first names of so many people; ``canary`` is woven into each of them."""
    last, first = _pool("last", alphabet), _pool("first", alphabet)
    origin = rng.integers(0, len(last), rows)
    one, other = _draw(rng, last, origin), _draw(rng, last, origin)
    double = pl.Series(rng.random(rows) < _DOUBLE_SHARE)
    frame = pl.DataFrame({"one": one, "other": other, "first": _draw(rng, first, origin), "double": double})
    tail = "" if canary is None else f" {canary}"
    both = pl.concat_str("one", "other", separator="-")
    picked = frame.select(
        last=pl.when("double").then(both).otherwise("one") + tail, first=pl.col("first") + tail
    )
    return picked["last"], picked["first"]


@cache
def _pool(kind: str, alphabet: Alphabet) -> tuple[tuple[str, ...], ...]:
    """Names of a kind by origin; only those that the alphabet can write, and origins that have both kinds."""
    origins = yaml.safe_load(_FILE.read_text(encoding="utf-8")).values()
    written = [{kind: _writable(names, alphabet) for kind, names in origin.items()} for origin in origins]
    return tuple(origin[kind] for origin in written if all(origin.values()))


def _writable(names: list[str], alphabet: Alphabet) -> tuple[str, ...]:
    if alphabet == "din-91379":
        return tuple(names)
    return tuple(name for name in names if name == name.encode("cp1252", "ignore").decode("cp1252"))


def _draw(
    rng: np.random.Generator, pool: tuple[tuple[str, ...], ...], origin: NDArray[np.int64]
) -> pl.Series:
    sizes = np.array([len(one) for one in pool])
    offsets = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    places = offsets[origin] + (rng.random(len(origin)) * sizes[origin]).astype(np.int64)
    return pl.Series([name for one in pool for name in one]).gather(places)
