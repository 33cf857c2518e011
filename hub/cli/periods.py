"""Periods on the command line: days as Berlin's calendar has them, or exact instants."""

from datetime import UTC, date, datetime, time, timedelta

from hub.cli.answers import BERLIN
from hub.errors import Refused


def beginning(text: str | None) -> datetime | None:
    """Read where a period begins: a day's first instant, or an instant with its offset."""
    return None if text is None else _instant(text, timedelta())


def end(text: str | None) -> datetime | None:
    """Read where a period ends, as the first instant after it; a day belongs to it whole."""
    return None if text is None else _instant(text, timedelta(days=1))


def _instant(text: str, more: timedelta) -> datetime:
    """Read a day or an instant. Raises Refused ``period.instant``."""
    try:
        return datetime.combine(date.fromisoformat(text) + more, time(), BERLIN).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise Refused(
            "period.instant",
            "expected a day, or an instant with its offset",
            "write 2026-11-22, or 2026-11-22T13:45:00+01:00",
        )
    return instant.astimezone(UTC)
