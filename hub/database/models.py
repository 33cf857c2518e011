"""What the hub remembers, as tables.

Two schemas: ``hub`` (the exchange's state) and ``ledger`` (the transfer log, insert-only). No column holds a
value of a person's row in the clear: numbers are keyed MACs, rows lie in sealed files.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from hub.database.decisions import JournalBegun, ReviewDecision, Staff
from hub.database.proofs import LogReading, RowSeed
from hub.database.register import (
    HUB,
    NOW,
    AgreementVersion,
    Base,
    Consent,
    ConsentScope,
    EndedConsent,
    Partner,
    PartnerKey,
    Person,
    PersonNumber,
)
from hub.database.witnesses import LedgerCosignature

__all__ = [
    "AgreementVersion",
    "Base",
    "Clearance",
    "Consent",
    "ConsentScope",
    "DeliveredRows",
    "EndedConsent",
    "JournalBegun",
    "LedgerCheckpoint",
    "LedgerCosignature",
    "LedgerEntry",
    "LedgerNode",
    "LogReading",
    "Parcel",
    "Partner",
    "PartnerKey",
    "PayloadKey",
    "Person",
    "PersonNumber",
    "ReasonCount",
    "Receipt",
    "ReviewDecision",
    "RowSeed",
    "Staff",
    "StateRule",
    "StepResult",
    "Submission",
    "SubmissionHistory",
]

LEDGER = {"schema": "ledger"}


class StateRule(Base):
    """The transition table of hub.states, for the trigger that holds every change of state to it."""

    __tablename__ = "state_rule"
    __table_args__ = HUB
    source: Mapped[str] = mapped_column(primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)
    made_by: Mapped[str]


FATES_ADD_UP = "received = delivered + already_delivered + refused + withheld + quarantined"
COUNTED_STATES = "('protected', 'delivered', 'acknowledged', 'refused', 'quarantined')"


class Submission(Base):
    """A file that a sender handed in, and what became of its rows.

    ``fence`` counts the takers of the lease: a step's commit names the fence it holds and fails if another
    has taken over. Counts are null until known; from ``protected`` on they must add up. After a failure of
    the hub's own (``failures`` counts them since the last step that succeeded) it is left alone until
    ``not_before``; an alarm holds it (``held_by``, a code) until a steward takes it on. ``claimed_at`` tells
    when a run took it into its lot; null while it waits for one.
    """

    __tablename__ = "submission"
    __table_args__ = (
        ForeignKeyConstraint(
            ["agreement", "agreement_version"], [AgreementVersion.id, AgreementVersion.version]
        ),
        CheckConstraint(
            f"state NOT IN {COUNTED_STATES} OR coalesce({FATES_ADD_UP}, false)",
            name="rows_conserved",
        ),
        Index("submission_of_content", "agreement", "sha256"),
        Index("submission_open", "agreement", "state"),
        HUB,
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    agreement: Mapped[str]
    agreement_version: Mapped[str]
    sender: Mapped[str] = mapped_column(ForeignKey(Partner.id))
    sha256: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(server_default="received")
    reason: Mapped[str | None]
    notices: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    received: Mapped[int | None]
    delivered: Mapped[int | None]
    already_delivered: Mapped[int | None]
    refused: Mapped[int | None]
    withheld: Mapped[int | None]
    quarantined: Mapped[int | None]
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    lease_holder: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    not_before: Mapped[datetime | None]
    held_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    changed_at: Mapped[datetime] = mapped_column(server_default=NOW)
    claimed_at: Mapped[datetime | None]


class SubmissionHistory(Base):
    """Every change of a submission's state; written by a trigger."""

    __tablename__ = "submission_history"
    __table_args__ = HUB
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    submission: Mapped[str] = mapped_column(ForeignKey(Submission.id), index=True)
    source: Mapped[str | None]
    target: Mapped[str]
    fence: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(server_default=NOW)


class ReasonCount(Base):
    """How many rows met a fate for a reason; a deferred trigger holds the sums to the submission's counts."""

    __tablename__ = "reason_count"
    __table_args__ = (CheckConstraint("rows > 0", name="some_rows"), HUB)
    submission: Mapped[str] = mapped_column(ForeignKey(Submission.id), primary_key=True)
    fate: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    rows: Mapped[int]


class StepResult(Base):
    """What a step left: the folder of its sealed parts, and facts of counts and digests."""

    __tablename__ = "step_result"
    __table_args__ = HUB
    submission: Mapped[str] = mapped_column(ForeignKey(Submission.id), primary_key=True)
    step: Mapped[str] = mapped_column(primary_key=True)
    fence: Mapped[int] = mapped_column(BigInteger)
    parts: Mapped[int]
    facts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    seconds: Mapped[float]
    finished_at: Mapped[datetime] = mapped_column(server_default=NOW)


class PayloadKey(Base):
    """The key of one submission's sealed files, wrapped; deleting it shreds them."""

    __tablename__ = "payload_key"
    __table_args__ = HUB
    submission: Mapped[str] = mapped_column(ForeignKey(Submission.id), primary_key=True)
    wrapped: Mapped[bytes]


class Clearance(Base):
    """The frozen decision on every row of a submission (Freigabe); no later step runs without one.

    ``watermark`` is the consent change up to which it looked; ``digest`` covers the sealed decisions.
    """

    __tablename__ = "clearance"
    __table_args__ = (CheckConstraint("rows >= 0", name="rows_counted"), HUB)
    submission: Mapped[str] = mapped_column(ForeignKey(Submission.id), primary_key=True)
    fence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    agreement_digest: Mapped[str]
    legal_basis: Mapped[str]
    rows: Mapped[int]
    digest: Mapped[str]
    watermark: Mapped[int] = mapped_column(BigInteger)
    decided_at: Mapped[datetime]


class Parcel(Base):
    """A delivery (Sendung): intended in the log, then sent or stopped; one is alive per submission."""

    __tablename__ = "parcel"
    __table_args__ = (
        Index("one_live_parcel", "submission", unique=True, postgresql_where=text("state <> 'stopped'")),
        CheckConstraint("state IN ('intended', 'sent', 'stopped')", name="parcel_state"),
        HUB,
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    submission: Mapped[str] = mapped_column(ForeignKey(Submission.id), index=True)
    recipient: Mapped[str] = mapped_column(ForeignKey(Partner.id))
    attempt: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str]
    sha256: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int]
    state: Mapped[str] = mapped_column(server_default="intended")
    intent_index: Mapped[int] = mapped_column(BigInteger)
    outcome_index: Mapped[int | None] = mapped_column(BigInteger)
    sent_at: Mapped[datetime | None]
    collected_at: Mapped[datetime | None]


class DeliveredRows(Base):
    """Which rows an agreement has delivered: a sealed file of keyed row MACs per sent parcel."""

    __tablename__ = "delivered_rows"
    __table_args__ = HUB
    parcel: Mapped[str] = mapped_column(ForeignKey(Parcel.id), primary_key=True)
    agreement: Mapped[str] = mapped_column(index=True)
    position: Mapped[int] = mapped_column(BigInteger, Identity())
    rows: Mapped[int]
    wrapped_key: Mapped[bytes]


class Receipt(Base):
    """A signed receipt (RFC 8417) as given to the sender; it holds codes and counts only."""

    __tablename__ = "receipt"
    __table_args__ = HUB
    submission: Mapped[str] = mapped_column(ForeignKey(Submission.id), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str]
    log_index: Mapped[int] = mapped_column(BigInteger)
    issued_at: Mapped[datetime]


class LedgerEntry(Base):
    """One entry of the transfer log, as canonical JSON, with its leaf hash.

    At the end of its period the body is erased, and with it the submission (both null); the leaf hash stays.
    """

    __tablename__ = "entry"
    __table_args__ = (
        Index("entry_terms", text("ledger.terms(body)"), postgresql_using="gin"),
        Index("entry_of_kind", "kind", "index"),
        Index("entry_recorded", "recorded_at"),
        LEDGER,
    )
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    body: Mapped[bytes | None]
    leaf_hash: Mapped[bytes]
    kind: Mapped[str]
    submission: Mapped[str | None] = mapped_column(index=True)
    recorded_at: Mapped[datetime] = mapped_column(server_default=NOW)


class LedgerNode(Base):
    """The hash of a completed perfect subtree of 2**level leaves (level 1 and up)."""

    __tablename__ = "node"
    __table_args__ = LEDGER
    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes]


class LedgerCheckpoint(Base):
    """A signed checkpoint: size and root of the log as a C2SP note."""

    __tablename__ = "checkpoint"
    __table_args__ = LEDGER
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root: Mapped[bytes]
    note: Mapped[str]
    recorded_at: Mapped[datetime] = mapped_column(server_default=NOW)
