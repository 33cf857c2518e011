"""What a form needs so that only the person who was shown it can send it.

Every form carries a token of its own: a MAC over person, login session, form and an end. A request must also
come from a page of ours: browsers tell that in Sec-Fetch-Site and Origin, and no script can change it.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request

LIFETIME = 1800
"""Seconds for which a form can be sent."""


class Forged(Exception):  # noqa: N818 -- what the request is
    """This request does not come from a form that we showed to this person, or comes too late."""


@dataclass(frozen=True)
class Session:
    """A login as forms are bound to it: the user's name, and the digest of what names the login session."""

    user: str
    mark: str


def session_of(request: Request, user: str, cookie: str) -> Session:
    """Tell the login session by its cookie. Raises `Forged` where a request proves itself in another way."""
    held = request.cookies.get(cookie)
    if not held or "authorization" in request.headers:
        raise Forged
    return Session(user, hashlib.sha256(held.encode()).hexdigest())


def token(key: bytes, session: Session, form: str, *, now: float | None = None) -> str:
    """Make a form's token: when it ends, and the MAC."""
    ends = int(now if now is not None else time.time()) + LIFETIME
    return f"{ends}.{_mac(key, session, form, ends)}"


def check(key: bytes, session: Session, form: str, given: str, *, now: float | None = None) -> None:
    """Hold a token against person, session and form. Raises `Forged`."""
    ends, _, mac = given.partition(".")
    if not (ends.isascii() and ends.isdigit() and len(ends) < 12):  # noqa: PLR2004 -- seconds for 3,000 years
        raise Forged
    sound = hmac.compare_digest(_mac(key, session, form, int(ends)).encode(), mac.encode())
    if not sound or int(ends) < (now if now is not None else time.time()):
        raise Forged


def check_origin(request: Request, address: str) -> None:
    """Let only our own pages send forms; ``address`` is where people reach them. Raises `Forged`."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is None and site is None:
        raise Forged
    if site not in (None, "same-origin"):
        raise Forged
    ours = {(parts.scheme, parts.netloc) for parts in (urlsplit(address), urlsplit(str(request.url)))}
    if origin is not None and urlsplit(origin)[:2] not in ours:
        raise Forged


def _mac(key: bytes, session: Session, form: str, ends: int) -> str:
    parts = [part.encode() for part in (session.user, session.mark, form, str(ends))]
    said = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.new(key, said, hashlib.sha256).hexdigest()
