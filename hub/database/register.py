"""What the hub remembers of those who take part: partners, agreements, persons and their consents.

No column names a person: numbers and references are keyed MACs, a person is a random id.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

HUB = {"schema": "hub"}
Instant = DateTime(timezone=True)
NOW = func.clock_timestamp()


class Base(DeclarativeBase):
    """The hub's tables."""

    type_annotation_map = {datetime: Instant, str: Text, bytes: LargeBinary, dict[str, Any]: JSONB}  # noqa: RUF012


class Partner(Base):
    """A sender or recipient; suspended partners neither send nor fetch."""

    __tablename__ = "partner"
    __table_args__ = HUB
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class PartnerKey(Base):
    """A public key (OpenSSH form) by which a partner proves who it is."""

    __tablename__ = "partner_key"
    __table_args__ = HUB
    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    partner_id: Mapped[str] = mapped_column(ForeignKey(Partner.id))
    name: Mapped[str]
    public_key: Mapped[str]
    added_at: Mapped[datetime] = mapped_column(server_default=NOW)
    revoked_at: Mapped[datetime | None]


class AgreementVersion(Base):
    """One version of an agreement as it was activated; its body never changes (a trigger holds it)."""

    __tablename__ = "agreement"
    __table_args__ = (
        Index("one_active_version", "id", unique=True, postgresql_where=text("status = 'active'")),
        HUB,
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    body: Mapped[dict[str, Any]]
    status: Mapped[str]
    activated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Person(Base):
    """A person in one controller's space: a random 128-bit id, nothing else."""

    __tablename__ = "person"
    __table_args__ = HUB
    id: Mapped[bytes] = mapped_column(primary_key=True)
    space: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class PersonNumber(Base):
    """An agency's own number of a person, held only as a keyed MAC."""

    __tablename__ = "person_number"
    __table_args__ = HUB
    space: Mapped[str] = mapped_column(primary_key=True)
    mac: Mapped[bytes] = mapped_column(primary_key=True)
    person_id: Mapped[bytes] = mapped_column(ForeignKey(Person.id), index=True)


class ConsentScope(Base):
    """What a consent allows: a template's exact text, one recipient, one purpose, a closed list of fields."""

    __tablename__ = "consent_scope"
    __table_args__ = (
        Index("scope_once", "template", "recipient", "purpose", "fields", unique=True),
        HUB,
    )
    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    template: Mapped[str]
    recipient: Mapped[str]
    purpose: Mapped[str]
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text))


class Consent(Base):
    """One person's consent. Only its withdrawal changes it; ``change`` orders all changes (never a clock)."""

    __tablename__ = "consent"
    __table_args__ = (
        Index("consent_reference", "collector", "reference_mac", unique=True),
        Index("consent_of_person", "person_id", "scope_id"),
        Index("consent_change", "change"),
        HUB,
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    collector: Mapped[str] = mapped_column(ForeignKey(Partner.id))
    reference_mac: Mapped[bytes]
    person_id: Mapped[bytes] = mapped_column(ForeignKey(Person.id))
    scope_id: Mapped[int] = mapped_column(ForeignKey(ConsentScope.id))
    language: Mapped[str]
    form: Mapped[str]
    evidence_mac: Mapped[bytes | None]
    given_at: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]
    recorded_at: Mapped[datetime] = mapped_column(server_default=NOW)
    change: Mapped[int] = mapped_column(BigInteger, server_default=text("nextval('hub.consent_change_seq')"))


class EndedConsent(Base):
    """The reference of a withdrawn consent that was deleted, so that no old file brings it back."""

    __tablename__ = "ended_consent"
    __table_args__ = HUB
    collector: Mapped[str] = mapped_column(ForeignKey(Partner.id), primary_key=True)
    reference_mac: Mapped[bytes] = mapped_column(primary_key=True)
