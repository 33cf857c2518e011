"""The pages of submissions: the list, and what became of one. Ids, codes and counts; never a file's name."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from hub import overview
from hub.office import Office
from hub.states import FINAL, Fate, State
from schemas.reasons import catalogue

from .decisions import Done, borne_out, offered
from .door import Door
from .drawings import bar
from .site import IDENTITY, page
from .visitor import SUBMISSIONS, Visiting, Visitor, admits

LENGTH = 25
MOST_REASONS = 3
FATES = tuple(fate.value for fate in Fate)


def routes(door: Door, visiting: Visiting, cookie: str) -> APIRouter:
    """Make the routes of the submissions' pages."""
    router = APIRouter()
    admitted = admits(SUBMISSIONS, visiting)

    @router.get("/submissions")
    def submissions(
        request: Request,
        visitor: Annotated[Visitor, Depends(admitted)],
        state: State | None = None,
        agreement: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,40}$")] = "",
        before: Annotated[str | None, Query(pattern=IDENTITY)] = None,
    ) -> Response:
        office = door.office()
        counted = overview.states(office, agreement=agreement or None)
        lines, older = _listed(office, state, agreement or None, before)
        ways = overview.routes(office)
        return page(
            request,
            "submissions.html",
            visitor=visitor,
            lines=lines,
            older=older,
            before=before,
            ways=ways,
            state=state,
            states=[(name.value, counted[name.value]) for name in State if name.value in counted],
            agreement=agreement,
            agreements=sorted({name for name, _ in ways}),
            fates=FATES,
        )

    @router.get("/submissions/{identity}")
    def submission(
        request: Request,
        visitor: Annotated[Visitor, Depends(admitted)],
        identity: Annotated[str, Path(pattern=IDENTITY)],
        done: Done | None = None,
    ) -> Response:
        office = door.office()
        told = overview.of_submission(office, identity)
        held = offered(office, request, visitor, identity, cookie)
        return page(
            request,
            "submission.html",
            visitor=visitor,
            told=told,
            done=borne_out(done, held, visitor),
            review=held,
            way=overview.routes(office)[told["agreement"], told["agreement_version"]],
            history=overview.history(office, identity),
            pieces=bar(told["rows"]),
            ended=told["state"] in FINAL,
            fates=FATES,
            reasons=_by_fate(told["reasons"]),
            slowest=max(told["seconds"].values(), default=0),
        )

    return router


def _listed(
    office: Office, state: State | None, agreement: str | None, before: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Give one page of the list, and the submission behind which the next page goes on."""
    lines = overview.listed(office, state=state, agreement=agreement, before=before, limit=LENGTH + 1)
    more, lines = len(lines) > LENGTH, lines[:LENGTH]
    reasons = overview.reasons_of(office, [line["submission"] for line in lines])
    for line in lines:
        found = list(reasons.get(line["submission"], {}).items())
        line["reasons"], line["more_reasons"] = found[:MOST_REASONS], max(0, len(found) - MOST_REASONS)
        line["pieces"], line["ended"] = bar(line["rows"]), line["state"] in FINAL
    return lines, lines[-1]["submission"] if more else None


def _by_fate(reasons: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Put reasons into the order of the fates, the most frequent first: code, fate, rows."""
    known = catalogue()
    told = [(code, known[code].fate if code in known else "", rows) for code, rows in reasons.items()]
    place = {fate: at for at, fate in enumerate(FATES)}
    return sorted(told, key=lambda line: (place.get(line[1], len(FATES)), -line[2], line[0]))
