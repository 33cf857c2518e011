"""What every family of records that ends has in common."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy.orm import Session

from hub.ledger.entry import Span
from hub.office import Office
from hub.states import FINAL
from schemas.retention import Rule

Counts = Mapping[str, int]
"""How many of what; never which."""

ENDED: Final = [state.value for state in FINAL]


class Announce(Protocol):
    """Appends the entry of kind ``retention`` in the batch's own transaction; gives its index."""

    def __call__(self, counts: Counts, span: Span | None = None) -> int:
        """Tell the log what is deleted."""


class Ending(Protocol):
    """A family of records that ends."""

    def waiting(self, session: Session, rule: Rule, at: datetime) -> Counts:
        """Count what is over at an instant and still there; nothing is changed."""

    def end(self, session: Session, rule: Rule, at: datetime, announce: Announce) -> Counts:
        """End one batch in the caller's transaction and announce it; nothing left gives no counts."""

    def sweep(self, office: Office) -> None:
        """Remove the files of what has ended, of this batch or left by a run that died."""


class InTables:
    """A family that has no files."""

    def sweep(self, office: Office) -> None:
        """Nothing lies outside the database."""
