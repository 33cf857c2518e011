"""The pages' app: which routes there are; each asks for Airflow's user and for the role in the hub.

Two are open to everybody: the public log's checkpoint and hash tiles (`public`).

Airflow's parts come in as arguments, so that this package knows nothing of Airflow: ``current_user`` is the
dependency that gives the user or refuses, ``login_address`` tells where one logs in to come to a page, and
``session_cookie`` names the cookie of the login session.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI

from . import decisions, log, public, submissions
from .door import Door
from .mishaps import answer_errors
from .pace import Pace
from .visitor import visiting


def make_app(
    *,
    current_user: Callable[..., Any],
    login_address: Callable[[str], str],
    session_cookie: str,
    door: Door | None = None,
    pace: Pace | None = None,
) -> FastAPI:
    """Make the app; it has no documentation routes, no static files, and nothing open but the public log."""
    way_in = door or Door()
    visitor = visiting(current_user, way_in)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(way_in.close)

    app = FastAPI(
        title="hub pages",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    asking = [Depends(visitor)]
    app.include_router(submissions.routes(way_in, visitor, session_cookie), dependencies=asking)
    app.include_router(decisions.routes(way_in, visitor, session_cookie), dependencies=asking)
    app.include_router(log.routes(way_in, visitor, pace or Pace()), dependencies=asking)
    app.include_router(public.routes(way_in))
    answer_errors(app, login_address)
    return app
