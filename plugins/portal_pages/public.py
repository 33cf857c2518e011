"""What anybody may fetch of the transfer log without a login: checkpoint and hash tiles (C2SP tlog-tiles).

Never an entry: a tile holds hashes, from which no entry can be read or, for their nonces, guessed.
"""

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from hub import public_log

from .door import Door
from .site import DOWNLOAD

PREFIX = "/log/public"
LASTING = "public, max-age=31536000, immutable"
_ABSENT = 404


def routes(door: Door) -> APIRouter:
    """Make the two routes that are open to everybody; they read files and neither database nor keys."""
    router = APIRouter(prefix=PREFIX)

    @router.get("/checkpoint", tags=[DOWNLOAD])
    def checkpoint() -> Response:
        found = public_log.read_checkpoint(door.public_log())
        if found is None:
            raise HTTPException(_ABSENT)
        return Response(found, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})

    @router.get("/tile/{place:path}", tags=[DOWNLOAD])
    def tile(place: str) -> Response:
        found = public_log.read_tile(door.public_log(), f"tile/{place}")
        if found is None:
            raise HTTPException(_ABSENT)
        return Response(found[1], media_type="application/octet-stream", headers={"Cache-Control": LASTING})

    return router
