"""The kit's members: a ZIP or an unpacked folder, read with suspicion and never whole into memory."""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from hub.kit.verifier.words import Findings

NEEDED = (
    "manifest.json",
    "checkpoint",
    "checkpoints.jsonl",
    "entries.tsv",
    "retention.tsv",
    "tables/entries.csv",
)
OTHERS = ("README.txt", "pruefen.py", "pruefen.html", "tables/entries.parquet")
_SHORT_BYTES = 1 << 16
_TILE_BYTES = 8192
_LOOSE_BYTES, _TIGHTEST = 1 << 20, 100  # deflate packs no evidence to less than a hundredth
_BLOCK = 1 << 20
_TILE = re.compile(r"tile/(0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)
_HOSTILE = re.compile(r"^$|^/|^[A-Za-z]:|\\|(?:^|/)\.\.(?:/|$)|[^\x20-\x7e]", re.ASCII)
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


class Member(NamedTuple):
    """A member as the archive or the folder describes it; sizes in bytes."""

    name: str
    size: int
    packed: int
    is_link: bool
    is_readable: bool


class Kit:
    """The members of a kit that may be read; whatever is wrong with the others has been told."""

    def __init__(self, path: Path, found: Findings) -> None:
        self._path, self._found = path, found
        self._zip: zipfile.ZipFile | None = None
        self._told: set[str] = set()
        self.usable: set[str] = set()
        try:
            members = list(_in_folder(path)) if path.is_dir() else self._in_archive()
        except _UNREADABLE:
            found.add("kit.unreadable", path.name)
            self.is_open = False
            return
        self.is_open = True
        names = Counter(member.name for member in members)
        for member in {member.name: member for member in members}.values():
            self._admit(member, names[member.name])
        for name in NEEDED:
            if name not in names:
                found.add("kit.missing", name)

    def refuse_other_tiles(self, expected: set[str]) -> None:
        """Name the tiles that no tree of this size has."""
        for name in sorted(self.usable):
            if name.startswith("tile/") and name not in expected:
                self._found.add("kit.unexpected", name)

    def bytes_of(self, name: str) -> bytes | None:
        """Read a short member whole; None where it is not there or cannot be read."""
        return b"".join(self.blocks(name)) if name in self.usable else None

    def text_of(self, name: str) -> str | None:
        """Read a short member as text; None as `bytes_of`, or where it is not UTF-8."""
        content = self.bytes_of(name)
        try:
            return None if content is None else content.decode("utf-8")
        except UnicodeDecodeError:
            self._found.add("kit.text", name)
            return None

    def blocks(self, name: str) -> Iterator[bytes]:
        """Read a member bit by bit; it ends early where it is damaged, which is told once."""
        if name not in self.usable:
            return
        try:
            with self._opened(name) as source:
                while True:
                    block = source.read(_BLOCK)
                    if not block:
                        return
                    yield block
        except _UNREADABLE:
            if name not in self._told:
                self._told.add(name)
                self._found.add("kit.unreadable", name)

    def _opened(self, name: str) -> IO[bytes]:
        return self._zip.open(name) if self._zip else (self._path / name).open("rb")

    def _in_archive(self) -> list[Member]:
        self._zip = zipfile.ZipFile(self._path)
        return [
            Member(
                info.orig_filename,
                info.file_size,
                info.compress_size,
                info.create_system == 3 and stat.S_ISLNK(info.external_attr >> 16),
                not info.flag_bits & 1 and info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
            )
            for info in self._zip.infolist()
        ]

    def _admit(self, member: Member, times: int) -> None:
        name = member.name
        if _HOSTILE.search(name):
            self._found.add("kit.path", ascii(name)[1:-1])
        elif member.is_link:
            self._found.add("kit.link", name)
        elif times > 1:
            self._found.add("kit.twice", name)
        elif name.endswith("/"):
            return
        elif name not in NEEDED and name not in OTHERS and not _TILE.fullmatch(name):
            self._found.add("kit.unexpected", name)
        elif not member.is_readable:
            self._found.add("kit.unreadable", name)
        elif member.size > _most_bytes(member):
            self._found.add("kit.bomb", name)
        else:
            self.usable.add(name)


def tile_name(level: int, index: int, width: int) -> str:
    """Name a tile as C2SP tlog-tiles does."""
    parts = [f"{index % 1000:03d}"]
    index //= 1000
    while index:
        parts.append(f"x{index % 1000:03d}")
        index //= 1000
    return f"tile/{level}/{'/'.join(reversed(parts))}" + ("" if width == 256 else f".p/{width}")


def _most_bytes(member: Member) -> int:
    if member.name in ("manifest.json", "checkpoint"):
        return _SHORT_BYTES
    if member.name.startswith("tile/"):
        return _TILE_BYTES
    return _LOOSE_BYTES + _TIGHTEST * member.packed


def _in_folder(path: Path) -> Iterator[Member]:
    for folder, folders, files in os.walk(path):
        for name in sorted(folders + files):
            place = Path(folder) / name
            mode = place.lstat()
            is_folder = stat.S_ISDIR(mode.st_mode)
            if is_folder and name in folders:
                continue
            yield Member(
                place.relative_to(path).as_posix(),
                mode.st_size,
                mode.st_size,
                not stat.S_ISREG(mode.st_mode),
                is_readable=True,
            )
