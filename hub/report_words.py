"""The fixed words of validation reports, in German and English."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Language = Literal["de", "en"]
Outcome = Literal["received", "accepted", "partially_accepted", "refused", "quarantined", "withdrawn"]
"""What a receipt and a report can say of a submission."""


@dataclass(frozen=True)
class Words:
    """Everything in a report that is the same for every submission."""

    title: str
    head: tuple[str, ...]
    time_format: str
    outcome: Mapping[str, str]
    rows: str
    counts: Mapping[str, str]
    conserved: str
    reasons: str
    row: str
    rows_of: str
    to_do: str
    places: str
    line: str
    column: str
    sheet: str
    cell: str
    more: str
    unknown: str
    closing: str

    def place(self, sheet: str | None, line: int, letter: str | None, header: str | None) -> str:
        """Name a place as its reader finds it: a line of a text file, or a cell of a sheet."""
        named = f", {self.column} {header}" if header else ""
        if sheet is None:
            return f"{self.line} {line}{named}"
        spot = f"{self.cell} {letter}{line}" if letter else f"{self.line} {line}"
        return f"{self.sheet} {sheet}, {spot}{named}"


_GERMAN = Words(
    title="Validierungsbericht",
    head=("Einlieferung", "Vereinbarung", "Von", "An", "Eingang", "SHA-256"),
    time_format="%d.%m.%Y, %H:%M Uhr",
    outcome={
        "received": "Die Datei ist eingegangen und wird bearbeitet.",
        "accepted": "Alle Zeilen wurden übernommen. Sie müssen nichts tun.",
        "none_accepted": "Keine Zeile wurde übernommen. Unten steht, warum.",
        "partially_accepted": "Ein Teil der Zeilen wurde übernommen. Unten steht, welche nicht und warum.",
        "refused": "Die Datei wurde abgewiesen. Es wurde nichts weitergegeben.",
        "quarantined": "Die Datei ist in Quarantäne und wird geprüft. Bis dahin wird nichts weitergegeben.",
        "withdrawn": "Die Einlieferung wurde zurückgezogen. Es wurde nichts weitergegeben.",
    },
    rows="Zeilen",
    counts={
        "received": "erhalten",
        "delivered": "geliefert",
        "already_delivered": "bereits geliefert",
        "refused": "abgewiesen",
        "withheld": "zurückgehalten",
        "quarantined": "in Quarantäne",
    },
    conserved="Jede Zeile ist gezählt.",
    reasons="Gründe und was zu tun ist",
    row="1 Zeile",
    rows_of="{} Zeilen",
    to_do="Zu tun:",
    places="Einzelne Stellen",
    line="Zeile",
    column="Spalte",
    sheet="Blatt",
    cell="Zelle",
    more="… und {} weitere Stellen. Der JSON-Bericht nennt mehr davon.",
    unknown="Siehe Code.",
    closing="Dieser Bericht enthält keine Werte aus Ihrer Datei. Eine berichtigte Datei senden Sie einfach "
    "ganz noch einmal: Was schon geliefert ist, wird nicht doppelt geliefert.",
)

_ENGLISH = Words(
    title="Validation report",
    head=("Submission", "Agreement", "From", "To", "Received", "SHA-256"),
    time_format="%Y-%m-%d, %H:%M (Europe/Berlin)",
    outcome={
        "received": "The file has come in and is being worked on.",
        "accepted": "All rows were taken. There is nothing to do.",
        "none_accepted": "No row was taken. See below why.",
        "partially_accepted": "Some of the rows were taken. See below which were not, and why.",
        "refused": "The file was refused. Nothing was passed on.",
        "quarantined": "The file is in quarantine and being examined. Nothing is passed on until then.",
        "withdrawn": "The submission was withdrawn. Nothing was passed on.",
    },
    rows="Rows",
    counts={
        "received": "received",
        "delivered": "delivered",
        "already_delivered": "already delivered",
        "refused": "refused",
        "withheld": "withheld",
        "quarantined": "in quarantine",
    },
    conserved="Every row is accounted for.",
    reasons="Reasons and what to do",
    row="1 row",
    rows_of="{} rows",
    to_do="To do:",
    places="Places",
    line="Line",
    column="column",
    sheet="Sheet",
    cell="cell",
    more="… and {} more places. The JSON report names more of them.",
    unknown="See the code.",
    closing="This report holds no values from your file. Simply send a corrected file again as a whole: "
    "what has been delivered is not delivered twice.",
)

WORDS: Mapping[Language, Words] = MappingProxyType({"de": _GERMAN, "en": _ENGLISH})
