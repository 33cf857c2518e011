"""The folder where running parts leave sockets and locks, and what else must be ours alone before a start."""

import fcntl
import hashlib
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hub.errors import Refused, Transient

LONGEST_SOCKET_FOLDER = 90  # sun_path holds 107 bytes, of which "/.s.PGSQL.5432" needs up to 15


def socket_folder(run: Path) -> Path:
    """Choose the socket's folder: in ``run``, or a short one where that path is too long or odd."""
    inside = run / "postgres"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_FOLDER and re.fullmatch(r"[A-Za-z0-9_./ -]+", str(inside)):
        return inside
    name = hashlib.sha256(os.fsencode(run)).hexdigest()[:16]
    return Path("/tmp") / f"hub-{os.geteuid()}-{name}"  # noqa: S108 -- its owner and mode are checked


def private_folder(folder: Path) -> None:
    """Make a folder of mode 0700, or make sure that one of this name is ours alone (never a link)."""
    with suppress(FileExistsError):
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise Refused(
            "database.folder",
            f"expected {folder} to be a folder of this user with mode 0700, found otherwise",
            "remove it or correct its owner and mode (chmod 700)",
        )


def require_port(port: int) -> None:
    """Make sure that a port of 127.0.0.1 is free (Refused ``database.port``)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise Refused(
                "database.port",
                f"port {port} of 127.0.0.1 is not to be had",
                "end its user or choose another port",
            ) from None


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """Open a lock file (only its lock matters); programs started meanwhile do not inherit it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """Open a folder, to flush the names in it."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def flock(handle: int, kind: int, patience: float) -> None:
    """Take a lock, waiting for at most ``patience`` seconds (Transient ``database.busy``)."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise Transient(
                    "database.busy", "another process is starting or stopping the database", "try again"
                ) from None
            time.sleep(0.02)
        else:
            return
