"""The registry: which agreements are in force and which partners take part."""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from hub.database.models import AgreementVersion, Partner, PartnerKey
from hub.errors import Corrupt, Refused
from schemas.agreement import Agreement, AgreementError, load_agreement

SHIPPED = Path(__file__).parent.parent / "schemas" / "agreements"


@dataclass(frozen=True)
class Filed:
    """An agreement as it stands in the registry."""

    agreement: Agreement
    status: str


def read_agreements(paths: Iterable[Path]) -> list[Agreement]:
    """Read agreement files, and folders of them.

    Raises:
        Refused: ``agreement.file`` naming file, line, place and remedy of the first problem of each file.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]
    if not files:
        raise Refused("agreement.file", "no agreement file is there", "name a YAML file or a folder of them")
    agreements, problems = [], []
    for file in files:
        try:
            agreements.append(load_agreement(file))
        except AgreementError as error:
            problems += list(error.problems)
    if problems:
        told = "; ".join(f"{p.file}:{p.line}: {p.place}: {p.message}" for p in problems)
        raise Refused("agreement.file", told, problems[0].remedy)
    return agreements


def file_agreement(session: Session, agreement: Agreement) -> bool:
    """Put one version of an agreement in force, with its partners; True if it was not in force before.

    A version, once filed, never changes (Refused ``agreement.changed``); an older active version is retired.
    """
    for partner in (agreement.sender, agreement.recipient):
        session.execute(
            insert(Partner)
            .values(id=partner.id, name=partner.name)
            .on_conflict_do_nothing(index_elements=["id"])
        )
    row = session.get(AgreementVersion, (agreement.id, agreement.version), with_for_update=True)
    if row is not None:
        if row.digest != agreement.digest:
            raise Refused(
                "agreement.changed",
                f"version {agreement.version} of {agreement.id} is filed with another content",
                "give the changed agreement a new version",
            )
        return False
    older = select(AgreementVersion).where(
        AgreementVersion.id == agreement.id, AgreementVersion.status == "active"
    )
    for version in session.scalars(older.with_for_update()):
        version.status = "retired"
    session.flush()
    session.add(
        AgreementVersion(
            id=agreement.id,
            version=agreement.version,
            digest=agreement.digest,
            body=agreement.model_dump(mode="json"),
            status=agreement.status,
        )
    )
    return True


def active(session: Session, agreement: str) -> Agreement:
    """Give the active version of an agreement.

    Raises:
        Refused: ``file.agreement`` if there is none.
    """
    row = session.scalar(
        select(AgreementVersion).where(AgreementVersion.id == agreement, AgreementVersion.status == "active")
    )
    if row is None:
        raise Refused(
            "file.agreement",
            f"no agreement {agreement!r} is active here",
            "see: hub agreement list",
        )
    return _read(row)


def version(session: Session, agreement: str, number: str) -> Agreement:
    """Give one filed version of an agreement, active or not."""
    row = session.get(AgreementVersion, (agreement, number))
    if row is None:
        raise Refused("file.agreement", f"{agreement} {number} is not filed here", "see: hub agreement list")
    return _read(row)


def still_active(session: Session, agreement: Agreement) -> bool:
    """Tell whether this very version is in force now."""
    row = session.get(AgreementVersion, (agreement.id, agreement.version))
    return row is not None and row.status == "active" and row.digest == agreement.digest


def listed(session: Session) -> list[Filed]:
    """List every filed version, oldest first."""
    rows = session.scalars(
        select(AgreementVersion).order_by(AgreementVersion.id, AgreementVersion.activated_at)
    )
    return [Filed(_read(row), row.status) for row in rows]


@lru_cache(maxsize=64)
def _parsed(body: str) -> tuple[Agreement, str]:
    """Read an agreement (frozen as it is) and its digest; each file that arrives asks for one."""
    agreement = Agreement.model_validate_json(body)  # strict: JSON types only
    return agreement, agreement.digest


def _read(row: AgreementVersion) -> Agreement:
    agreement, digest = _parsed(json.dumps(row.body))
    if digest != row.digest:
        raise Corrupt(
            "agreement.digest",
            f"the filed content of {row.id} {row.version} does not have its digest",
            "restore the registry from a backup and find out who wrote to it",
        )
    return agreement


def fingerprint(public_key: str) -> str:
    """Give the SHA256 fingerprint of an OpenSSH public key, as ssh-keygen prints it.

    Raises:
        Refused: ``partner.key`` if it is none.
    """
    try:
        load_ssh_public_key(public_key.encode())
        blob = base64.b64decode(public_key.split()[1])
    except (ValueError, IndexError, UnsupportedAlgorithm):
        raise Refused(
            "partner.key",
            "expected a public key in OpenSSH form (ssh-ed25519 AAAA…)",
            "send the file that ends in .pub",
        ) from None
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def add_partner_key(session: Session, partner: str, name: str | None, public_key: str, key_name: str) -> str:
    """Make a partner known (or add a key to a known one) and return the key's fingerprint."""
    mark = fingerprint(public_key)
    session.execute(
        insert(Partner).values(id=partner, name=name or partner).on_conflict_do_nothing(index_elements=["id"])
    )
    held = session.get(PartnerKey, mark)
    if held is not None and held.partner_id != partner:
        raise Refused(
            "partner.key", "this key belongs to another partner", "make a key of your own: ssh-keygen"
        )
    if held is None:
        key = " ".join(public_key.split()[:2])
        session.add(PartnerKey(fingerprint=mark, partner_id=partner, name=key_name, public_key=key))
    return mark


def partner_of_key(session: Session, public_key: str) -> str:
    """Tell whose key this is.

    Raises:
        Refused: ``partner.unknown`` if it is nobody's, revoked, or the partner's who is suspended.
    """
    row = session.get(PartnerKey, fingerprint(public_key))
    partner = session.get(Partner, row.partner_id) if row is not None and row.revoked_at is None else None
    if partner is None or partner.status != "active":
        raise Refused(
            "partner.unknown", "this key belongs to no active partner", "register it: hub partner add"
        )
    return partner.id


def partners(session: Session) -> list[tuple[str, str, str, list[str]]]:
    """List partners: id, name, status and the fingerprints of their keys."""
    keys = session.execute(
        select(PartnerKey.partner_id, PartnerKey.fingerprint).where(PartnerKey.revoked_at.is_(None))
    ).all()
    return [
        (row.id, row.name, row.status, [mark for partner, mark in keys if partner == row.id])
        for row in session.scalars(select(Partner).order_by(Partner.id))
    ]
