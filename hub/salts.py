"""The salts of row commitments, kept apart from the log: one wrapped seed for each parcel that was intended.

Who deletes a seed shreds the way from rows to the log: no row can be proved any more, nor guessed, and every
proof of an entry stays as valid as it was.
"""

from sqlalchemy.orm import Session

from hub.database.models import RowSeed
from hub.office import Office


def keep(session: Session, office: Office, parcel: str, seed: bytes) -> None:
    """Keep a parcel's seed, wrapped, in the caller's transaction: that of its intent."""
    session.add(RowSeed(parcel=parcel, wrapped=office.ring.wrap(seed, _context(parcel))))


def seed(session: Session, office: Office, parcel: str) -> bytes | None:
    """Open a parcel's seed; None once it was deleted."""
    row = session.get(RowSeed, parcel)
    return None if row is None else office.ring.unwrap(row.wrapped, _context(parcel))


def _context(parcel: str) -> str:
    return f"rows/{parcel}"
