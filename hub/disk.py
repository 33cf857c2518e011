"""Durable file operations: after return the disk holds the result, after a kill the old state or the new.

Every folder, published name and removal of the hub goes through these few functions, so that the crash tests
find each such point by tracing one place. Modes: folders 0700, files 0600, nothing that exists is changed.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from hub.errors import Corrupt, Transient

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals while writing ``path`` into errors that say what to do.

    Raises:
        Transient: ``disk.full`` when space or quota is used up, ``disk.write`` for every other refusal.
    """
    try:
        yield
    except OSError as error:
        cause = errno.errorcode.get(error.errno or 0, "unknown error")
        if error.errno in _FULL:
            raise Transient(
                code="disk.full",
                message=f"expected room to write {path}, found none ({cause})",
                remedy="Free disk space or raise the quota; then retry: nothing is lost.",
            ) from None
        raise Transient(
            code="disk.write",
            message=f"expected to write {path}, found {cause}",
            remedy="Check that the folder exists, belongs to the hub's user and that the disk is healthy.",
        ) from None


@contextlib.contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals while reading ``path`` into errors that say what to do.

    Raises:
        Corrupt: ``staging.missing`` when it is gone.
        Transient: ``disk.read`` for every other refusal.
    """
    try:
        yield
    except FileNotFoundError:
        raise Corrupt(
            code="staging.missing",
            message=f"expected the sealed file {path.name}, found none",
            remedy="Restore HUB_HOME/data from its backup, or have the sender deliver again.",
        ) from None
    except OSError as error:
        cause = errno.errorcode.get(error.errno or 0, "unknown error")
        raise Transient(
            code="disk.read",
            message=f"expected to read {path}, found {cause}",
            remedy="Check the disk and the file's owner.",
        ) from None


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(temp: Path, final: Path) -> None:
    """Give a finished file its final name, durably: after return it is there whole, whatever happens.

    Replaces what ``final`` named before. At a power cut in between ``final`` names the old file or the new
    one, never a part. ``temp`` must carry a name that no other attempt uses.
    """
    with disk_errors(final):
        _flush(temp)
        temp.replace(final)
        _flush(final.parent)
        if temp.parent != final.parent:
            _flush(temp.parent)


def share(source: Path, final: Path) -> None:
    """Give a finished file a second name, durably; one that is there already stays as it is.

    The first name remains, so that whoever is killed right after can do it again.
    """
    with disk_errors(final):
        _flush(source)
        with contextlib.suppress(FileExistsError):
            final.hardlink_to(source)
        _flush(final.parent)


def keep_copy(source: Path, final: Path) -> None:
    """Keep a finished file at a second place as well, durably, on whatever disk; one that is there stays.

    On one disk it is a second name, on another a copy that appears whole or not at all.
    """
    if final.exists():
        return
    temp = final.with_name(f".{final.name}.{secrets.token_hex(6)}.new")
    with disk_errors(final):
        try:
            temp.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, temp)
    publish(temp, final)


def replace(path: Path, data: bytes) -> None:
    """Write a small plain file (a setting, a list) durably with mode 0600 in place of what was there."""
    temp = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    write_once(temp, data)
    publish(temp, path)


def write_once(path: Path, data: bytes) -> bool:
    """Write a small plain file (a key, a setting) durably with mode 0600, never over an existing one.

    Returns False, and changes nothing, when ``path`` is already there. A kill leaves the whole file or none,
    at worst beside a leftover named ``.<name>.*.new``.
    """
    temp = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    with disk_errors(path):
        handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as sink:
                sink.write(data)
                sink.flush()
                os.fsync(handle)
            # A hard link, not a rename: it refuses to replace.
            path.hardlink_to(temp)
        except FileExistsError:
            return False
        finally:
            temp.unlink(missing_ok=True)
            _flush(path.parent)
    return True


def make_folder(path: Path) -> None:
    """Make ``path`` and what lacks above it, mode 0700, durably; whatever exists is left as it is."""
    with disk_errors(path):
        lacking = [path]
        while not lacking[-1].parent.is_dir():
            lacking.append(lacking[-1].parent)
        for folder in reversed(lacking):
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                if not folder.is_dir():
                    raise
            _flush(folder.parent)


def discard(path: Path) -> None:
    """Remove a file, link or whole tree, durably; fine when it is gone already or goes meanwhile."""
    with disk_errors(path):
        while os.path.lexists(path):
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            except FileNotFoundError:
                continue
        if path.parent.is_dir():
            _flush(path.parent)
