"""What is answered when a page cannot be shown: a plain page that says what to do and quotes nothing.

Strangers are led to the login. What the hub itself cannot do is logged by code and place, never by its text,
which could quote a value.
"""

import logging
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from hub.errors import HubError, Refused, Transient, defect

from .forms import Forged
from .pace import TooFast
from .site import DOWNLOAD, HEADERS, here, sorry
from .visitor import NotAdmitted

LOGGER = logging.getLogger("hub.pages")
BAD, UNAUTHENTICATED, FORBIDDEN, ABSENT, CONFLICT, TOO_FAST = 400, 401, 403, 404, 409, 429
FAILED, UNAVAILABLE = 500, 503
STATUS = {
    "submission.unknown": ABSENT,
    "ledger.index": ABSENT,
    "ledger.erased": ABSENT,
    "hub.not_initialised": UNAVAILABLE,
}
SAID = frozenset({BAD, ABSENT, 405})
Next = Callable[[Request], Awaitable[Response]]


def answer_errors(app: FastAPI, login_address: Callable[[str], str]) -> None:
    """Give every error its answer, and every answer its headers."""

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else FAILED
        if status in {UNAUTHENTICATED, FORBIDDEN}:  # Airflow says 403 of a token that is none
            return _to_login(request, login_address)
        return sorry(request, status if status in SAID else BAD)

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(NotAdmitted, _not_admitted)
    app.add_exception_handler(Forged, _forged)
    app.add_exception_handler(TooFast, _too_fast)
    app.add_exception_handler(HubError, _of_the_hub)
    app.middleware("http")(_outermost)


def _to_login(request: Request, login_address: Callable[[str], str]) -> Response:
    """Lead whoever looks at a page to the login and back; tell everything else that it is not logged in."""
    wants = request.headers.get("accept", "*/*")
    looks = request.method == "GET" and ("text/html" in wants or "*/*" in wants)
    if looks and DOWNLOAD not in getattr(request.scope.get("route"), "tags", ()):
        return RedirectResponse(login_address(here(request)), 303)
    overview = f"{request.scope.get('root_path', '')}/submissions"
    return sorry(request, UNAUTHENTICATED, login=login_address(overview))


async def _not_admitted(request: Request, error: Exception) -> Response:
    known = isinstance(error, NotAdmitted) and error.known
    return sorry(request, FORBIDDEN, because="role" if known else "unknown")


async def _malformed(request: Request, error: Exception) -> Response:
    parts = error.errors() if isinstance(error, RequestValidationError) else ()
    return sorry(request, ABSENT if any(part["loc"][0] == "path" for part in parts) else BAD)


async def _forged(request: Request, _: Exception) -> Response:
    return sorry(request, FORBIDDEN, because="forged")


async def _too_fast(request: Request, _: Exception) -> Response:
    return sorry(request, TOO_FAST)


async def _of_the_hub(request: Request, error: Exception) -> Response:
    found = error if isinstance(error, HubError) else defect(error)
    status = CONFLICT if isinstance(found, Refused) else FAILED
    status = UNAVAILABLE if isinstance(found, Transient) else STATUS.get(found.code, status)
    if status >= FAILED:
        LOGGER.error("%s: %s", found.code, found.message)
    answer = sorry(request, status, code=found.code)
    if status == UNAVAILABLE:
        answer.headers["Retry-After"] = "5"
    return answer


async def _outermost(request: Request, following: Next) -> Response:
    try:
        answer = await following(request)
    except Exception as error:  # noqa: BLE001 -- the last door: servers log what they catch with its text
        answer = await _of_the_hub(request, defect(error))
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)  # the public log says itself how long it may be kept
    return answer
