"""Work side by side comes out in order, one part at a time, and fails where it would have failed alone."""

import threading
from collections.abc import Iterator

import pytest

from hub.side_by_side import WORKERS, ahead, side_by_side


def test_results_come_in_the_order_of_their_items_whichever_is_done_first() -> None:
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(10)  # two are at work at once, or this never ends
        if item == 1:
            second_is_done.set()
        return item * item

    assert list(side_by_side(work, range(9))) == [item * item for item in range(9)]
    assert list(side_by_side(work, [])) == []


def test_no_more_items_are_taken_than_can_be_worked_on_soon() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = side_by_side(lambda item: item, items())
    assert next(results) == 0
    assert len(taken) == WORKERS + 1
    results.close()
    assert len(taken) == WORKERS + 1


def test_an_error_is_raised_in_its_turn() -> None:
    def work(item: int) -> int:
        return 6 // (3 - item)

    results = side_by_side(work, range(9))
    assert [next(results), next(results), next(results)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_items_made_ahead_are_the_items() -> None:
    asking = threading.current_thread()
    made_elsewhere: list[bool] = []

    def items() -> Iterator[int]:
        for item in range(5):
            made_elsewhere.append(threading.current_thread() is not asking)
            yield item
        raise KeyError

    given: list[int] = []
    with pytest.raises(KeyError):
        given.extend(ahead(items()))
    assert (given, made_elsewhere) == ([0, 1, 2, 3, 4], [True] * 5)
    early = ahead(iter(range(5)))
    assert [next(early), next(early)] == [0, 1]
    early.close()
