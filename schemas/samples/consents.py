"""Consents that belong to a sample: one for each participant, and by recipe some that do not suffice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from schemas.agreement import Agreement, ConsentBasis

_LANGUAGES: Final = ("de", "en", "uk", "ar", "fa", "tr")
_FORMS: Final = ("schriftlich", "elektronisch", "mündlich mit Zeugen")
_GIVEN: Final = "2025-01-15"


@dataclass(frozen=True)
class Lack:
    """Why a consent does not suffice: the fine code, and what its line says instead; None: it has no line."""

    name: str
    code: str
    line: Mapping[str, str] | None


LACKS: Final = (
    Lack("person_unknown", "person.unknown", None),
    Lack("consent_elsewhere", "consent.missing", {"Empfaenger": "jobcenter-peine"}),
    Lack("consent_withdrawn", "consent.withdrawn", {"Widerrufen_am": "2025-03-01"}),
    Lack("consent_expired", "consent.expired", {"Gueltig_bis": "2025-12-31"}),
    Lack(
        "consent_not_yet_valid",
        "consent.not_yet_valid",
        {"Erteilt_am": "2098-01-01", "Gueltig_bis": "2099-12-31"},
    ),
    Lack("consent_of_few_fields", "consent.fields", {"Felder": "course_kind reporting_month"}),
    Lack("consent_by_other_template", "consent.template", {"Vorlage": "language-progress@99"}),
)


def consents(
    agreement: Agreement, rng: np.random.Generator, numbers: pl.Series, lacking: Mapping[int, Lack]
) -> pl.DataFrame | None:
    """A line for each of these participants, in their order; None where the agreement rests on a statute.

    Args:
        agreement: whose recipient, purpose, templates and released fields the consents name.
        rng: where languages, forms and dates come from.
        numbers: the participants' numbers, each once.
        lacking: place in ``numbers`` → why that participant's consent does not suffice.
    """
    basis = agreement.legal_basis
    if not isinstance(basis, ConsentBasis):
        return None
    rows = len(numbers)
    serial = numbers.str.extract(r"([0-9]+)\z").rename("")  # so that consents of two samples do not clash
    open_end = pl.Series(rng.integers(0, 2, rows) == 0)
    frame = pl.DataFrame(
        {
            "Teilnehmernummer": numbers,
            "Einwilligung_Nr": "E-2025-" + serial,
            "Vorlage": [basis.templates[-1]] * rows,
            "Sprache": pl.Series(_LANGUAGES).gather(rng.integers(0, len(_LANGUAGES), rows)),
            "Form": pl.Series(_FORMS).gather(rng.integers(0, len(_FORMS), rows)),
            "Empfaenger": [agreement.recipient.id] * rows,
            "Zweck": [agreement.purpose] * rows,
            "Felder": [" ".join(field.name for field in agreement.released)] * rows,
            "Erteilt_am": [_GIVEN] * rows,
            "Gueltig_bis": pl.select(
                pl.when(open_end).then(pl.lit("")).otherwise(pl.lit("2099-12-31"))
            ).to_series(),
            "Widerrufen_am": [""] * rows,
            "Nachweis": "Akte 50-2025/" + serial,
        }
    )
    return _lacking(frame, lacking)


def _lacking(frame: pl.DataFrame, lacking: Mapping[int, Lack]) -> pl.DataFrame:
    gone = [place for place, lack in lacking.items() if lack.line is None]
    changes: dict[str, dict[int, str]] = {}
    for place, lack in lacking.items():
        for column, text in (lack.line or {}).items():
            changes.setdefault(column, {})[place] = text
    columns = [frame[column].scatter(list(texts), list(texts.values())) for column, texts in changes.items()]
    changed = frame.with_columns(columns)
    return changed.with_row_index("at").filter(~pl.col("at").is_in(gone)).drop("at")
