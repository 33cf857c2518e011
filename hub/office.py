"""The office: everything that the steps of an exchange stand on, handed down once from hub.runtime."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hub.batch_suite import Answer, Bounds
from hub.database.session import Database
from hub.keys import KeyRing
from hub.ledger.journal import Journal
from hub.settings import Settings
from schemas.agreement import Agreement


class Batch(Protocol):
    """Some rows as read: ``frame`` (place and one text column per field) and ``faults`` (unreadable rows)."""

    @property
    def frame(self) -> pl.DataFrame:
        """Place (UInt32) and one text column per field of the agreement."""

    @property
    def faults(self) -> pl.DataFrame:
        """Place, column (or null) and code of rows that could not be read."""


class Reader(Protocol):
    """A file being read exactly, batch by batch."""

    notices: list[str]
    sheet: str | None

    @property
    def columns(self) -> Mapping[str, int]:
        """Where each field stands in the file: field name to position from 0."""

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in file order; raises Refused where the file as a whole cannot be taken."""


class Formats(Protocol):
    """The foreign formats, as connectors.formats knows them."""

    def open_reader(
        self, source: BinaryIO, *, size: int, agreement: Agreement, batch_rows: int = ...
    ) -> Reader:
        """Recognise the format of a file and read its header."""

    def write_parcel(self, frames: Iterator[pl.DataFrame], sink: BinaryIO, agreement: Agreement) -> None:
        """Write the released rows as the recipient wants them."""

    def suffix(self, agreement: Agreement) -> str:
        """Name the file suffix of a parcel."""


class Route(Protocol):
    """A way to one kind of recipient. Sending is idempotent by the parcel's name."""

    def send(self, recipient: str, name: str, sealed: Path) -> None:
        """Bring a sealed parcel to its recipient; done already means done."""

    def take_back(self, recipient: str, name: str) -> None:
        """Remove a parcel that was never released to its recipient."""


class Suite(Protocol):
    """Who holds figures of a batch against an agreement's expectations."""

    def get_ready(self) -> None:
        """Begin to load what it needs; rows are coming."""

    def answers(self, figures: Mapping[str, float], asked: Sequence[Bounds]) -> list[Answer]:
        """Say of each figure whether it was counted, and of each question whether it holds."""


@dataclass(frozen=True)
class Office:
    """What the steps stand on: settings, database, keys, formats, route to recipients, the batch suite."""

    settings: Settings
    database: Database
    ring: KeyRing
    formats: Formats
    route: Route
    suite: Suite
    small_registers: dict[str, NDArray[np.uint8]] = field(default_factory=dict, repr=False)
    """Row MACs of small parcels that this process has opened (see `hub.delivered`)."""

    @cached_property
    def journal(self) -> Journal:
        """What is kept of log and consents outside the database; its folder is named after the log's key."""
        mark = hashlib.sha256(self.ring.log_public().public_bytes_raw()).hexdigest()[:16]
        return Journal(self.settings.journal_folder / mark, self.ring)

    @property
    def inbox(self) -> Path:
        """Sealed files as they arrived."""
        return self.settings.data / "inbox"

    @property
    def staging(self) -> Path:
        """Sealed parts between two steps, one folder per submission."""
        return self.settings.data / "staging"

    @property
    def reports(self) -> Path:
        """Sealed findings, from which validation reports are written."""
        return self.settings.data / "reports"

    @property
    def delivered(self) -> Path:
        """Sealed row MACs of what each agreement has delivered."""
        return self.settings.data / "delivered"
