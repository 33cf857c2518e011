"""Arriving: the threads in which the drop works, and what becomes of an upload once its client closes it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from connectors.drop.answers import LOG
from connectors.drop.inbox import Inbox
from hub import arrivals
from hub.errors import Corrupt, HubError, Refused, Transient
from hub.office import Office
from hub.uploads import Upload

WORKERS: Final = 8  # fewer than a process has connections to the database
PATIENCE: Final = 20.0  # seconds for which a close waits for a database that is away
ROUND: Final = 20.0  # seconds between two looks at what lies about
Result = TypeVar("Result")


class Arriving:
    """Runs work in threads, takes closed uploads in, and looks after those that are left."""

    def __init__(self, office: Office, inbox: Inbox) -> None:
        self._office = office
        self._inbox = inbox
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="drop")
        self._under_way: set[asyncio.Task[Any]] = set()
        self.ending = False

    async def run(self, work: Callable[..., Result], *args: Any) -> Result:
        """Run something that blocks."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)

    async def to_its_end(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for work that goes on when whoever waits for it is gone; the drop does not end before it."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # told to the client, if it is still there

    async def arrive(self, close: Callable[..., Upload | None], *args: Any) -> str | None:
        """Close an upload and make its submission; gives its id, or None if ``close`` closed nothing.

        It goes on when the client's line ends meanwhile: the client has sent its close. While the database is
        away it waits; in the end the close is taken back, so that what was told to have failed is not taken.
        """
        return await self.to_its_end(self._arrive(close, *args))

    async def _arrive(self, close: Callable[..., Upload | None], *args: Any) -> str | None:
        upload = await self.run(close, *args)
        end = time.monotonic() + PATIENCE
        while upload is not None:
            try:
                return await self.run(arrivals.take, self._office, self._inbox.uploads, upload)
            except Refused:
                raise  # it is gone
            except Exception as error:
                if not isinstance(error, Transient) or self.ending or time.monotonic() > end:
                    await self.run(self._inbox.uploads.reopen, upload)
                    raise
            await asyncio.sleep(0.5)
        return None

    async def look_after(self) -> None:
        """Take in what was closed and not taken, sweep away what is old; again and again."""
        while True:
            try:
                await self.run(self._round)
            except HubError as error:
                LOG.warning("action=round code=%s", error.code)
            await asyncio.sleep(ROUND)

    def _round(self) -> None:
        uploads = self._inbox.uploads
        made, errors = arrivals.recover(self._office, uploads)
        for submission in made:
            LOG.info("action=recovered code=ok submission=%s", submission)
        for error in errors:
            (LOG.error if isinstance(error, Corrupt) else LOG.warning)("action=recover code=%s", error.code)
        uploads.sweep(self._inbox.busy, lambda names: arrivals.final(self._office, names))

    async def drain(self) -> None:
        """Wait until all closes that were sent have been answered, and all that was cut is sealed."""
        self.ending = True
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    def stop(self) -> None:
        """Let the threads end, after what they are at."""
        self._pool.shutdown()
