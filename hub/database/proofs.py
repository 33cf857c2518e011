"""Tables about the transfer log, apart from it: what opens row commitments, and who is reading at present."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from hub.database.register import HUB, NOW, Base


class RowSeed(Base):
    """The seed of one parcel's row salts, wrapped; deleting it shreds the way from rows to the log."""

    __tablename__ = "row_seed"
    __table_args__ = HUB
    parcel: Mapped[str] = mapped_column(ForeignKey("hub.parcel.id"), primary_key=True)
    wrapped: Mapped[bytes]
    made_at: Mapped[datetime] = mapped_column(server_default=NOW, index=True)


class LogReading(Base):
    """One reader who reads the log for one purpose within a few minutes; gone once the log tells of it.

    ``asked`` are the criteria as canonical JSON, ``seen`` the indexes of the entries that were shown, and
    ``log_index`` is where the log tells of its beginning.
    """

    __tablename__ = "log_reading"
    __table_args__ = (Index("one_reading_each", "role", "reader", "purpose", "asked", unique=True), HUB)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    role: Mapped[str]
    reader: Mapped[str]
    purpose: Mapped[str]
    asked: Mapped[str]
    readings: Mapped[int]
    seen: Mapped[str]
    log_index: Mapped[int] = mapped_column(BigInteger)
    opened_at: Mapped[datetime]
    last_at: Mapped[datetime]
