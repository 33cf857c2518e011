"""Two parts of a file at work at once, in threads, in the file's order.

What is done to a part is done by Polars, numpy and OpenSSL, which leave Python to others meanwhile: a second
thread uses a second core. Threads only read and compute; whatever becomes durable is written by the thread
that asked, part after part, so that every step dies and resumes as if there were no threads.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS: Final = 2
_END: Final = object()


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Do the same to each item; results in the items' order, never more than three of them in hand.

    What ``work`` raises is raised where its result would have come.
    """
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(WORKERS) as workers:
        try:
            for item in items:
                under_way.append(workers.submit(work, item))
                if len(under_way) > WORKERS:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for one in under_way:
                one.cancel()


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Give items on while the next one is being made; what making it raises is raised in its turn."""
    with ThreadPoolExecutor(1) as worker:
        coming: Future[object] = worker.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = worker.submit(next, items, _END)
            yield item  # type: ignore[misc]  # _END is the one object that is no Item
