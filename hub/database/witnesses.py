"""The table of what witnesses elsewhere have put their name to; written once."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from hub.database.register import NOW, Base


class LedgerCosignature(Base):
    """A witness's cosignature on the checkpoint of one size, as the line that stands below the note.

    ``cosigned_at`` is the witness's own clock in seconds since 1970, as it signed it.
    """

    __tablename__ = "cosignature"
    __table_args__ = {"schema": "ledger"}  # noqa: RUF012 -- SQLAlchemy reads a dictionary
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    witness: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[bytes] = mapped_column(primary_key=True)
    cosigned_at: Mapped[int] = mapped_column(BigInteger)
    line: Mapped[str]
    recorded_at: Mapped[datetime] = mapped_column(server_default=NOW)
