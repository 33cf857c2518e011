"""Wake-up calls: hearing from PostgreSQL that submissions wait, and deciding when that is worth a run.

A notification is a hint that may come late, twice or never. What waits stands in the table, so the listener
looks there after each one and, without any, every few seconds: connect, LISTEN, look, wait, look again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import psycopg
from sqlalchemy import URL

from hub.database.session import CONNECT_SECONDS, address
from hub.errors import HubError
from hub.lots import AGAIN, CHANNEL
from hub.states import FINAL, RESTING, State

LOOK_SECONDS = 15.0
"""How long the listener waits for a notification before it looks without one."""

_PAUSE = 1.0  # a burst of notifications becomes one call a second
_AGAIN = 60.0  # seconds after which work that still waits is called again, whatever became of the last call
_ANSWER = 30.0  # seconds within which the database has to say what waits
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.5, 20.0
_AT_WORK = [state.value for state in State if state not in FINAL | RESTING]
# What hub.lots.claim would find, for all agreements at once.
_WAITING = """
SELECT agreement, count(*), min(created_at) FILTER (WHERE claimed_at IS NULL),
    max(greatest(changed_at, claimed_at)) < clock_timestamp() - make_interval(secs => %s)
FROM hub.submission
WHERE state = ANY(%s) AND held_by IS NULL AND (not_before IS NULL OR not_before <= clock_timestamp())
GROUP BY agreement
"""

_log = logging.getLogger(__name__)


class Work(NamedTuple):
    """Submissions of one agreement that wait.

    How many they are, since when one waits that is in no run's lot, and whether none of them has moved on for
    a while (``still``).
    """

    submissions: int
    unclaimed: datetime | None
    still: bool = False


@dataclass(frozen=True)
class Call:
    """What waits at one moment, by agreement, and the agreements that somebody has just asked for."""

    waiting: Mapping[str, Work]
    told: frozenset[str] = frozenset()


class Caller:
    """Decides for one agreement which calls are worth a run.

    Those are calls with work that no run has claimed, calls that somebody asked for, and from time to time
    one for work that was called before and stands still all the same. A run that was called and has not yet
    claimed its lot will take all that waits, so that nothing is lost by silence: it is known by the
    submission that has waited longest, which is still the same.
    """

    def __init__(self, agreement: str, again: float = _AGAIN) -> None:
        self._agreement = agreement
        self._again = again
        self._longest: datetime | None = None
        self._called = float("-inf")

    def worth(self, call: Call, at: float) -> int:
        """Tell how many submissions wait if a run should start for them now (``at``, in seconds), else 0."""
        work = call.waiting.get(self._agreement)
        unclaimed = work.unclaimed if work else None
        if unclaimed is None:
            self._longest = None
        if work is None:
            return 0
        fresh = unclaimed is not None and unclaimed != self._longest
        asked = unclaimed is None and self._agreement in call.told
        if fresh or asked or (work.still and at - self._called >= self._again):
            self._called, self._longest = at, unclaimed
            return work.submissions
        return 0


async def calls(
    url: Callable[[], URL], *, look: float = LOOK_SECONDS, pause: float = _PAUSE
) -> AsyncGenerator[Call]:
    """Yield a call at first, after notifications and every ``look`` seconds, for ever.

    ``url`` is asked anew for each connection (a restarted server may have moved). A database that is away
    is waited for; no error ends this.
    """
    backoff = _FIRST_BACKOFF
    while True:
        try:
            where = address(await asyncio.to_thread(url))
            async with await psycopg.AsyncConnection.connect(
                where, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="hub wakeups"
            ) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                async with aclosing(_heard(connection, look, pause)) as heard:
                    async for call in heard:
                        backoff = _FIRST_BACKOFF
                        yield call
        except Exception as error:  # noqa: BLE001 -- whatever it is, submissions wait; its text may hold a URL
            code = error.code if isinstance(error, HubError) else type(error).__name__
            _log.warning("cannot hear of new work (%s); trying again in %.1f s", code, backoff)
        await asyncio.sleep(backoff)
        backoff = min(backoff * 2, _LONGEST_BACKOFF)


async def _heard(connection: psycopg.AsyncConnection, look: float, pause: float) -> AsyncGenerator[Call]:
    told: frozenset[str] = frozenset()
    while True:
        async with asyncio.timeout(_ANSWER):
            rows = await (await connection.execute(_WAITING, [_AGAIN, _AT_WORK])).fetchall()
        yield Call({row[0]: Work(*row[1:]) for row in rows}, told)
        await asyncio.sleep(pause)
        # What was told meanwhile is kept by the connection and comes first.
        heard = [said.payload async for said in connection.notifies(timeout=look, stop_after=1)]
        told = frozenset(said.removesuffix(AGAIN) for said in heard if said.endswith(AGAIN))
