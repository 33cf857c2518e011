"""The decision on what is held back: two people, each with a login of their own; hub.review alone decides."""

from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import RedirectResponse

from hub import review
from hub.office import Office
from hub.roles import GROUNDS, MAY_DECIDE, Verdict
from hub.states import State

from .door import Door
from .forms import Forged, check, check_origin, session_of, token
from .site import IDENTITY
from .visitor import Visiting, Visitor, admits

DIGEST = r"^[0-9a-f]{64}$"
Done = Literal["awaiting_second", "released", "refused"]


def routes(door: Door, visiting: Visiting, cookie: str) -> APIRouter:
    """Make the route by which a decision comes in."""
    router = APIRouter()
    admitted = admits(MAY_DECIDE, visiting)

    @router.post("/submissions/{identity}/decision")
    def decide(
        request: Request,
        visitor: Annotated[Visitor, Depends(admitted)],
        identity: Annotated[str, Path(pattern=IDENTITY)],
        verdict: Annotated[Verdict, Form()],
        matter: Annotated[str, Form(pattern=DIGEST)],
        grounds: Annotated[str, Form(pattern=r"^[a-z_]{1,40}$")],
        given: Annotated[str, Form(alias="token", max_length=100)],
    ) -> RedirectResponse:
        office = door.office()
        check_origin(request, office.settings.web_address)
        session = session_of(request, visitor.name, cookie)
        check(office.ring.form_key(), session, _form(identity, matter, verdict), given)
        decided = review.decide(
            office,
            identity,
            verdict,
            visitor.name,
            "login",
            session.mark,
            grounds=grounds,
            seen=matter,
        )
        root = request.scope.get("root_path", "")
        return RedirectResponse(f"{root}/submissions/{identity}?done={decided.effect}", 303)

    return router


def offered(
    office: Office, request: Request, visitor: Visitor, identity: str, cookie: str
) -> dict[str, Any] | None:
    """Tell what is to be decided on a submission that is held back, or was, and who has said what.

    ``forms`` are what this visitor may send: none for those who may not decide or have decided already, or
    who came by another way than a login in a browser. None where nobody ever had to decide.
    """
    told = review.shown(office, identity)
    if told["matter"] is None and not told["decisions"]:
        return None
    now = [word for word in told["decisions"] if word["round"] == told["round"]]
    told["forms"] = []
    if told["matter"] and visitor.role in MAY_DECIDE and visitor.name not in {w["approver"] for w in now}:
        with suppress(Forged):
            session, key = session_of(request, visitor.name, cookie), office.ring.form_key()
            told["forms"] = [
                (verdict, grounds, token(key, session, _form(identity, told["matter"], verdict)))
                for verdict, grounds in GROUNDS.items()
            ]
    return told


def borne_out(done: Done | None, told: dict[str, Any] | None, visitor: Visitor) -> Done | None:
    """Say what became of a decision only where it is so: an address can be made up by anybody."""
    if done is None or told is None or visitor.name not in {word["approver"] for word in told["decisions"]}:
        return None
    now: Done = "awaiting_second" if told["state"] == State.AWAITING_REVIEW else "released"
    return done if done == ("refused" if told["state"] == State.REFUSED else now) else None


def _form(identity: str, matter: str, verdict: str) -> str:
    return f"decision/{identity}/{matter}/{verdict}"
