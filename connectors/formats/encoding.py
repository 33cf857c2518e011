"""A byte stream of unknown encoding, turned into complete lines of UTF-8.

Only two encodings are known: UTF-8 (RFC 3629, strictly) and windows-1252. A file is one or the other as a
whole; nothing is guessed per cell and no byte is replaced.
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

import polars as pl

from connectors.formats.refusal import refused

LONGEST_RECORD: Final = 1 << 20
"""Bytes. A longer record is a quotation mark that nobody closed; the limit keeps memory flat."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class LineStream:
    """Complete lines of a file as UTF-8, in segments of about ``block`` bytes.

    ``notices`` gathers what was odd. The last segment alone may lack its line feed. Raises Refused
    ``file.encoding``, ``file.too_large``, ``file.truncated`` (fewer bytes than ``size``, or half a character
    at the end) and ``file.quotes`` (a line longer than any record may be).
    """

    def __init__(
        self,
        source: BinaryIO,
        opening: bytes,
        *,
        size: int,
        max_bytes: int,
        encodings: Sequence[str],
        block: int,
    ) -> None:
        self.notices: list[str] = []
        self._source = source
        self._opening = opening
        self._size = size
        self._max_bytes = max_bytes
        self._block = block
        self._utf8 = "utf-8" in encodings
        self._legacy = "windows-1252" in encodings
        self._decided: str | None = None

    def segments(self) -> Iterator[bytes]:
        """Every segment of the file, in order, once."""
        tail = b""
        lines_seen = False
        for raw in self._blocks():
            end = raw.rfind(b"\n") + 1
            if end:
                lines_seen = True
                yield self._as_utf8(tail + raw[:end], final=False)
                tail = raw[end:]
            else:
                tail += raw
            if len(tail) > LONGEST_RECORD:
                raise too_long(carriage_returns=not lines_seen and b"\r" in tail)
        if tail:
            yield self._as_utf8(tail, final=True)

    def _blocks(self) -> Iterator[bytes]:
        total = 0
        pending = self._opening
        if pending.startswith(BYTE_ORDER_MARK):
            self.notices.append("file.byte_order_mark")
            if not self._utf8:
                raise refused("file.encoding", "the agreement does not take UTF-8, the file says that it is")
            self._decided = "utf-8"
            total = len(BYTE_ORDER_MARK)
            pending = pending[total:]
        while pending:
            total += len(pending)
            if total > self._max_bytes:
                message = f"the agreement takes at most {self._max_bytes} bytes, the file has more"
                raise refused("file.too_large", message)
            yield pending
            pending = self._source.read(self._block)
        if total < self._size:
            raise refused("file.truncated", f"expected {self._size} bytes, got {total}")

    def _as_utf8(self, lines: bytes, *, final: bool) -> bytes:
        if lines.isascii():
            return lines
        if self._decided == "windows-1252":
            return self._from_legacy(lines)
        if self._utf8:
            if _is_utf8(lines):
                self._decided = "utf-8"
                return lines
            start, cut = _first_error(lines)
            if final and cut:
                raise refused("file.truncated", "the file ends in the middle of a character")
            if self._decided == "utf-8" or not lines[:start].isascii():
                raise refused("file.encoding", "the file starts as UTF-8 and goes on in another encoding")
        if not self._legacy:
            raise refused("file.encoding", "the agreement takes UTF-8 only, the file is in another encoding")
        self._decided = "windows-1252"
        self.notices.append("file.encoding_windows_1252")
        return self._from_legacy(lines)

    @staticmethod
    def _from_legacy(lines: bytes) -> bytes:
        # Raised outside of the handler: a decoding error carries the whole text that it failed on.
        try:
            return lines.decode("cp1252").encode()
        except UnicodeDecodeError:
            pass
        raise refused("file.encoding", "the file is neither UTF-8 nor windows-1252")


def too_long(*, carriage_returns: bool = False) -> Exception:
    """The refusal of a file with a record that never ends."""
    if carriage_returns:
        return refused("file.format", "the lines end with carriage returns alone (old Macintosh format)")
    message = f"a row is longer than {LONGEST_RECORD} bytes: most likely a quotation mark was never closed"
    return refused("file.quotes", message)


def _is_utf8(lines: bytes) -> bool:
    """Strict validation by Polars, several times as fast as decoding in Python."""
    try:
        pl.Series([lines], dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.PolarsError:
        return False
    return True


def _first_error(lines: bytes) -> tuple[int, bool]:
    """Where the first byte stands that is not UTF-8, and whether it only begins a character cut off there."""
    try:
        lines.decode()
    except UnicodeDecodeError as error:
        return error.start, error.reason == "unexpected end of data"
    return len(lines), False
