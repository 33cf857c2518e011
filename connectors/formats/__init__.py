"""Foreign formats, read exactly and written the same way every time.

Reading turns a partner's file into batches of text columns and a list of the rows that could not be read;
nothing is guessed, shifted, padded or replaced. The format is told by the content, never by the name.
"""

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Protocol

from connectors.formats.batch import Batch
from connectors.formats.delimited import DelimitedReader
from connectors.formats.header import column_letter
from connectors.formats.refusal import refused
from connectors.formats.sniffing import OPENING, sniff
from connectors.formats.spreadsheet import SpreadsheetReader
from connectors.formats.writing import suffix, write_parcel
from schemas.agreement import Agreement

__all__ = ["Batch", "Reader", "column_letter", "open_reader", "suffix", "write_parcel"]


class Reader(Protocol):
    """A file that is being read, whatever its format.

    ``notices`` are codes (``file.*``) of what was odd and yet understood, complete once all batches are
    read. ``sheet`` is the sheet's name, None for CSV. ``columns`` gives each field's 0-based column in the
    file; ``column_letter`` turns that into a spreadsheet's letters.
    """

    notices: list[str]
    sheet: str | None
    columns: Mapping[str, int]

    def batches(self) -> Iterator[Batch]:
        """Every row of the file in order, once."""
        ...


def open_reader(source: BinaryIO, *, size: int, agreement: Agreement, batch_rows: int = 100_000) -> Reader:
    """Open a partner's file of ``size`` bytes for reading under an agreement.

    CSV is read forward only, with ``read(n)``; XLSX needs a seekable source. ``batch_rows`` bounds the rows
    of a batch. Raises Refused ``file.*`` where the file as a whole cannot be taken, here or while its
    batches are read, and Corrupt ``read.disagreement`` where the hub's two ways of reading differ.
    """
    intake = agreement.intake
    if size > intake.max_bytes:
        raise refused("file.too_large", f"the agreement takes at most {intake.max_bytes} bytes, got {size}")
    opening = b""
    while len(opening) < OPENING and (more := source.read(OPENING - len(opening))):
        opening += more
    found = sniff(opening)
    if found not in intake.formats:
        agreed = " or ".join(intake.formats)
        raise refused("file.format", f"the agreement takes {agreed}, the file is {found}")
    if found == "xlsx":
        return SpreadsheetReader(source, agreement=agreement, batch_rows=batch_rows)
    return DelimitedReader(source, opening, size=size, agreement=agreement, batch_rows=batch_rows)
