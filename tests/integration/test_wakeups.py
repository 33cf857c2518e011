"""New work is heard of, whatever becomes of notifications, connections and the database."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from sqlalchemy import URL, text

from hub.database.models import AgreementVersion, Partner, Submission
from hub.database.session import Database
from hub.lots import AGAIN, CHANNEL
from hub.wakeups import Call, calls
from tests.integration.conftest import superuser

SOON = 20  # seconds; only what hangs takes so long
NEVER = 600.0  # a look that no test lives to see

Next = Callable[[], Awaitable[Call]]


@pytest.fixture
def agreement(database: Database) -> str:
    with database.transaction() as session:
        session.add_all([Partner(id="a", name="A"), Partner(id="b", name="B")])
        session.add(AgreementVersion(id="E1", version="1.0.0", digest="0", body={}, status="active"))
    return "E1"


def submission(number: int) -> Submission:
    return Submission(
        id=f"S-{number}", agreement="E1", agreement_version="1.0.0", sender="a", sha256=str(number), bytes=1
    )


def come(database: Database, number: int) -> None:
    with database.transaction() as session:
        session.add(submission(number))


def listening(
    url: Callable[[], URL],
    look: float,
    course: Callable[[Next], Coroutine[Any, Any, None]],
    pause: float = 0.01,
) -> None:
    """Follow a course of events beside a listener; ``Next`` waits for its next call."""

    async def run() -> None:
        stream: AsyncGenerator[Call] = calls(url, look=look, pause=pause)
        async with aclosing(stream):

            async def following() -> Call:
                async with asyncio.timeout(SOON):
                    return await anext(stream)

            await course(following)

    asyncio.run(run())


def test_a_new_submission_is_heard_of_without_a_look(
    database: Database, database_urls: dict[str, URL], agreement: str
) -> None:
    async def course(following: Next) -> None:
        assert (await following()).waiting == {}
        await asyncio.to_thread(come, database, 1)
        call = await following()
        assert call.waiting[agreement].submissions == 1
        assert call.waiting[agreement].unclaimed is not None
        assert not call.told, "it speaks for itself"

    listening(lambda: database_urls["application"], NEVER, course)


def test_who_asks_for_another_look_is_heard(
    database: Database, database_urls: dict[str, URL], agreement: str
) -> None:
    def ask() -> None:
        with database.transaction() as session:
            notice = {"channel": CHANNEL, "name": agreement + AGAIN}
            session.execute(text("SELECT pg_notify(:channel, :name)"), notice)

    async def course(following: Next) -> None:
        await following()
        await asyncio.to_thread(ask)
        assert (await following()).told == {agreement}

    listening(lambda: database_urls["application"], NEVER, course)


def test_work_from_before_the_listener_came_is_found_first(
    database: Database, database_urls: dict[str, URL], agreement: str
) -> None:
    come(database, 1)

    async def course(following: Next) -> None:
        call = await following()
        assert call.waiting[agreement].submissions == 1
        assert not call.told

    listening(lambda: database_urls["application"], NEVER, course)


def test_what_no_notification_told_is_found_by_looking(
    database_urls: dict[str, URL], server: URL, agreement: str
) -> None:
    async def course(following: Next) -> None:
        assert (await following()).waiting == {}
        with superuser(server, str(database_urls["application"].database)) as connection:
            connection.execute("SET session_replication_role = replica")  # no trigger, so no notification
            connection.execute(
                "INSERT INTO hub.submission (id, agreement, agreement_version, sender, sha256, bytes)"
                " VALUES ('S-1', 'E1', '1.0.0', 'a', '0', 1)"
            )
        while not (call := await following()).waiting:
            pass
        assert call.waiting[agreement].submissions == 1
        assert not call.told

    listening(lambda: database_urls["application"], 0.2, course)


def test_a_listener_whose_connection_is_cut_goes_on(
    database: Database, database_urls: dict[str, URL], server: URL, agreement: str
) -> None:
    async def course(following: Next) -> None:
        await following()
        with superuser(server) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'hub wakeups' AND datname = %s",
                [database_urls["application"].database],
            ).fetchall()
        assert ended == [(True,)]
        await asyncio.to_thread(come, database, 1)
        assert (await following()).waiting[agreement].submissions == 1, "it looks when it is back"
        await asyncio.to_thread(come, database, 2)
        assert (await following()).waiting[agreement].submissions == 2, "and listens"

    listening(lambda: database_urls["application"], NEVER, course)


def test_a_database_that_is_away_is_waited_for(
    database: Database, database_urls: dict[str, URL], agreement: str, free_port: int
) -> None:
    come(database, 1)
    nobody = database_urls["application"].set(host="127.0.0.1", port=free_port, query={})
    ways = iter([nobody, nobody])

    async def course(following: Next) -> None:
        assert (await following()).waiting[agreement].submissions == 1

    listening(lambda: next(ways, database_urls["application"]), NEVER, course)


def test_a_burst_of_submissions_becomes_few_calls(
    database: Database, database_urls: dict[str, URL], agreement: str
) -> None:
    def burst() -> None:
        for number in range(40):
            come(database, number)

    async def course(following: Next) -> None:
        await following()
        coming = asyncio.create_task(asyncio.to_thread(burst))
        seen = 1
        while (await following()).waiting[agreement].submissions < 40:
            seen += 1
        await coming
        assert seen < 20

    listening(lambda: database_urls["application"], NEVER, course, pause=0.5)
