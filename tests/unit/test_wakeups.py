"""Which calls are worth a run: new work, work that somebody names, and work that was called in vain."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hub.wakeups import Call, Caller, Work

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def waits(submissions: int, unclaimed: int | None = None, told: str = "", *, still: bool = False) -> Call:
    """A call for E1: so many submissions wait; the oldest in no lot is from so many seconds past noon."""
    since = None if unclaimed is None else NOON + timedelta(seconds=unclaimed)
    work = {"E1": Work(submissions, since, still)} if submissions else {}
    return Call(work, frozenset(told.split()))


def test_work_that_no_run_has_claimed_is_called_once() -> None:
    caller = Caller("E1", again=60)
    assert caller.worth(waits(0), at=0) == 0
    assert caller.worth(waits(2, unclaimed=1), at=1) == 2
    assert caller.worth(waits(2, unclaimed=1), at=16) == 0, "a run is on its way"
    assert caller.worth(waits(7, unclaimed=1), at=17) == 0, "it will take these as well"
    assert caller.worth(waits(6), at=31) == 0, "it has them all"
    assert caller.worth(waits(0), at=46) == 0


def test_what_a_run_has_left_or_came_too_late_for_is_called() -> None:
    caller = Caller("E1", again=60)
    caller.worth(waits(60, unclaimed=0), at=0)
    assert caller.worth(waits(60, unclaimed=5), at=15) == 60


def test_one_that_waits_again_after_a_failure_is_called_again() -> None:
    caller = Caller("E1", again=60)
    caller.worth(waits(1, unclaimed=0), at=0)
    caller.worth(waits(0), at=15)
    assert caller.worth(waits(1, unclaimed=0), at=30) == 1


def test_what_somebody_names_is_called_if_it_waits() -> None:
    caller = Caller("E1", again=60)
    caller.worth(waits(500, unclaimed=0), at=0)
    assert caller.worth(waits(450, told="E1"), at=5) == 450
    assert caller.worth(waits(450, told="E2"), at=6) == 0
    assert caller.worth(waits(0, told="E1"), at=7) == 0


def test_work_that_waits_all_the_same_is_called_again_after_a_while() -> None:
    caller = Caller("E1", again=60)
    caller.worth(waits(1, unclaimed=0), at=0)
    assert [at for at in range(15, 200, 15) if caller.worth(waits(1, still=True), at)] == [60, 120, 180]
    assert caller.worth(waits(1), at=300) == 0, "a long lot moves on"


def test_a_caller_hears_of_its_own_agreement_only() -> None:
    assert Caller("E2").worth(waits(3, told="E1"), at=0) == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.none() | st.integers(0, 3), st.sampled_from(["", "E1"])), min_size=1
    )
)
def test_waiting_work_is_never_left_uncalled_for_longer_than_a_while(
    course: list[tuple[int, int | None, str]],
) -> None:
    caller, last = Caller("E1", again=60), float("-inf")
    for look, (submissions, unclaimed, told) in enumerate(course):
        at = look * 15.0
        count = caller.worth(waits(submissions, unclaimed, told, still=True), at)
        assert count in {0, submissions}
        last = at if count else last
        assert submissions == 0 or at - last < 60
