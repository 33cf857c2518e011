"""Recent answers are given again for a moment, and made anew afterwards or when they are forgotten."""

import time

import pytest

from connectors.drop.recent import A_WHILE, SECONDS, Recent


def test_an_answer_is_made_anew_after_its_moment_or_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    now: list[float] = [100.0]
    made: list[None] = []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    recent: Recent[str, int] = Recent()

    def make() -> int:
        made.append(None)
        return len(made)

    assert recent.get("a", make) == recent.get("a", make) == 1
    assert recent.get("b", make) == 2
    now[0] += SECONDS
    assert recent.get("a", make, A_WHILE) == 1
    assert recent.get("a", make) == 3
    recent.forget("a")
    assert recent.get("a", make, A_WHILE) == 4


def test_only_so_many_answers_are_kept() -> None:
    recent: Recent[int, int] = Recent()
    for key in range(1000):
        recent.get(key, lambda key=key: key)  # type: ignore[misc]
    assert len(recent._answers) <= 256
