"""The zip archive around a workbook, looked at before anything in it is unpacked or parsed."""

import struct
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import BinaryIO, Final

from connectors.formats.refusal import refused

MOST_BYTES: Final = 200_000_000
"""Uncompressed, all members together."""
MOST_MEMBERS: Final = 1000
HIGHEST_RATIO: Final = 200
"""Uncompressed to compressed bytes; a sheet of real rows stays below 60."""

_NEEDED: Final = frozenset({"[Content_Types].xml", "xl/workbook.xml"})
_ENCRYPTED: Final = 0x1
_CHUNK: Final = 1 << 20
_ESCAPE: Final = b"x005F_"
_DAMAGED: Final = (zipfile.BadZipFile, struct.error, ValueError, OverflowError, NotImplementedError, EOFError)
_SMALL: Final = 1 << 16
"""Bytes below which a ratio says nothing: a tiny part of blanks compresses well and harms nobody."""


def check_archive(source: BinaryIO) -> None:
    """Hold the archive's directory against what a workbook without macros looks like.

    Sizes are those that the directory declares; unpacking stops at them. Raises Refused ``file.archive`` for
    what no spreadsheet program writes (bombs, paths that lead out, doubled names), ``file.format`` for an
    archive that is no workbook, is damaged, encrypted or carries macros.
    """
    members = _members(source)
    if members is None:
        raise refused("file.format", "the file begins like an Excel workbook and is damaged or cut off")
    names = [member.filename for member in members]
    if len(members) > MOST_MEMBERS:
        message = f"expected at most {MOST_MEMBERS} parts in the workbook, got {len(members)}"
        raise refused("file.archive", message)
    if len(set(names)) != len(names) or not all(map(_stays_inside, names)):
        raise refused("file.archive", "the workbook's parts have doubled names or names that lead out of it")
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES or any(map(_is_bomb, members)):
        message = f"expected at most {MOST_BYTES} bytes unpacked and {HIGHEST_RATIO} times the packed size"
        raise refused("file.archive", message)
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise refused("file.archive", "the workbook is packed in a way that no spreadsheet program uses")
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise refused("file.format", "the workbook is protected by a password")
    if not set(names) >= _NEEDED:
        raise refused("file.format", "expected an Excel workbook (.xlsx), found another kind of zip archive")
    if any("vbaproject" in name.casefold() for name in names):
        raise refused("file.format", "the workbook carries macros")
    if not all(
        _reads_exactly(source, member) for member in members if "shared" in member.filename.casefold()
    ):
        message = "the workbook's table of texts is damaged or holds _x005F_, which cannot be read exactly"
        raise refused("file.format", message)


def _members(source: BinaryIO) -> list[zipfile.ZipInfo] | None:
    try:
        source.seek(0)
        with zipfile.ZipFile(source) as archive:
            return archive.infolist()
    except _DAMAGED:
        return None


def _reads_exactly(source: BinaryIO, member: zipfile.ZipInfo) -> bool:
    """Whether a part is whole and without the escape that openpyxl takes out of texts wherever it stands."""
    try:
        with zipfile.ZipFile(source) as archive, archive.open(member) as part:
            before = b""
            while chunk := part.read(_CHUNK):
                if _ESCAPE in before + chunk:
                    return False
                before = chunk[-len(_ESCAPE) :]
    except (*_DAMAGED, zlib.error):
        return False
    return True


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name


def _is_bomb(member: zipfile.ZipInfo) -> bool:
    return member.file_size > _SMALL and member.file_size > member.compress_size * HIGHEST_RATIO
