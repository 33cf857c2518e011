"""The egress gate's own reading of a CSV parcel: one way of writing, so that nothing can ride along."""

import hashlib
import io
import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

import polars as pl

from hub.egress.alarm import stop
from hub.side_by_side import side_by_side

_BLOCK: Final = 2 << 20  # bytes


class DelimitedParcel:
    """One CSV text: UTF-8, the agreed delimiter, LF, a header, quotes only where RFC 4180 asks for them."""

    def __init__(self, parcel: BinaryIO, delimiter: str, columns: tuple[str, ...]) -> None:
        self._parcel, self._delimiter, self._columns = parcel, delimiter, columns
        self._digest = hashlib.sha256()

    def sha256(self) -> str:
        """Digest (hex) of the bytes read so far."""
        return self._digest.hexdigest()

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows as String columns, about 4 MiB at a time; Corrupt for any byte that is not as agreed."""
        blocks = self._lines()
        header, _, first = next(blocks, b"").partition(b"\n")
        self._check_header(header)
        yield from side_by_side(self._parse, itertools.chain([first] if first else [], blocks))

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        while data := self._parcel.read(_BLOCK):
            self._digest.update(data)
            whole, end, rest = (rest + data).rpartition(b"\n")
            if end:
                yield whole + end
            elif len(rest) > _BLOCK:
                break
        if rest:
            raise stop("format", "a last line that is ended", "one that breaks off")

    def _check_header(self, header: bytes) -> None:
        if header == self._delimiter.join(self._columns).encode():
            return
        if re.fullmatch(
            rb"[a-z][a-z0-9_]*(%s[a-z][a-z0-9_]*)+" % re.escape(self._delimiter.encode()), header
        ):
            raise stop("columns", f"{len(self._columns)} agreed columns in the agreed order", "others")
        raise stop("format", "the agreed header in UTF-8 without byte order mark", "another first line")

    def _parse(self, block: bytes) -> pl.DataFrame:
        """Parse a block and prove that there is no other way to write what was read."""
        schema = dict.fromkeys(self._columns, pl.String)
        try:
            frame = pl.read_csv(block, has_header=False, separator=self._delimiter, schema=schema)
        except pl.exceptions.PolarsError:
            raise stop("format", "rows of the agreed number of cells in UTF-8", "others") from None
        plain = b'"' not in block and b"\r" not in block
        if not (self._adds_up(block, frame) if plain else self._comes_out_again(block, frame)):
            raise stop("format", "plainly written CSV", "another way of writing")
        return frame

    def _adds_up(self, block: bytes, frame: pl.DataFrame) -> bool:
        """Tell whether a block without quotes is its cells, a delimiter between two, an LF after each row."""
        separators = frame.height * (len(self._columns) - 1)
        if block.count(b"\n") != frame.height or block.count(self._delimiter.encode()) != separators:
            return False
        octets = frame.select(pl.all().str.len_bytes().cast(pl.UInt64).sum()).row(0)
        return int(sum(octets)) + separators + frame.height == len(block)

    def _comes_out_again(self, block: bytes, frame: pl.DataFrame) -> bool:
        """Tell whether a block is what is written anew of it: short rows, strays and CRs all differ."""
        again = io.BytesIO()
        frame.write_csv(again, include_header=False, separator=self._delimiter)
        return bool(again.getbuffer() == block)
