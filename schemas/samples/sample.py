"""Whole samples: realistic rows of an agreement, spoilt by plan, with the outcome that the plan implies."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import polars as pl

from schemas.agreement import Agreement, ConsentBasis
from schemas.reasons import reason
from schemas.samples.columns import columns
from schemas.samples.consents import LACKS, Lack, consents
from schemas.samples.people import Alphabet
from schemas.samples.recipes import FileFormat, Recipe, recipes

Mangling = Literal["short", "long", "number"]

_ROWS_EACH: Final = 500  # one more row is spoilt by each recipe for so many rows,
_MOST_EACH: Final = 20  # up to so many
_ROOM: Final = 3  # rows that a sample must have for each row that is spoilt


@dataclass(frozen=True)
class Sample:
    """A synthetic file before it is written.

    ``frame`` holds the raw cell texts, a String column for each heading. ``plan`` names each spoilt row:
    ``row`` (0-based), ``recipe``, ``column`` (heading or null), ``code``, ``fate``. ``expected`` counts
    refused rows by code, ``withheld`` those that no consent covers by fine code. ``consents`` has a line for
    each participant who gave one; None for agreements under a statute. ``mangled`` rows are written short,
    long, or with a numeric cell.
    """

    agreement: Agreement
    file_format: FileFormat
    frame: pl.DataFrame
    plan: pl.DataFrame
    consents: pl.DataFrame | None
    expected: Mapping[str, int]
    withheld: Mapping[str, int]
    mangled: Mapping[int, Mangling] = field(default_factory=dict)

    @property
    def delivered_if_consented(self) -> int:
        """Rows that are not refused."""
        return self.frame.height - sum(self.expected.values())

    @property
    def delivered(self) -> int:
        """Rows that are neither refused nor withheld."""
        return self.delivered_if_consented - sum(self.withheld.values())


def sample(
    agreement: Agreement,
    rows: int,
    seed: int,
    errors: bool | Collection[str] = False,  # noqa: FBT001, FBT002 -- False, True or the names of recipes
    *,
    canary: str | None = None,
    file_format: FileFormat | None = None,
    alphabet: Alphabet = "din-91379",
) -> Sample:
    """Make a sample of so many rows; the same arguments always give the same.

    Args:
        agreement: whose columns, rules and consents the sample has.
        rows: data rows of the file, spoilt ones included.
        seed: of the random generator.
        errors: every recipe, none, or those named (``recipe_names``).
        canary: a word (letters of DIN 91379) that is woven into every name and every bad text that allows it.
        file_format: some errors exist in one format only; the agreement's first format unless given.
        alphabet: ``windows-1252`` uses only names that this encoding can write.

    Raises:
        ValueError: too few rows for the recipes, or a recipe that does not exist.
    """
    chosen_format = file_format or agreement.intake.formats[0]
    spoiling, lacks = _chosen(agreement, chosen_format, errors, canary)
    each = min(_MOST_EACH, max(1, rows // _ROWS_EACH))
    needed = _ROOM * each * (len(spoiling) + len(lacks)) + 1
    if rows < needed:
        message = f"expected at least {needed} rows for these errors, got {rows}"
        raise ValueError(message)
    rng = np.random.default_rng(seed)
    made = pl.DataFrame(columns(agreement, rng, rows, alphabet, canary))
    spoilt = _Spoiler(made, rng)
    for recipe in spoiling:
        for _ in range(1 if recipe.mangling == "totals" else each):
            spoilt.apply(recipe)
    lacking = {spoilt.withhold(lack): lack for lack in lacks for _ in range(each)}
    number = agreement.person.number if agreement.person else None
    return Sample(
        agreement=agreement,
        file_format=chosen_format,
        frame=spoilt.frame().rename({f.name: f.header for f in agreement.fields}),
        plan=spoilt.plan(),
        consents=consents(agreement, rng, made[number], lacking) if number else None,
        expected=spoilt.count("refused"),
        withheld=spoilt.count("withheld"),
        mangled=spoilt.mangled,
    )


def recipe_names(agreement: Agreement, file_format: FileFormat) -> tuple[str, ...]:
    """What ``errors`` may name for an agreement's files of a format."""
    lacks = LACKS if isinstance(agreement.legal_basis, ConsentBasis) else ()
    return tuple(one.name for one in (*recipes(agreement, file_format, None), *lacks))


def _chosen(
    agreement: Agreement,
    file_format: FileFormat,
    errors: bool | Collection[str],  # noqa: FBT001 -- as ``sample`` has it
    canary: str | None,
) -> tuple[list[Recipe], list[Lack]]:
    known = recipe_names(agreement, file_format)
    wanted = set(known if errors is True else errors or ())
    if wanted - set(known):
        message = (
            f"no such recipe: {', '.join(sorted(wanted - set(known)))}; expected some of {', '.join(known)}"
        )
        raise ValueError(message)
    every = recipes(agreement, file_format, canary)
    return [one for one in every if one.name in wanted], [one for one in LACKS if one.name in wanted]


class _Spoiler:
    """Spoils rows of a frame, each at most once; the first row stays good, the last one is for totals."""

    def __init__(self, good: pl.DataFrame, rng: np.random.Generator) -> None:
        self.mangled: dict[int, Mangling] = {}
        self._good = good
        self._places = iter(rng.permutation(max(good.height - 2, 0)) + 1)
        self._cells: dict[str, dict[int, str]] = {}
        self._plan: list[tuple[int, str, str | None, str, str]] = []

    def apply(self, recipe: Recipe) -> None:
        """Spoil the next free row by a recipe."""
        place = self._good.height - 1 if recipe.mangling == "totals" else int(next(self._places))
        source = 0 if recipe.mangling == "duplicate" else place
        row = recipe.spoil(self._good.row(source, named=True))
        for name, text in row.items():
            self._cells.setdefault(name, {})[place] = text
        if recipe.mangling in ("short", "long", "number"):
            self.mangled[place] = recipe.mangling
        self._note(place, recipe.name, recipe.field.header if recipe.field else None, recipe.code)

    def withhold(self, lack: Lack) -> int:
        """Keep the next free row as it is and say that its consent does not suffice; its place."""
        place = int(next(self._places))
        self._note(place, lack.name, None, lack.code)
        return place

    def frame(self) -> pl.DataFrame:
        """The rows with everything spoilt that was to be."""
        return self._good.with_columns(
            self._good[name].scatter(list(cells), list(cells.values())) for name, cells in self._cells.items()
        )

    def plan(self) -> pl.DataFrame:
        """See ``Sample.plan``; in the order of the rows."""
        schema = {
            "row": pl.UInt32,
            "recipe": pl.String,
            "column": pl.String,
            "code": pl.String,
            "fate": pl.String,
        }
        return pl.DataFrame(self._plan, schema=schema, orient="row").sort("row")

    def count(self, fate: str) -> Counter[str]:
        """Spoilt rows of a fate by code."""
        return Counter(code for _, _, _, code, found in self._plan if found == fate)

    def _note(self, place: int, name: str, column: str | None, code: str) -> None:
        self._plan.append((place, name, column, code, reason(code).fate))
