"""What a file is, told by its first bytes."""

from typing import Final, Literal

from connectors.formats.refusal import refused

OPENING: Final = 4096
"""Bytes to look at."""

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_FOREIGN: Final = (
    (b"\xd0\xcf\x11\xe0", "an old or password-protected Office file (OLE)"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"<?xml", "XML"),
    (b"<html", "HTML"),
    (b"<!DOCTYPE", "HTML"),
    (b"<table", "HTML"),
)
_WIDE_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_WIDE_SHARE: Final = 4
"""One byte in so many is zero where text of a Western language stands in UTF-16 or UTF-32."""


def sniff(opening: bytes) -> Literal["csv", "xlsx"]:
    """Tell XLSX (a zip archive) from text.

    Raises Refused ``file.empty``, ``file.encoding`` for UTF-16 and UTF-32, and ``file.format`` for what is
    neither text nor a workbook.
    """
    if not opening:
        raise refused("file.empty", "the file is empty")
    if opening.startswith(_ZIP):
        return "xlsx"
    if opening.startswith(_WIDE_MARKS):
        raise refused("file.encoding", "expected UTF-8 or windows-1252, found UTF-16 or UTF-32")
    for magic, kind in _FOREIGN:
        if opening.startswith(magic):
            raise refused("file.format", f"expected CSV or an Excel workbook (.xlsx), found {kind}")
    line = opening.split(b"\n", 1)[0]
    if b"\x00" in line:
        if max(line[1::2].count(0), line[::2].count(0)) * _WIDE_SHARE > len(line):
            raise refused("file.encoding", "expected UTF-8 or windows-1252, found UTF-16 or UTF-32")
        raise refused("file.format", "expected CSV or an Excel workbook (.xlsx), found neither")
    return "csv"
