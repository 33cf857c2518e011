"""The hub's own staff: who works with it, in which role, and by which key they prove who they are.

One person has one role, and one key belongs to one person; PostgreSQL holds both. Whoever is suspended stays
so: a person who has lost a key begins anew under another name. The transfer log knows people by aliases.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from sqlalchemy import select
from sqlalchemy.orm import Session

from hub import logbook, registry
from hub.case import now
from hub.database.models import PartnerKey, Staff
from hub.errors import Refused
from hub.ledger.entry import Actor, Entry
from hub.office import Office
from hub.roles import LOGINS, Role

__all__ = ["LOGINS", "Member", "Role", "add", "ensure", "listed", "of_key", "role_of", "suspend", "unknown"]

ADMINISTRATOR = Actor(role="administrator", id="hub-staff")
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U to misread


@dataclass(frozen=True)
class Member:
    """A member of staff; ``alias`` is the name in the transfer log."""

    name: str
    alias: str
    role: Role
    fingerprint: str | None
    active: bool
    since: datetime


def add(session: Session, office: Office, name: str, role: Role, public_key: str | None = None) -> Member:
    """Register a person in one role, or give a registered one the first key; again it changes nothing.

    Args:
        session: in whose transaction the log tells of it as well.
        office: gives the log's key.
        name: the user name, as in Airflow's login.
        role: the one role.
        public_key: an Ed25519 key in OpenSSH form, with which decisions are signed.

    Raises:
        Refused: ``staff.name``, ``staff.role`` for a person of another role, ``staff.suspended``,
            ``staff.key`` for what is no such key, somebody else's, or a second one.
    """
    if not _NAME.fullmatch(name):
        raise Refused(
            "staff.name",
            "expected a user name of small letters, digits, dots and hyphens",
            "choose a user name such as m.weber",
        )
    mark = _fingerprint(public_key) if public_key is not None else None
    row = session.get(Staff, name, with_for_update=True)
    if row is not None:
        _must_fit(row, role, mark)
    if mark is not None:
        _must_be_free(session, name, mark)
    if row is not None and mark in (None, row.fingerprint):
        return _member(row)
    if row is None:
        alias = "M-" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
        row = Staff(name=name, alias=alias, role=role.value, active=True, since=now(session))
        session.add(row)
    if public_key is not None:
        row.public_key, row.fingerprint = " ".join(public_key.split()[:2]), mark
    session.flush()
    _tell(session, office, row, "staff_added")
    return _member(row)


def ensure(office: Office, name: str, role: Role, public_key: str | None = None) -> Member:
    """Register a person unless that is done, in a transaction of its own; raises as `add` does."""
    with office.database.transaction() as session:
        return add(session, office, name, Role(role), public_key)


def suspend(session: Session, office: Office, name: str) -> Member:
    """End a person's rights for good: the word that was given for a matter not yet sent counts no more.

    Raises:
        Refused: ``staff.unknown``.
    """
    row = session.get(Staff, name, with_for_update=True)
    if row is None:
        raise unknown(name)
    if row.active:
        row.active = False
        session.flush()
        _tell(session, office, row, "staff_suspended")
    return _member(row)


def role_of(session: Session, name: str) -> Role | None:
    """Tell the role of a user name; None for one that is unknown or suspended."""
    row = session.get(Staff, name)
    return Role(row.role) if row is not None and row.active else None


def of_key(session: Session, public_key: str) -> Member | None:
    """Tell whose key this is; None if it is nobody's who is active.

    Raises:
        Refused: ``staff.key`` for what is no Ed25519 key.
    """
    row = session.scalar(select(Staff).where(Staff.fingerprint == _fingerprint(public_key)))
    return _member(row) if row is not None and row.active else None


def listed(session: Session) -> list[Member]:
    """List everybody, the suspended as well, by name."""
    return [_member(row) for row in session.scalars(select(Staff).order_by(Staff.name))]


def unknown(name: str) -> Refused:
    """Say that nobody active goes by a user name."""
    return Refused(
        "staff.unknown", f"nobody named {name!r} works here at present", "see: hub staff list, hub staff add"
    )


def _must_fit(row: Staff, role: Role, mark: str | None) -> None:
    if not row.active:
        raise Refused("staff.suspended", f"{row.name} is suspended", "register the person under a new name")
    if row.role != role:
        raise Refused(
            "staff.role",
            f"{row.name} is registered as {row.role}, expected no second role",
            "one person has one role; choose another name for another person",
        )
    if mark is not None and row.fingerprint not in (None, mark):
        raise Refused(
            "staff.key",
            f"{row.name} has another key already",
            "a key that is lost ends with its name: hub staff suspend, then register under a new name",
        )


def _must_be_free(session: Session, name: str, mark: str) -> None:
    held = session.scalar(select(Staff.name).where(Staff.fingerprint == mark))
    if held not in (None, name) or session.get(PartnerKey, mark) is not None:
        raise Refused(
            "staff.key", "this key belongs to somebody else", "make a key of your own: ssh-keygen -t ed25519"
        )


def _fingerprint(public_key: str) -> str:
    try:
        sound = isinstance(load_ssh_public_key(public_key.strip().encode()), Ed25519PublicKey)
    except (ValueError, UnsupportedAlgorithm):
        sound = False
    if not sound:
        raise Refused(
            "staff.key",
            "expected an Ed25519 public key in OpenSSH form (ssh-ed25519 AAAA…)",
            "make one with: ssh-keygen -t ed25519, and give the file that ends in .pub",
        )
    return registry.fingerprint(public_key)


def _tell(session: Session, office: Office, row: Staff, reason: str) -> None:
    details: dict[str, str | int] = {"staff": row.alias, "role": row.role}
    if row.fingerprint is not None:
        details["fingerprint"] = row.fingerprint
    told = Entry(kind="key", time=now(session), actor=ADMINISTRATOR, reason=reason, details=details)
    logbook.append(session, office, [told])


def _member(row: Staff) -> Member:
    return Member(row.name, row.alias, Role(row.role), row.fingerprint, row.active, row.since)
