"""``hub drop``: the SFTP server through which partners bring files and fetch what is theirs."""

import asyncio
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.answers import Json, say, told
from hub.errors import Refused
from hub.settings import Settings

if TYPE_CHECKING:
    from connectors.drop.server import Address


def drop(
    host: Annotated[str | None, typer.Option(help="Listen here; HUB_DROP_HOST unless given.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="On this port; HUB_DROP_PORT unless given.")
    ] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Serve partners over SFTP, in the foreground, until SIGTERM or Ctrl-C; every close is answered first."""
    from connectors.drop.server import Drop  # noqa: PLC0415
    from hub.runtime import open_office, outbox  # noqa: PLC0415

    def ready(address: "Address") -> None:
        say(
            {"host": address.host, "port": address.port, "fingerprint": address.fingerprint},
            as_json=as_json,
            text=lambda: f"The drop listens on {address.host}:{address.port}, host key {address.fingerprint}",
        )
        sys.stdout.flush()

    async def serve(office: Any) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        server = Drop(office, outbox(settings).place)
        await server.serve(host or settings.drop_host, port or settings.drop_port, stop, ready)

    with told(as_json=as_json):
        settings = Settings()
        with open_office(settings) as office, _alone(settings.run / "drop.lock"):
            _log()
            asyncio.run(serve(office))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of a HUB_HOME's one drop: two would take each other's uploads for left over."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                "drop.running", "a drop is running on this HUB_HOME already", "stop it first, or use that one"
            ) from None
        yield
    finally:
        os.close(handle)


def _log() -> None:
    """Write the drop's lines to stderr; asyncssh's own name files and users, so only its errors are kept."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s drop %(message)s"))
    lines = logging.getLogger("hub.drop")
    lines.addHandler(handler)
    lines.setLevel(logging.INFO)
    lines.propagate = False
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
