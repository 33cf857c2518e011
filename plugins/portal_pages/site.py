"""What all pages share: templates, language, the headers of every answer, and the pages of errors."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import URL

from .drawings import in_order
from .visitor import LOG, SUBMISSIONS, Visitor
from .words import LANGUAGES, PHRASES, Language, Words

_TEMPLATES = Path(__file__).with_name("templates")
_STYLE = (_TEMPLATES / "portal.css").read_text(encoding="utf-8")
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_COOKIE = "hub_lang"
IDENTITY = r"^S-[0-9]{8}-[0-9A-Z]{10}$"  # a submission's id, in addresses
DOWNLOAD = "download"  # the tag of routes whose answer is a file: they never lead to the login

# The style sheet stands in the page and is allowed by its digest, so that there is nothing to load at all.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; img-src 'self'"
    " data:; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it browsers send forms with the origin "null", and the origin is checked.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",  # Airflow shows the pages in a frame of its own
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["in_order"] = in_order
_ENVIRONMENT.globals["style"] = Markup(_STYLE)  # noqa: S704 -- our own style sheet


def language(request: Request) -> Language:
    """Choose the language: as asked for now, as asked for earlier, else German."""
    for asked in (request.query_params.get("lang"), request.cookies.get(_COOKIE)):
        if asked in LANGUAGES:
            return asked
    return "de"


def page(
    request: Request, template: str, *, visitor: Visitor | None = None, status: int = 200, **shown: Any
) -> Response:
    """Write a page from its template; a language that was asked for is remembered."""
    spoken = language(request)
    words = Words(spoken)
    root = str(request.scope.get("root_path", ""))
    text = _ENVIRONMENT.get_template(template).render(
        w=words,
        root=root,
        visitor=visitor,
        sees_log=visitor is not None and visitor.role in LOG,
        sees_submissions=visitor is not None and visitor.role in SUBMISSIONS,
        **{"turned": _address(request).include_query_params(lang=words.other())} | shown,
    )
    answer = HTMLResponse(text, status)
    if request.query_params.get("lang") == spoken:
        answer.set_cookie(
            _COOKIE, spoken, path=root or "/", httponly=True, samesite="lax", max_age=31_536_000
        )
    return answer


def sorry(
    request: Request, status: int, *, because: str | None = None, code: str | None = None, login: str = ""
) -> Response:
    """Say that something did not work, in words of our own: what was asked for is not repeated."""
    if DOWNLOAD in getattr(request.scope.get("route"), "tags", ()):
        return Response(code or str(status), status, media_type="text/plain")
    named = next(key for key in (f"error.{code}", f"error.{because or status}") if key in PHRASES)
    overview = f"{request.scope.get('root_path', '')}/submissions"
    turned = f"{overview}?lang={Words(language(request)).other()}"
    return page(request, "error.html", status=status, because=named, code=code, login=login, turned=turned)


def here(request: Request) -> str:
    """Name the page that was asked for, from the server's root on."""
    return str(_address(request))


def _address(request: Request) -> URL:
    query = request.url.query
    return URL(request.url.path + (f"?{query}" if query else ""))
