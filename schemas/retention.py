"""How long what is kept, and on which legal ground: ``retention.yaml``, read strictly.

A rule is a start event, a period and an action (ISO/IEC 27555). The table in ``docs/retention.md`` is written
from it; a test holds that page to this file.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self, get_args
from zoneinfo import ZoneInfo

import yaml
from pydantic import Field, model_validator

from schemas.model import Model

Record = Literal[
    "log_bodies",
    "row_seeds",
    "payloads_collected",
    "payloads_uncollected",
    "payloads_undelivered",
    "delivered_rows",
    "receipts",
    "review_decisions",
    "staff",
    "consents",
    "persons",
    "service_logs",
]
RECORDS: Final[tuple[Record, ...]] = get_args(Record)
SHIPPED: Final = Path(__file__).with_name("retention.yaml")
FLOOR_DAYS: Final = 365
"""What PostgreSQL itself lets nobody delete earlier, in days."""

_BERLIN = ZoneInfo("Europe/Berlin")
_HELD_BY_DATABASE: Final = frozenset(RECORDS) - {
    *("payloads_collected", "payloads_uncollected", "payloads_undelivered", "row_seeds", "service_logs"),
}
_BY_AGREEMENT: Final = "payloads_collected"
_HEAD = """| what | action | Frist | period | counted from | Rechtsgrund | legal ground |
|---|---|---|---|---|---|---|
"""


class Period(Model):
    """One of: so many days, until the end of so many calendar years (Berlin), or what the agreement says."""

    days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    calendar_years: Annotated[int, Field(ge=1, le=100)] | None = None
    by_agreement: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(part is not None for part in (self.days, self.calendar_years, self.by_agreement)) != 1:
            message = "a period is exactly one of days, calendar_years and by_agreement"
            raise ValueError(message)
        return self

    def cutoff(self, at: datetime) -> datetime:
        """Give the instant (UTC) before which an event lies whose period is over at another instant.

        Raises:
            ValueError: the agreement's own period is not counted here.
        """
        if self.days is not None:
            return at - timedelta(days=self.days)
        if self.calendar_years is None:
            message = "an agreement's own period is counted by agreement"
            raise ValueError(message)
        year = at.astimezone(_BERLIN).year - self.calendar_years
        return datetime(year, 1, 1, tzinfo=_BERLIN).astimezone(UTC)

    def words(self, language: Literal["de", "en"]) -> str:
        """Tell the period to people."""
        german = language == "de"
        if self.days is not None:
            return f"{self.days} Tage" if german else f"{self.days} days"
        if self.calendar_years is None:
            return "nach Vereinbarung" if german else "as agreed"
        if german:
            return f"Ende des {self.calendar_years}. folgenden Kalenderjahres"
        return f"end of calendar year +{self.calendar_years}"


class Rule(Model):
    """One kind of record: what happens to it, when, counted from what, and on which ground."""

    record: Record
    de: str
    en: str
    action: Literal["erase", "shred", "delete"]
    period: Period
    since_de: str
    since_en: str
    ground_de: str
    ground_en: str
    confirmed: bool

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if (self.period.by_agreement is not None) != (self.record == _BY_AGREEMENT):
            message = f"{_BY_AGREEMENT}, and nothing else, ends as its agreement says"
            raise ValueError(message)
        if self.record in _HELD_BY_DATABASE and self.period.days and self.period.days < FLOOR_DAYS + 1:
            message = f"the database keeps this for more than {FLOOR_DAYS} days"
            raise ValueError(message)
        return self

    def ground(self, language: Literal["de", "en"]) -> str:
        """Tell the legal ground; with a question mark until a lawyer has confirmed it."""
        said = self.ground_de if language == "de" else self.ground_en
        return said if self.confirmed else f"{said} `?`"


Schedule = Mapping[Record, Rule]


def load(path: Path = SHIPPED) -> Schedule:
    """Read the rules of a file, one for every kind of record.

    Raises:
        ValueError: a kind is missing or unknown, or a rule is not one (pydantic's ValidationError is one).
        OSError: the file cannot be read.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        message = "expected YAML"
        raise ValueError(message) from None
    if not isinstance(entries, dict) or set(entries) != set(RECORDS):
        message = f"expected one rule each for {', '.join(RECORDS)}"
        raise ValueError(message)
    return MappingProxyType({name: Rule(record=name, **entries[name]) for name in RECORDS})


def table(schedule: Schedule) -> str:
    """Write the rules as the table of docs/retention.md."""
    return _HEAD + "".join(f"| {' | '.join(_cells(rule))} |\n" for rule in schedule.values())


def _cells(rule: Rule) -> tuple[str, ...]:
    periods = rule.period.words("de"), rule.period.words("en")
    grounds = rule.ground("de"), rule.ground("en")
    return f"`{rule.record}`: {rule.en}", rule.action, *periods, rule.since_en, *grounds
