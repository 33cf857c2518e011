"""The trigger that starts a run where submissions wait; of it, an agreement's id is stored and nothing else.

All triggers of one triggerer share one connection to the hub's database (Airflow's shared streams).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Hashable
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.wakeups import Call, Caller


class WaitingWork(BaseEventTrigger):
    """Fires when submissions of an agreement wait for the hub; never ends by itself."""

    def __init__(self, agreement: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.agreement = agreement

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what is stored of this trigger: where the database is, and its password, is not among it."""
        return "hub_triggers.WaitingWork", {"agreement": self.agreement}

    def shared_stream_key(self) -> Hashable:
        """Share one listener among all agreements."""
        return ("hub", "waiting work")

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator["Call"]:  # noqa: ARG003 -- Airflow's
        """Listen for all agreements at once."""
        listen = await asyncio.to_thread(_listener)  # imports take seconds, and other triggers must go on
        async for call in listen():
            yield call

    async def filter_shared_stream(self, shared_stream: AsyncIterator["Call"]) -> AsyncIterator[TriggerEvent]:
        """Fire for the calls that are worth a run of this agreement's exchange."""
        caller = await asyncio.to_thread(_caller, self.agreement)
        async for call in shared_stream:
            waiting = caller.worth(call, time.monotonic())
            if waiting:
                yield TriggerEvent({"agreement": self.agreement, "waiting": waiting})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Do the same alone, where streams are not shared."""
        async for event in self.filter_shared_stream(self.open_shared_stream({})):
            yield event


# Airflow loads this file into all its processes; only the triggerer needs what is imported here.


def _caller(agreement: str) -> "Caller":
    from hub.wakeups import Caller  # noqa: PLC0415

    return Caller(agreement)


def _listener() -> "Callable[[], AsyncIterator[Call]]":
    from hub.runtime import database_url  # noqa: PLC0415
    from hub.settings import Settings  # noqa: PLC0415
    from hub.wakeups import calls  # noqa: PLC0415

    settings = Settings()
    return lambda: calls(lambda: database_url(settings, "application"))
