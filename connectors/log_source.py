"""Where a public log is read from: a web address or a folder. Small answers only, and no detours.

What comes is believed by nobody (the witness computes it anew), so the network is held on a short lead: no
redirects, no compression, a limit for every answer and an end to every wait.
"""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from hub.errors import Refused, Transient

Fetch = Callable[[str, int], bytes | None]
CONNECT_SECONDS, READ_SECONDS, ALL_SECONDS = 10, 20, 60
_CHUNK = 4096
_FOUND, _ABSENT, _GONE = 200, 404, 410
_BUSY = 429
_FAILING = 500
_AGAIN = "look again later"


def open_source(where: str) -> Fetch:
    """Give the way to read a public log below a web address or in a folder.

    Raises `Refused` ``source.address`` for what is neither.
    """
    if "://" not in where:
        folder = Path(where)
        if not folder.is_dir():
            message = f"expected a web address or a folder, found no folder {where}"
            raise Refused("source.address", message, "name the log's address, such as https://…/log/public")
        return lambda path, largest: _read(folder / path, largest)
    parts = urlsplit(where)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        message = "expected an address that begins with https:// or http:// and holds no question mark"
        raise Refused("source.address", message, "name the log's address, such as https://…/log/public")
    if parts.username or parts.password:
        message = "expected an address without a name or password in it"
        raise Refused("source.address", message, "the public log needs no login")
    session = requests.Session()
    session.headers = {"Accept-Encoding": "identity", "User-Agent": "hub log witness", "Accept": "*/*"}
    session.auth = _nobody
    prefix = where.rstrip("/")
    return lambda path, largest: _get(session, f"{prefix}/{path}", largest)


def _get(session: requests.Session, address: str, largest: int) -> bytes | None:
    until = time.monotonic() + ALL_SECONDS
    try:
        with session.get(
            address, timeout=(CONNECT_SECONDS, READ_SECONDS), allow_redirects=False, stream=True
        ) as answer:
            if answer.status_code in {_ABSENT, _GONE}:
                return None
            _check(answer)
            content = bytearray()
            # As it comes: read() would wait for a whole piece, and never look at the clock.
            while part := answer.raw.read1(min(_CHUNK, largest + 1 - len(content)), decode_content=False):
                content += part
                if len(content) > largest:
                    raise _too_large(largest)
                if time.monotonic() > until:
                    raise _away("slow")
            return bytes(content)
    except (requests.RequestException, HTTPError, OSError) as error:
        raise _away(type(error).__name__) from None


def _check(answer: requests.Response) -> None:
    status = answer.status_code
    if status >= _FAILING or status == _BUSY:
        raise _away(str(status))
    if status != _FOUND:
        message = f"expected the log's file itself, got status {status}; redirects are not followed"
        raise Refused("source.answer", message, "name the address at which the log really lies")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        message = "expected the log's file as it is, got a compressed one that nobody asked for"
        raise Refused("source.answer", message, "ask the log's operator to serve it unchanged")


def _read(file: Path, largest: int) -> bytes | None:
    try:
        with file.open("rb") as source:
            content = source.read(largest + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise _away(type(error).__name__) from None
    if len(content) > largest:
        raise _too_large(largest)
    return content


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request  # a .netrc of this machine is nothing for the log


def _too_large(largest: int) -> Refused:
    message = f"expected at most {largest} bytes, got more"
    return Refused("source.size", message, "nothing was read on; ask the log's operator what is served")


def _away(what: str) -> Transient:
    return Transient("source.away", f"the public log does not answer as it should ({what})", _AGAIN)
