"""Every word of the pages, in German and English; what is data has its words in the hub's own glossary."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import yaml

from schemas.reasons import catalogue

Language = Literal["de", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
PHRASES: Mapping[str, tuple[str, str]] = {
    key: (said["de"], said["en"])
    for key, said in yaml.safe_load(
        Path(__file__).with_name("phrases.yaml").read_text(encoding="utf-8")
    ).items()
}
BERLIN = ZoneInfo("Europe/Berlin")
_INSTANT = {"de": "%d.%m.%Y %H:%M:%S", "en": "%Y-%m-%d %H:%M:%S"}


class Words:
    """The words of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._at = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """Say a phrase; a KeyError is a mistake of the program."""
        phrase = PHRASES[key][self._at]
        return phrase.format(**values) if values else phrase

    def of(self, family: str, value: str) -> str:
        """Say a value of a closed family, such as a state; one that has no word yet stands for itself."""
        found = PHRASES.get(f"{family}.{value}")
        return found[self._at] if found else value

    def other(self) -> Language:
        """Name the language that is not this one."""
        return LANGUAGES[1 - self._at]

    def reason(self, code: str) -> str:
        """Say what a reason code means; codes of the hub's own operation have no sentence."""
        found = catalogue().get(code)
        return (found.de if self.language == "de" else found.en) if found else ""

    def why(self, code: str) -> str:
        """Say why an entry was written: a reason code, a state, or a word of the log's own."""
        return self.reason(code) or self.of("why", self.of("state", code))

    def remedy(self, code: str) -> str:
        """Say what helps against a reason."""
        found = catalogue().get(code)
        return (found.remedy_de if self.language == "de" else found.remedy_en) if found else ""

    def number(self, value: float) -> str:
        """Write a number as people read it: whole, or with two digits behind the sign."""
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
        return text.translate(str.maketrans(",.", ".,")) if self.language == "de" else text

    def instant(self, value: str | datetime) -> str:
        """Write an instant as Berlin's clocks have it; a text is ISO 8601 with its offset."""
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        return at.astimezone(BERLIN).strftime(_INSTANT[self.language])

    def title(self, titles: Mapping[str, str]) -> str:
        """Choose an agreement's title."""
        return titles.get(self.language) or titles.get("de", "")
