"""The archive: a ZIP that appears whole under its name or not at all, readable by its owner alone."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from hub.disk import disk_errors, publish
from hub.errors import Refused

_EFFORT: Final = 3  # of deflate: nearly the best size for a quarter of its time
_BLOCK: Final = 1 << 20
_ORDINARY: Final = 0o100644 << 16  # an ordinary file, once unpacked


class Archive:
    """A ZIP being written, with a folder beside it for what must first lie on the disk."""

    def __init__(self, file: ZipFile, scratch: Path) -> None:
        self._file, self.scratch = file, scratch

    def add(self, name: str, content: bytes) -> None:
        """Write a short member."""
        member = ZipInfo(name)
        member.external_attr = _ORDINARY
        self._file.writestr(member, content, ZIP_DEFLATED, _EFFORT)

    def add_hashes(self, name: str, content: bytes) -> None:
        """Write a short member that cannot be packed."""
        member = ZipInfo(name)
        member.external_attr = _ORDINARY
        self._file.writestr(member, content, ZIP_STORED)

    @contextmanager
    def stream(self, name: str) -> Iterator[IO[bytes]]:
        """Open a member to be written bit by bit, however large it becomes."""
        with self._file.open(name, "w", force_zip64=True) as sink:
            yield sink

    def take_in(self, name: str, file: Path) -> None:
        """Write a member from a file on the disk, and remove that."""
        with file.open("rb") as source, self.stream(name) as sink:
            shutil.copyfileobj(source, sink, _BLOCK)
        file.unlink()


def must_be_new(target: Path) -> None:
    """Refuse to write over a kit. Raises `Refused` ``kit.exists``."""
    if target.exists():
        raise Refused("kit.exists", f"{target} exists already", "name another file with --out")


@contextmanager
def created(target: Path) -> Iterator[Archive]:
    """Write an archive; at the end of the block it lies under its name, after an error nothing is left.

    Raises:
        Refused: ``kit.exists``.
        Transient: ``disk.full``, ``disk.write``.
    """
    must_be_new(target)
    scratch = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    with disk_errors(target):
        scratch.mkdir(mode=0o700)
        try:
            part = scratch / "kit.zip"
            handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with (
                os.fdopen(handle, "w+b") as sink,
                ZipFile(sink, "w", ZIP_DEFLATED, compresslevel=_EFFORT) as file,
            ):
                yield Archive(file, scratch)
            publish(part, target)
        finally:
            shutil.rmtree(scratch)
