"""The cast: reference partners and staff, each with a key of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from connectors.drop.hostkey import host_key
from hub import staff, staging
from hub.demo.client import Client
from hub.office import Office
from hub.partners import add_key
from schemas.agreement import Agreement

REVIEWERS: Final = ("steward", "dpo")


@dataclass(frozen=True)
class Cast:
    """The clients of the partners by partner id, and the keys of the staff by name."""

    clients: Mapping[str, Client]
    keys: Mapping[str, Path]


def assemble(office: Office, agreements: list[Agreement]) -> Cast:
    """Make keys where none are, and make everybody known to the hub; doing it again changes nothing."""
    folder = office.settings.root / "demo"
    staging.make_folder(folder)
    partners = {partner.id: partner for one in agreements for partner in (one.sender, one.recipient)}
    keys = {name: _key(folder, name) for name in (*partners, *staff.LOGINS)}
    known_hosts = folder / "known_hosts"
    settings = office.settings
    public = host_key(settings.key_folder).export_public_key("openssh").decode("ascii")
    address = f"[{settings.drop_host}]:{settings.drop_port}"
    staging.replace(known_hosts, f"{address} {public}".encode())
    with office.database.transaction() as session:
        for partner in partners.values():
            public = _public(keys[partner.id])
            add_key(session, office, partner.id, partner.name, public, "demo")
    for name, role in staff.LOGINS.items():
        staff.ensure(office, name, role, _public(keys[name]))
    clients = {
        partner: Client(partner, keys[partner], known_hosts, settings.drop_host, settings.drop_port)
        for partner in partners
    }
    return Cast(clients, {name: keys[name] for name in staff.LOGINS})


def _key(folder: Path, name: str) -> Path:
    path = folder / f"{name}.key"
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        staging.write_once(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        staging.replace(path.with_suffix(".pub"), public + b"\n")
    return path


def _public(key: Path) -> str:
    return key.with_suffix(".pub").read_text(encoding="ascii")
