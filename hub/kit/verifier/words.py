"""Findings and notes: codes, places, and sentences in German and English."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

Words = dict[str, dict[str, dict[str, str]]]
Told = dict[str, str]

SENTENCES: Words = json.loads((Path(__file__).parents[1] / "sentences.json").read_text(encoding="utf-8"))

MOST_OF_A_KIND = 50  # findings of one code that are told one by one; the rest is counted


class Findings:
    """Gathers what is wrong, and notes of what is no fault; a million wrong entries stay readable."""

    def __init__(self) -> None:
        self.findings: list[Told] = []
        self.notes: list[Told] = []
        self._counts: Counter[str] = Counter()

    def add(self, code: str, place: object, platz: str | None = None) -> None:
        """Add a finding; ``platz`` names the place in German where that needs other words."""
        self._counts[code] += 1
        if self._counts[code] <= MOST_OF_A_KIND:
            self.findings.append(told("findings", code, place, platz))

    def note(self, code: str, place: object) -> None:
        """Add a note."""
        self._counts[code] += 1
        if self._counts[code] <= MOST_OF_A_KIND:
            self.notes.append(told("notes", code, place))

    def of(self, code: str) -> int:
        """Tell how many findings or notes there are of a code."""
        return self._counts[code]

    def close(self) -> None:
        """Count what was too much to be told one by one."""
        for code, count in sorted(self._counts.items()):
            more = count - MOST_OF_A_KIND
            if more > 0:
                goal = self.notes if code.startswith("note.") else self.findings
                goal.append({**told("words", "more", more), "code": code, "place": f"+{more}"})


def told(section: str, code: str, place: object, platz: str | None = None) -> Told:
    """Fill a sentence's place in."""
    sentence = SENTENCES[section][code]
    return {
        "code": code,
        "place": str(place),
        "de": sentence["de"].replace("{place}", platz or str(place)),
        "en": sentence["en"].replace("{place}", str(place)),
    }


def span(first: int, end: int) -> str:
    """Name the entries from ``first`` up to, not including, ``end``."""
    return str(first) if end - first == 1 else f"{first}-{end - 1}"
