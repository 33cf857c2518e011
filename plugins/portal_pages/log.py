"""The pages of the transfer log: all that they show was read by hub.audit, which logs the reading first."""

import json
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from hub import audit
from hub.audit import Exhibit
from hub.errors import Refused
from hub.ledger.entry import Kind
from hub.ledger.search import Criteria

from .door import Door
from .drawings import way
from .pace import Pace
from .site import DOWNLOAD, IDENTITY, page
from .visitor import LOG, Visiting, Visitor, admits

LENGTH = 50
HIGHEST = 2**53 - 1
Index = Annotated[int, Path(ge=0, le=HIGHEST)]
KINDS: tuple[str, ...] = get_args(Kind)


def routes(door: Door, visiting: Visiting, pace: Pace) -> APIRouter:
    """Make the routes of the log's pages."""
    router = APIRouter()
    admitted = admits(LOG, visiting)

    def reading(visitor: Annotated[Visitor, Depends(admitted)]) -> Visitor:
        pace.step(visitor.name)
        return visitor

    @router.get("/log")
    def log(
        request: Request,
        visitor: Annotated[Visitor, Depends(reading)],
        upto: Annotated[int | None, Query(ge=0, le=HIGHEST)] = None,
        kind: Kind | Literal[""] = "",
        submission: Annotated[str | None, Query(pattern=IDENTITY)] = None,
    ) -> Response:
        wanted = Criteria(kind=kind or None, submission=submission)
        excerpt = audit.browse(door.office(), visitor.actor, wanted, upto=upto, limit=LENGTH)
        return page(
            request,
            "log.html",
            visitor=visitor,
            excerpt=excerpt,
            upto=upto,
            kind=kind,
            kinds=KINDS,
            submission=submission,
        )

    @router.get("/log/{index}")
    def entry(request: Request, visitor: Annotated[Visitor, Depends(reading)], index: Index) -> Response:
        shown = audit.examine(door.office(), visitor.actor, index)
        steps = shown.proved.steps if shown.proved else ()
        return page(
            request,
            "entry.html",
            visitor=visitor,
            shown=shown,
            said=_pretty(shown),
            steps=steps,
            size=shown.proved.promise.size if shown.proved else 0,
            way=way(shown.leaf_hash, [(step.sibling, step.on_the_left, step.reached) for step in steps]),
        )

    @router.get("/log/{index}/proof", tags=[DOWNLOAD])
    def proof(visitor: Annotated[Visitor, Depends(reading)], index: Index) -> Response:
        shown = audit.examine(door.office(), visitor.actor, index, purpose="proof")
        return _file(shown.proof.encode(), f"entry-{index}.tlog-proof", "text/plain; charset=utf-8")

    @router.get("/log/{index}/body", tags=[DOWNLOAD])
    def body(visitor: Annotated[Visitor, Depends(reading)], index: Index) -> Response:
        shown = audit.examine(door.office(), visitor.actor, index, purpose="body")
        if shown.body is None:
            raise Refused(
                "ledger.erased",
                f"the body of entry {index} was erased at the end of its period",
                "its proof is still there: it shows that the entry was logged, not what it said",
            )
        return _file(shown.body, f"entry-{index}.json", "application/json")

    return router


def _pretty(shown: Exhibit) -> str:
    """Lay an entry out in lines; one that is no JSON any more is shown as it lies there."""
    body = shown.body or b""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode("utf-8", "replace")


def _file(content: bytes, name: str, kind: str) -> Response:
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
