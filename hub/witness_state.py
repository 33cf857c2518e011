"""What a witness keeps in its own folder: its key, the log's key, the last checkpoint it cosigned, evidence.

The folder is the witness's memory: whoever rolls it back makes it forget. It needs no hub beside it.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hub import disk
from hub.errors import Corrupt, Refused, Transient
from hub.ledger.evidence import Promise, Unsound
from hub.ledger.notes import LOG, WITNESS, VerifierKey, cosigned_at, is_name, read_checkpoint, read_key

KEY, OWN, WATCHED, LAST, OLDER = "key.pem", "witness.vkey", "log.vkey", "checkpoint", "older-since"
EVIDENCE = "evidence"
_OPEN_TO_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Kept:
    """The checkpoint that the witness cosigned last: the note with both signatures, and when that was."""

    note: str
    promise: Promise
    seconds: int


@dataclass(frozen=True)
class State:
    """A witness's folder, held alone while it is open."""

    folder: Path
    signer: Ed25519PrivateKey
    key: VerifierKey
    log: VerifierKey

    def kept(self) -> Kept | None:
        """Read what was cosigned last; None before the first time. Raises `Corrupt` ``witness.state``."""
        file = self.folder / LAST
        if not file.exists():
            return None
        try:
            note = file.read_text(encoding="utf-8")
            promise, seconds = read_checkpoint(note, self.log), cosigned_at(note, self.key)
        except (Unsound, UnicodeDecodeError):
            seconds = None
        if seconds is None:
            raise _spoilt(file, "the checkpoint that this witness cosigned last")
        return Kept(note, promise, seconds)

    def keep(self, note: str) -> None:
        """Remember a cosigned checkpoint, durably, before anybody is given the cosignature."""
        disk.replace(self.folder / LAST, note.encode())

    def older_since(self, seconds: int) -> int:
        """Tell since when the log has served less than it once did, beginning now if that is new."""
        file = self.folder / OLDER
        if not file.exists():
            disk.replace(file, f"{seconds}\n".encode())
        try:
            return int(file.read_text(encoding="ascii"))
        except ValueError:
            raise _spoilt(file, "a time in seconds") from None

    def no_longer_older(self) -> None:
        """Forget that the log served less for a while."""
        if (self.folder / OLDER).exists():
            disk.discard(self.folder / OLDER)

    def keep_evidence(self, code: str, files: Mapping[str, bytes]) -> Path:
        """Keep both notes and what else tells of a finding; the same finding is kept once."""
        digest = sha256(b"".join(name.encode() + content for name, content in sorted(files.items())))
        folder = self.folder / EVIDENCE / f"{code}-{digest.hexdigest()[:12]}"
        for name, content in files.items():
            file = folder / name
            if not file.exists():
                disk.make_folder(file.parent)
                disk.write_once(file, content)
        return folder


@contextlib.contextmanager
def open_state(folder: Path, *, name: str | None = None, log: VerifierKey | None = None) -> Iterator[State]:
    """Open a witness's folder; at the first time a key is made under ``name`` and the log's key remembered.

    Raises:
        Refused: ``witness.new`` when the first run lacks name or key of the log, ``witness.name`` and
            ``witness.log`` when a later one gives another, ``witness.mode`` for a key that others may touch.
        Transient: ``witness.busy`` while another run holds the folder.
        Corrupt: ``witness.state`` when a file is not what the witness wrote.
    """
    disk.make_folder(folder)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another run of the witness is using {folder}"
            raise Transient("witness.busy", message, "wait for its end, or stop it") from None
        signer, key = _own(folder, name)
        yield State(folder, signer, key, _watched(folder, log))
    finally:
        os.close(handle)


def _own(folder: Path, name: str | None) -> tuple[Ed25519PrivateKey, VerifierKey]:
    file, told = folder / KEY, folder / OWN
    if not told.exists():
        if name is None:
            message = "expected a name for the new witness, found none"
            raise Refused("witness.new", message, "give --name, such as jobcenter.example/witness")
        if not is_name(name):
            message = "expected a name without blanks and plus signs, found another"
            raise Refused("witness.name", message, "choose a name such as jobcenter.example/witness")
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        disk.write_once(file, pem)
        signer = _read_private(file)
        key = VerifierKey(name, WITNESS, signer.public_key().public_bytes_raw())
        disk.write_once(told, f"{key.text}\n".encode())
        return signer, key
    signer, key = _read_private(file), _read_public(told, WITNESS)
    if key.raw != signer.public_key().public_bytes_raw():
        raise _spoilt(told, "the public half of this witness's key")
    if name not in {None, key.name}:
        message = f"expected the witness {key.name}, whose folder this is, got another name"
        raise Refused("witness.name", message, "leave --name out, or give the new witness its own folder")
    return signer, key


def _watched(folder: Path, log: VerifierKey | None) -> VerifierKey:
    file = folder / WATCHED
    if not file.exists():
        if log is None:
            message = "expected the key of the log to watch, found none"
            raise Refused("witness.new", message, "give --log-key or --policy; the hub's auditor has both")
        disk.write_once(file, f"{log.text}\n".encode())
    known = _read_public(file, LOG)
    if log not in {None, known}:
        message = f"expected the log {known.name} under the key of the first run, got another"
        remedy = "watch another log in another folder; a log that changed its key needs a new witness folder"
        raise Refused("witness.log", message, remedy)
    return known


def _read_private(file: Path) -> Ed25519PrivateKey:
    try:
        mode = file.stat().st_mode & _OPEN_TO_OTHERS
        found = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise _spoilt(file, "the witness's private key") from None
    if mode:
        message = f"expected {file} to be open to its owner only (0600)"
        raise Refused("witness.mode", message, "run chmod 600; if others could read it, make a new witness")
    if not isinstance(found, Ed25519PrivateKey):
        raise _spoilt(file, "an Ed25519 private key")
    return found


def _read_public(file: Path, kind: int) -> VerifierKey:
    try:
        return read_key(file.read_text(encoding="utf-8").removesuffix("\n"), kind)
    except (Unsound, OSError, UnicodeDecodeError):
        raise _spoilt(file, "a verifier key") from None


def _spoilt(file: Path, expected: str) -> Corrupt:
    message = f"expected {expected} in {file}, found other content"
    return Corrupt("witness.state", message, "restore the folder from its newest backup, never an older one")
