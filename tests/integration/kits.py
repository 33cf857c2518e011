"""Kits for tests: made from a real log in PostgreSQL, and damaged as somebody could who holds the file."""

import hashlib
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session

from benchmarks.synthetic_log import entries as synthetic
from hub.database.session import Database
from hub.kit.export import Kit, Period, write
from hub.ledger import store
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint, verifier_key
from hub.ledger.entry import Entry
from hub.ledger.store import Recorded
from hub.receipts import Place, issue
from hub.reports import COUNTS

ORIGIN = "hub.example/log"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RECEIPT_SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
OTHER = Ed25519PrivateKey.from_private_bytes(b"another key, for another history")
WITNESSES = {
    f"witness-{number}": Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3)
}
ALWAYS = Period()

Change = bytes | None | Callable[[bytes], bytes]
"""What becomes of a member: other bytes, none at all, or what a function makes of it."""


def fill(
    database: Database,
    count: int,
    seed: int = 1,
    *,
    at_once: int = 7,
    signer: Ed25519PrivateKey = SIGNER,
) -> list[Recorded]:
    """Log synthetic entries, some in each append, so that there are checkpoints of many sizes."""
    recorded: list[Recorded] = []
    waiting = list(synthetic(count, seed))
    while waiting:
        some, waiting = waiting[:at_once], waiting[at_once:]
        recorded += log(database, some, signer)
    return recorded


def log(database: Database, some: list[Entry], signer: Ed25519PrivateKey = SIGNER) -> list[Recorded]:
    """Append entries in a transaction of their own."""
    with Session(database.app) as session, session.begin():
        return store.append(session, signer, ORIGIN, some)


def make_kit(database: Database, target: Path, period: Period = ALWAYS) -> Kit:
    """Export what the database holds."""
    with database.audit() as session:
        return write(session, target, ORIGIN, period, lambda _: None)


def trust(log_key: Ed25519PrivateKey = SIGNER, *lines: str) -> str:
    """Write a trust file: the log's key, that of receipts, and more lines."""
    own = verifier_key(ORIGIN, log_key.public_key())
    receipts = verifier_key("receipts.hub.example", RECEIPT_SIGNER.public_key())
    return "\n".join(["# of the tests", f"log {own}", f"receipt {receipts}", *lines]) + "\n"


def policy(least: int) -> list[str]:
    """Write the lines of a policy: so many of the three witnesses."""
    lines = []
    for name, key in WITNESSES.items():
        encoded = b"\x04" + key.public_key().public_bytes_raw()
        lines.append(
            f"witness {name} {name}.example+{_cosigner_id(name).hex()}+{b64encode(encoded).decode()}"
        )
    return [*lines, f"group witnesses {least} {' '.join(WITNESSES)}", "quorum witnesses"]


def cosign(note: str, name: str, at: int = 1_741_100_000) -> str:
    """Add a witness's line to a checkpoint (C2SP tlog-cosignature)."""
    text = note.rpartition("\n\n")[0] + "\n"
    signature = WITNESSES[name].sign(f"cosignature/v1\ntime {at}\n{text}".encode())
    value = _cosigner_id(name) + at.to_bytes(8, "big") + signature
    return f"{note}— {name}.example {b64encode(value).decode()}\n"


def _cosigner_id(name: str) -> bytes:
    public = WITNESSES[name].public_key().public_bytes_raw()
    return hashlib.sha256(f"{name}.example\n".encode() + b"\x04" + public).digest()[:4]


def checkpoint(size: int, root: bytes, signer: Ed25519PrivateKey = SIGNER) -> str:
    """Sign a checkpoint, true or not."""
    return sign_checkpoint(Checkpoint(ORIGIN, size, root), signer)


def receipt(place: Recorded, submission: str, note: str) -> str:
    """Issue a receipt that quotes a place in the log."""
    return issue(
        RECEIPT_SIGNER,
        "receipt-1",
        kind="received",
        issuer="hub.example",
        audience="kreisvolkshochschule",
        submission=submission,
        agreement_id="E3",
        agreement_version="1.0.0",
        sha256="ab" * 32,
        counts=dict.fromkeys(COUNTS, 0),
        reasons={},
        log=Place(place.index, place.leaf_hash.hex(), note),
        issued_at=datetime(2025, 3, 4, 12, tzinfo=UTC),
    )


def members(kit: Path) -> dict[str, bytes]:
    """Read all members of a kit."""
    with zipfile.ZipFile(kit) as file:
        return {info.filename: file.read(info) for info in file.infolist()}


def changed(kit: Path, target: Path, changes: Mapping[str, Change]) -> Path:
    """Write a copy of a kit in which some members are others, new, or gone."""
    content = members(kit)
    for name, change in changes.items():
        if change is None:
            del content[name]
        else:
            content[name] = change if isinstance(change, bytes) else change(content[name])
    return packed(target, content.items())


def packed(target: Path, content: Iterable[tuple[str, bytes]]) -> Path:
    """Pack members into an archive."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in content:
            file.writestr(name, text)
    return target


def line(number: int, change: Callable[[bytes], bytes | None]) -> Callable[[bytes], bytes]:
    """Change one line (from 0) of a member; None takes it out."""

    def done(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        made = change(lines[number])
        lines[number : number + 1] = [] if made is None else [made]
        return b"".join(lines)

    return done


def flip(at: int) -> Callable[[bytes], bytes]:
    """Flip a bit of the byte at a place, from the end if negative."""

    def done(content: bytes) -> bytes:
        place = at % len(content)
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return done
