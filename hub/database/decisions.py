"""What the hub remembers of its own staff, of what two of them decide together, and of its journal."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from hub.database.register import HUB, NOW, Base


class Staff(Base):
    """A person who works with the hub, in one role. What was registered stands; only ``active`` ends.

    A trigger writes down when (``ended_at``). The transfer log names a person by the ``alias``, a random
    one, never by the name.
    """

    __tablename__ = "staff"
    __table_args__ = (
        CheckConstraint(
            "role IN ('steward', 'auditor', 'data_protection_officer', 'administrator')", name="staff_role"
        ),
        CheckConstraint("(public_key IS NULL) = (fingerprint IS NULL)", name="key_and_fingerprint"),
        Index("one_alias_each", "alias", unique=True),
        Index("one_key_one_person", "fingerprint", unique=True),
        HUB,
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str]
    role: Mapped[str]
    public_key: Mapped[str | None]
    fingerprint: Mapped[str | None]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    since: Mapped[datetime] = mapped_column(server_default=NOW)
    ended_at: Mapped[datetime | None]


class ReviewDecision(Base):
    """One person's word on one quarantine of a submission; written once, one a person, one a key or session.

    ``round`` counts the submission's quarantines, ``matter`` is the digest over all that is decided,
    ``evidence`` the signature over it (or the hub's seal of a login), ``grounds`` a code.
    """

    __tablename__ = "review_decision"
    __table_args__ = (
        CheckConstraint("verdict IN ('approve', 'reject')", name="review_verdict"),
        CheckConstraint("method IN ('key', 'login')", name="review_method"),
        Index("one_word_a_key", "submission", "round", "fingerprint", unique=True),
        HUB,
    )
    submission: Mapped[str] = mapped_column(ForeignKey("hub.submission.id"), primary_key=True)
    round: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    approver: Mapped[str] = mapped_column(ForeignKey(Staff.name), primary_key=True)
    role: Mapped[str]
    verdict: Mapped[str]
    grounds: Mapped[str]
    held_for: Mapped[str]
    matter: Mapped[str]
    method: Mapped[str]
    fingerprint: Mapped[str]
    evidence: Mapped[str]
    log_index: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]


class JournalBegun(Base):
    """Which journal belongs to this database, and from which size of the log on; the newest one counts."""

    __tablename__ = "journal"
    __table_args__ = HUB
    id: Mapped[str] = mapped_column(primary_key=True)
    log_size: Mapped[int] = mapped_column(BigInteger)
    begun_at: Mapped[datetime] = mapped_column(server_default=NOW)
