"""Which delimiter a file uses and which names its first line carries."""

import csv
import io
from typing import Final

from connectors.formats import header, records
from connectors.formats.refusal import refused
from hub.errors import Corrupt
from schemas.agreement import Agreement

LONGEST_HEADER: Final = 64 << 10
"""Bytes."""

_COMMON_DELIMITERS: Final = (";", ",", "\t", "|", ":")


def split_header(text: bytes, agreement: Agreement) -> tuple[bytes, list[str], bytes]:
    """The delimiter whose header line fits the agreement, the names in that line, and the text behind it."""
    # A quoted heading may hold a line break, which is never a carriage return alone.
    start = text[:LONGEST_HEADER]
    if b"\r" in start.replace(b"\r\n", b"").split(b"\n", 1)[0].removesuffix(b"\r"):
        raise refused("file.format", "the lines end with carriage returns alone (old Macintosh format)")
    best: tuple[int, bytes, list[str], bytes] | None = None
    for delimiter in agreement.intake.delimiters:
        names, rest = _header_line(text, delimiter)
        if header.fits(names, agreement.fields):
            return delimiter.encode(), names, rest
        kin = header.kinship(names, agreement.fields)
        if best is None or kin > best[0]:
            best = kin, delimiter.encode(), names, rest
    for other in _COMMON_DELIMITERS:
        if header.fits(_header_line(text, other)[0], agreement.fields):
            agreed = " or ".join(map(repr, agreement.intake.delimiters))
            raise refused("file.delimiter", f"expected the delimiter {agreed}, found {other!r}")
    if best is None:
        raise Corrupt("read.agreement", "the agreement names no delimiter", "Name one and activate it anew.")
    return best[1], best[2], best[3]


def _header_line(text: bytes, delimiter: str) -> tuple[list[str], bytes]:
    whole = text if text.endswith(b"\n") else text + b"\n"
    end = records.record_end(whole, 0, delimiter.encode())
    if end is None or end > LONGEST_HEADER:
        return [], b""
    line = whole[:end].decode().removesuffix("\r")
    if any(ord(character) < records.SPACE and character not in "\t\r\n" for character in line):
        raise refused("file.format", "the first line holds control characters: this is no text file")
    return cells(whole[:end], delimiter), text[end + 1 :]


def cells(record: bytes, delimiter: str) -> list[str]:
    """The cells of one record, without its line end; none where it is not exactly one."""
    line = record.removesuffix(b"\r").decode()
    rows = list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter))
    return rows[0] if len(rows) == 1 else []
