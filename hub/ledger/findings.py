"""What the log's verifier found: codes, places and sentences in German and English, never a value."""

from collections import Counter
from dataclasses import dataclass

MOST_OF_A_KIND = 50
"""How many findings of one code are told one by one; the rest is counted."""

# {place}: an entry or a span of entries (17 or 17-19), a node, a checkpoint's size, or a receipt's number.
SENTENCES: dict[str, tuple[str, str]] = {
    "entry.hash": (
        "Eintrag {place} passt nicht zu seinem Blatt-Hash: Er wurde verändert.",
        "Entry {place} does not fit its leaf hash: it was changed.",
    ),
    "entry.missing": (
        "Eintrag {place} fehlt: Er wurde gelöscht oder nie geschrieben.",
        "Entry {place} is missing: it was deleted or never written.",
    ),
    "entry.erased": (
        "Der Inhalt von Eintrag {place} ist gelöscht, und kein späterer Eintrag sagt das an.",
        "The body of entry {place} is erased, and no later entry announces it.",
    ),
    "retention.counts": (
        "Eintrag {place} sagt über die gelöschten Inhalte anderes, als sich zeigt.",
        "Entry {place} tells otherwise of the bodies that were erased than is found.",
    ),
    "entry.order": (
        "Eintrag {place} steht doppelt oder außer der Reihe.",
        "Entry {place} is there twice or out of order.",
    ),
    "entry.canonical": (
        "Eintrag {place} ist kein kanonisches JSON (RFC 8785).",
        "Entry {place} is not canonical JSON (RFC 8785).",
    ),
    "entry.column": (
        "Bei Eintrag {place} weichen die Suchspalten (Art, Einlieferung) vom Inhalt ab.",
        "The search columns of entry {place} (kind, submission) differ from its body.",
    ),
    "node.hash": (
        "Der gespeicherte Baumknoten über Eintrag {place} passt nicht zu den Einträgen.",
        "The stored tree node over entry {place} does not fit the entries.",
    ),
    "node.missing": (
        "Der Baumknoten über Eintrag {place} fehlt.",
        "The tree node over entry {place} is missing.",
    ),
    "node.unexpected": (
        "Der gespeicherte Baumknoten {place} gehört zu keinen Einträgen.",
        "The stored tree node {place} belongs to no entries.",
    ),
    "checkpoint.malformed": (
        "Der gespeicherte Prüfpunkt {place} ist nicht lesbar oder nennt ein anderes Protokoll.",
        "The stored checkpoint {place} cannot be read or names another log.",
    ),
    "checkpoint.signature": (
        "Der gespeicherte Prüfpunkt {place} trägt keine gültige Unterschrift des Protokolls.",
        "The stored checkpoint {place} does not bear a valid signature of the log.",
    ),
    "checkpoint.columns": (
        "Die gespeicherten Angaben zum Prüfpunkt {place} weichen von seinem unterschriebenen Text ab.",
        "What is stored beside checkpoint {place} differs from its signed text.",
    ),
    "checkpoint.root": (
        "Eintrag {place} passt nicht zum nächsten unterschriebenen Prüfpunkt: verändert oder vertauscht.",
        "Entry {place} does not fit the next signed checkpoint: changed or swapped.",
    ),
    "checkpoint.later": (
        "Auch spätere Prüfpunkte passen deshalb nicht: {place}.",
        "Later checkpoints do not fit either, in consequence: {place}.",
    ),
    "log.unsigned": (
        "Eintrag {place} ist von keinem unterschriebenen Prüfpunkt gedeckt.",
        "Entry {place} is not covered by any signed checkpoint.",
    ),
    "log.cut": (
        "Das Protokoll ist kürzer als unterschrieben: Es fehlen die Einträge {place}.",
        "The log is shorter than was signed: entries {place} are missing.",
    ),
    "log.forked": (
        "Das Protokoll ist nicht mehr dasselbe wie zu einem früheren Prüfpunkt: {place}.",
        "The log is no longer the one of an earlier checkpoint: {place}.",
    ),
    "kept.malformed": (
        "Der mitgebrachte Prüfpunkt {place} ist nicht lesbar oder gehört zu einem anderen Protokoll.",
        "The checkpoint brought along, {place}, cannot be read or belongs to another log.",
    ),
    "kept.signature": (
        "Der mitgebrachte Prüfpunkt {place} trägt keine gültige Unterschrift des Protokolls.",
        "The checkpoint brought along, {place}, does not bear a valid signature of the log.",
    ),
    "receipt.malformed": (
        "Quittung {place} ist nicht lesbar.",
        "Receipt {place} cannot be read.",
    ),
    "receipt.signature": (
        "Quittung {place} trägt keine gültige Unterschrift der Quittungsstelle.",
        "Receipt {place} does not bear a valid signature of the issuer of receipts.",
    ),
    "receipt.checkpoint": (
        "Quittung {place} enthält keinen gültigen Prüfpunkt, der den Eintrag deckt.",
        "Receipt {place} holds no valid checkpoint that covers its entry.",
    ),
    "receipt.missing": (
        "Quittung {place} nennt einen Eintrag, den das Protokoll nicht enthält.",
        "Receipt {place} names an entry that the log does not hold.",
    ),
    "receipt.leaf": (
        "Quittung {place} nennt einen Eintrag, an dessen Stelle im Protokoll ein anderer steht.",
        "Receipt {place} names an entry in whose place the log holds another.",
    ),
    "receipt.submission": (
        "Quittung {place} nennt einen Eintrag, der zu einer anderen Einlieferung gehört.",
        "Receipt {place} names an entry that belongs to another submission.",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with the log: a stable code, where, and a sentence for each reader."""

    code: str
    place: str
    de: str
    en: str


@dataclass(frozen=True, slots=True)
class Findings:
    """The verdict over a log of ``size`` entries; ``root`` in hex, empty where entries are missing.

    ``erased`` counts the entries of which only the leaf hash is left.
    """

    ok: bool
    size: int
    root: str
    findings: tuple[Finding, ...]
    erased: int = 0


class Collector:
    """Gathers findings, at most `MOST_OF_A_KIND` of one code; a million broken entries stay readable."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._counts: Counter[str] = Counter()

    def add(self, code: str, place: str, platz: str | None = None) -> None:
        """Note one finding; ``platz`` names the place in German where that needs other words."""
        self._counts[code] += 1
        if self._counts[code] <= MOST_OF_A_KIND:
            de, en = SENTENCES[code]
            self._found.append(Finding(code, place, de.format(place=platz or place), en.format(place=place)))

    def verdict(self, size: int, root: bytes | None, erased: int = 0) -> Findings:
        """Close the verification."""
        for code, count in self._counts.items():
            if (more := count - MOST_OF_A_KIND) > 0:
                german, english = (
                    f"Dazu {more} weitere Befunde dieser Art.",
                    f"And {more} more findings of this kind.",
                )
                self._found.append(Finding(code, f"+{more}", german, english))
        return Findings(not self._found, size, root.hex() if root else "", tuple(self._found), erased)


def span(first: int, end: int) -> str:
    """Name the entries from ``first`` up to, not including, ``end``."""
    return str(first) if end - first == 1 else f"{first}-{end - 1}"
