"""The schedule of retention: its periods, what it refuses, the page that shows it, and announced erasures."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.ledger.entry import Actor, Entry, Span, canonical
from schemas.retention import FLOOR_DAYS, RECORDS, SHIPPED, Period, load, table
from tests.unit.test_verify import NOON, Log, codes, event, log_of, places

PAGE = Path(__file__).parents[2] / "docs" / "retention.md"
instants = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("recorded", "ends"),
    [
        ("2025-03-04T12:00:00+00:00", "2026-12-31T23:00:00+00:00"),
        ("2025-12-31T22:59:59+00:00", "2026-12-31T23:00:00+00:00"),
        ("2025-12-31T23:00:00+00:00", "2027-12-31T23:00:00+00:00"),  # the year begins in Berlin
    ],
)
def test_a_body_is_kept_until_the_following_year_has_ended_in_berlin(recorded: str, ends: str) -> None:
    period = load()["log_bodies"].period
    assert not at(recorded) < period.cutoff(at(ends) - timedelta(seconds=1))
    assert at(recorded) < period.cutoff(at(ends))


@given(instants, st.integers(1, 30))
def test_a_calendar_year_is_never_shorter_than_what_the_database_holds(now: datetime, years: int) -> None:
    assert Period(calendar_years=years).cutoff(now) <= now - timedelta(days=FLOOR_DAYS * years)


@given(instants, instants)
def test_what_is_over_stays_over(one: datetime, other: datetime) -> None:
    early, late = sorted((one, other))
    for rule in load().values():
        if not rule.period.by_agreement:
            assert rule.period.cutoff(early) <= rule.period.cutoff(late) < late


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("staff:", "stuff:"),
        ("period: {days: 90}", "period: {days: 0}"),
        ("period: {days: 90}", "period: {days: '90'}"),
        ("period: {days: 90}", "period: {}"),
        ("period: {days: 90}", "period: {days: 90, calendar_years: 1}"),
        ("period: {days: 30}", "period: {by_agreement: true}"),
        ("period: {by_agreement: true}", "period: {days: 30}"),
        ("period: {calendar_years: 3}", "period: {days: 365}"),
        ("period: {calendar_years: 1}", "period: {days: 100}"),
        ("action: erase", "action: keep"),
        ("confirmed: true", "confirmed: 'yes'"),
        ("  since_en: the entry\n", ""),
        ("log_bodies:", "- log_bodies"),
    ],
)
def test_a_schedule_that_is_none_is_refused(tmp_path: Path, old: str, new: str) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "retention.yaml"
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(Exception, match=r"expected|validation"):
        load(file)


def test_every_rule_has_its_ground_and_says_whether_a_lawyer_has_confirmed_it() -> None:
    schedule = load()
    assert tuple(schedule) == RECORDS
    for rule in schedule.values():
        for language in ("de", "en"):
            assert len(rule.ground(language)) > 10
            assert rule.ground(language).endswith("`?`") != rule.confirmed


def test_the_page_shows_the_schedule_as_it_is() -> None:
    assert table(load()) in PAGE.read_text(encoding="utf-8")


def announced(log: Log, first: int, last: int, **changes: Any) -> Log:
    """Erase the submissions of a span from a log, as the hub does, or nearly so."""
    fields: dict[str, Any] = {"counts": {"submission": last - first + 1}} | changes
    fields.setdefault("span", Span(first=first, last=last))
    entry = Entry(
        kind="retention",
        time=NOON,
        actor=Actor(role="hub", id="retention"),
        reason="log_bodies",
        **fields,
    )
    log.append([(canonical(entry), "retention", None)])
    for index in range(first, last + 1):
        erase(log, index)
    return log


def erase(log: Log, index: int) -> None:
    _, _, leaf, kind, _ = log.rows[index]
    log.rows[index] = (index, None, leaf, kind, None)


def found(log: Log, **evidence: Any) -> Any:
    told = [(row[0], row[1]) for row in log.rows if row[3] == "retention" and row[1] is not None]
    return log.findings(announcements=told, **evidence)


@given(st.integers(2, 40), st.data())
def test_announced_erasures_raise_no_alarm_and_everything_is_still_proved(
    size: int, data: st.DataObject
) -> None:
    log = log_of(size, 3)
    kept = [note for _, _, note in log.notes]
    places_ = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=2, max_size=6)) | {0})
    for first, end in zip(places_[::2], places_[1::2], strict=False):
        announced(log, first, end - 1)
    log.append([event(1000)])
    verdict = found(log, kept=kept)
    assert (verdict.ok, verdict.findings) == (True, ())
    assert verdict.erased == sum(row[1] is None for row in log.rows)


def test_an_erasure_that_nothing_announces_is_named_by_its_span() -> None:
    log = log_of(20)
    for index in (3, 4, 5, 9):
        erase(log, index)
    verdict = found(log)
    assert places(verdict, "entry.erased") == ["3-5", "9"]
    assert set(codes(verdict)) == {"entry.erased"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"counts": {"submission": 3}}, [("retention.counts", "10")]),
        ({"counts": {"alarm": 4}}, [("retention.counts", "10")]),
        ({"span": Span(first=2, last=4)}, [("entry.erased", "5"), ("retention.counts", "10")]),
        ({"span": Span(first=2, last=10)}, [("entry.erased", "2-5")]),
        ({"span": None}, [("entry.erased", "2-5")]),
    ],
)
def test_an_announcement_that_says_otherwise_is_named(
    changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    verdict = found(announced(log_of(10), 2, 5, **changes))
    assert sorted((one.code, one.place) for one in verdict.findings) == sorted(expected)


def test_an_announcement_that_comes_before_or_is_itself_changed_announces_nothing() -> None:
    log = announced(log_of(10), 2, 5)
    index, body, leaf, kind, submission = log.rows[10]
    log.rows[10] = (index, (body or b"").replace(b"log_bodies", b"log_bodiez"), leaf, kind, submission)
    verdict = found(log)
    assert set(codes(verdict)) == {"entry.hash", "entry.erased"}
    later = announced(log_of(10), 2, 5)
    later.append([event(11)])
    erase(later, 11)
    assert places(found(later), "entry.erased") == ["11"]


def test_no_announcement_covers_what_explains_the_log() -> None:
    log = announced(log_of(10), 2, 5)
    announced(log, 6, 10, counts={"submission": 4, "retention": 1})
    assert "10" in places(found(log), "entry.erased")
    assert not found(log).ok


def test_a_changed_hash_of_an_erased_entry_is_found_by_the_tree() -> None:
    log = announced(log_of(10), 2, 5)
    index, _, _, kind, _ = log.rows[3]
    log.rows[3] = (index, None, bytes(32), kind, None)
    assert {"node.hash", "checkpoint.root"} <= set(codes(found(log)))
