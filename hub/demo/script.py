"""The script: which files the partners of the demonstration drop, and what must come of each.

Every expectation comes from the generators' plans or is counted here by hand; no part of the hub is asked.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import polars as pl

from hub.states import State
from schemas.agreement import SHIPPED, Agreement, load_agreement
from schemas.samples import Sample, csv_bytes, sample, write_consents, write_sample

ROWS: Final = 300
REPORTS: Final = 100
CORRECTED: Final = 5
COURSES, EMPLOYER = "kreisvolkshochschule", "muster-metallbau"
COLLECTORS: Final = {"E3": COURSES}

FATES: Final = ("received", "delivered", "already_delivered", "refused", "withheld", "quarantined")


@dataclass(frozen=True)
class Drop:
    """A file that a partner drops, and what must come of it: state, rows by fate, reasons by fine code."""

    partner: str
    agreement: str
    file: Path
    title: str
    state: State
    rows: Mapping[str, int]
    reasons: Mapping[str, int] = field(default_factory=dict)
    after: str | None = None  # the agreement's earlier file that must be done before


@dataclass(frozen=True)
class Script:
    """Everything that is dropped: all at once, then what builds upon it, and one file to take the time of."""

    first: tuple[Drop, ...]
    held: Drop  # is put into quarantine and released by two people; told as it must be afterwards
    then: tuple[Drop, ...]
    timed: Drop
    consents: tuple[Path, ...]


def write(folder: Path, seed: int) -> Script:
    """Write the demonstration's files into a folder; the same seed gives the same."""
    folder.mkdir(parents=True, exist_ok=True)
    e2, e3, e7 = (load_agreement(SHIPPED / f"{name}.yaml") for name in ("e2", "e3", "e7"))
    progress = sample(e3, ROWS, seed, errors=True)
    sheet = sample(e3, ROWS, seed + 1)
    attendance = sample(e2, ROWS, seed, errors=True, file_format="xlsx")
    reports = sample(e7, REPORTS, seed, errors=True)
    return Script(
        first=(
            _drop(folder, progress, "Sprachstand", "alle üblichen Fehler, fehlende Einwilligungen"),
            _drop(folder, sheet, "Sprachstand-Nachtrag", "fehlerfrei"),
            _drop(folder, attendance, "Fehlzeiten", "alle üblichen Fehler, als XLSX"),
            _drop(folder, reports, "Meldungen", "alle üblichen Fehler"),
            _half(folder, e7, seed),
        ),
        held=_iso_countries(folder, e7, seed),
        then=(_corrected(folder, sheet),),
        timed=_drop(folder, sample(e7, 5, seed + 3), "Einzelmeldung", "fünf Zeilen, mit Zeitnahme"),
        consents=tuple(
            _consents(folder, made, f"Einwilligungen-{place}")
            for place, made in enumerate((progress, sheet), 1)
        ),
    )


def _drop(folder: Path, made: Sample, name: str, title: str) -> Drop:
    file = folder / f"{name}.{made.file_format}"
    write_sample(made, file)
    refused, withheld = sum(made.expected.values()), sum(made.withheld.values())
    rows = {
        "received": made.frame.height,
        "delivered": made.delivered,
        "refused": refused,
        "withheld": withheld,
    }
    reasons = Counter(made.expected) + Counter(made.withheld)
    return Drop(
        _sender(made.agreement), made.agreement.id, file, title, State.ACKNOWLEDGED, _all(rows), reasons
    )


def _half(folder: Path, agreement: Agreement, seed: int) -> Drop:
    """A file that was cut on its way, in the middle of a row."""
    content = csv_bytes(sample(agreement, REPORTS, seed + 4)).rstrip(b"\r\n")
    file = folder / "Meldungen-halb.csv"
    file.write_bytes(content[: content.rindex(b";") - 3])
    return Drop(_sender(agreement), agreement.id, file, "halbe Datei", State.REFUSED, _all({}))


def _iso_countries(folder: Path, agreement: Agreement, seed: int) -> Drop:
    """Three of four rows name a country where the register's key belongs: two people must look at it."""
    rows, wrong = 40, 30
    made = sample(agreement, rows, seed + 2)
    column = agreement.field("nationality").header
    countries = pl.when(pl.int_range(pl.len()) < wrong).then(pl.lit("SY")).otherwise(pl.col(column))
    file = folder / "Meldungen-ISO.csv"
    write_sample(replace(made, frame=made.frame.with_columns(countries.alias(column))), file)
    return Drop(
        _sender(agreement),
        agreement.id,
        file,
        "Länderkürzel statt Schlüssel: Quarantäne, zwei Freigaben",
        State.ACKNOWLEDGED,
        _all({"received": rows, "delivered": rows - wrong, "refused": wrong}),
        {"value.code": wrong},
    )


def _corrected(folder: Path, sheet: Sample) -> Drop:
    """A clerk corrects a few rows and sends the whole sheet again."""
    column = sheet.agreement.field("hours_attended").header
    mended = pl.when(pl.int_range(pl.len()) < CORRECTED).then(pl.lit("0,25")).otherwise(pl.col(column))
    file = folder / "Sprachstand-Nachtrag-korrigiert.csv"
    write_sample(replace(sheet, frame=sheet.frame.with_columns(mended.alias(column))), file)
    rows = sheet.frame.height
    return Drop(
        _sender(sheet.agreement),
        sheet.agreement.id,
        file,
        f"{CORRECTED} Zeilen berichtigt, ganz gesandt",
        State.ACKNOWLEDGED,
        _all({"received": rows, "delivered": CORRECTED, "already_delivered": rows - CORRECTED}),
        {"delivery.already_delivered": rows - CORRECTED},
    )


def _consents(folder: Path, made: Sample, name: str) -> Path:
    file = folder / f"{name}.csv"
    write_consents(made, file)
    return file


def _sender(agreement: Agreement) -> str:
    return agreement.sender.id


def _all(rows: Mapping[str, int]) -> dict[str, int]:
    return {fate: rows.get(fate, 0) for fate in FATES}
