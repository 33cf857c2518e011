"""Which calls are worth a run: new work, work that somebody names, and work that was called in vain."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hub.wakeups import Call, Caller, Work

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def waits(submissions: int, newest: int = 0, told: str = "") -> Call:
    """A call for E1, in which so many submissions wait, the newest of them from so many seconds past noon."""
    work = {"E1": Work(submissions, NOON + timedelta(seconds=newest))} if submissions else {}
    return Call(work, frozenset(told.split()))


def test_work_that_is_new_is_called_once() -> None:
    caller = Caller("E1", again=60)
    assert caller.worth(waits(0), at=0) == 0
    assert caller.worth(waits(2), at=1) == 2
    assert caller.worth(waits(2), at=16) == 0
    assert caller.worth(waits(1), at=31) == 0, "a run is at it: it grows less"
    assert caller.worth(waits(0), at=46) == 0


def test_one_that_comes_while_another_goes_is_new_work() -> None:
    caller = Caller("E1", again=60)
    caller.worth(waits(1, newest=0), at=0)
    assert caller.worth(waits(1, newest=5), at=15) == 1


def test_one_that_waits_again_after_a_failure_is_new_work() -> None:
    caller = Caller("E1", again=60)
    caller.worth(waits(3), at=0)
    caller.worth(waits(2), at=15)
    assert caller.worth(waits(3), at=30) == 3


def test_what_somebody_names_is_called_if_it_waits() -> None:
    caller = Caller("E1", again=60)
    caller.worth(waits(500), at=0)
    assert caller.worth(waits(450, told="E1"), at=5) == 450
    assert caller.worth(waits(450, told="E2"), at=6) == 0
    assert caller.worth(waits(0, told="E1"), at=7) == 0


def test_work_that_waits_all_the_same_is_called_again_after_a_while() -> None:
    caller = Caller("E1", again=60)
    caller.worth(waits(1), at=0)
    assert [at for at in range(15, 200, 15) if caller.worth(waits(1), at)] == [60, 120, 180]


def test_a_caller_hears_of_its_own_agreement_only() -> None:
    assert Caller("E2").worth(waits(3, told="E1"), at=0) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["", "E1"])), min_size=1))
def test_waiting_work_is_never_left_uncalled_for_longer_than_a_while(
    course: list[tuple[int, int, str]],
) -> None:
    caller, last = Caller("E1", again=60), float("-inf")
    for look, (submissions, newest, told) in enumerate(course):
        at = look * 15.0
        count = caller.worth(waits(submissions, newest, told), at)
        assert count in {0, submissions}
        last = at if count else last
        assert submissions == 0 or at - last < 60
