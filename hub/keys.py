"""The hub's keys: made once, read from a folder that only its user can open, used one purpose at a time.

Three symmetric roots (32 bytes: key encryption, identity, pseudonym) and two Ed25519 keys (transfer log,
receipts). No root is ever used itself: HKDF-SHA256 (RFC 5869) derives one key for each use from an ``info``
that names the use and holds every variable part behind its length, so that no two uses share a key.
"""

import base64
import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from hub.errors import Corrupt, Refused
from hub.staging import discard, disk_errors, make_folder, publish, write_once

VERSION = 1
ROLES = ("superuser", "owner", "application", "auditor", "airflow")
AIRFLOW_USES = ("fernet", "pages", "tokens")

_KEK, _IDENTITY, _PSEUDONYM = f"kek-{VERSION}.key", f"identity-{VERSION}.key", f"pseudonym-{VERSION}.key"
_LOG, _RECEIPT = f"log-{VERSION}.pem", f"receipt-{VERSION}.pem"
_SECRETS = (
    *(f"secrets/database-{role}.key" for role in ROLES),
    *(f"secrets/airflow-{use}.key" for use in AIRFLOW_USES),
)
_SYMMETRIC = (_KEK, _IDENTITY, _PSEUDONYM, *_SECRETS)
_SIGNING = (_LOG, _RECEIPT)
_INVENTORY = "inventory.txt"

_HEX_KEY = re.compile(rb"\A[0-9a-f]{64}\n?\Z")
_ROOT_BYTES = 32
_NONCE = 12
_WRAPPED = bytes([VERSION])
_ED25519 = b"\x01"  # C2SP signed-note, signature type of Ed25519


def create_keys(folder: Path) -> None:
    """Make every key that the hub needs in ``folder``, once; called again it changes nothing.

    Each key appears whole or not at all, is never replaced, and a creation that was killed is completed by
    the next call. The inventory, written last, remembers what has been made: a key that it lists and that is
    gone is not made anew, because whatever the lost one had sealed would silently become unreadable.

    Raises:
        Refused: ``keys.missing`` when a key made earlier is gone.
        Transient: ``disk.full`` or ``disk.write``.
    """
    make_folder(folder)
    required = (*_SYMMETRIC, *_SIGNING)
    with _alone(folder):
        inventory = folder / _INVENTORY
        known = inventory.read_text("ascii").split() if inventory.is_file() else []
        if lost := [name for name in known if not (folder / name).is_file()]:
            raise _missing(folder, lost)
        if set(known) >= set(required):
            return
        absent = [name for name in required if not (folder / name).is_file()]
        if not absent and not os.access(folder, os.W_OK):
            return  # a read-only credential mount that holds them all
        make_folder(folder / "secrets")
        for leftover in (*folder.glob(".*.new"), *(folder / "secrets").glob(".*.new")):
            discard(leftover)
        for name in absent:
            write_once(folder / name, _new_signing_key() if name in _SIGNING else _new_root())
        listed = "".join(f"{name}\n" for name in sorted({*known, *required}))
        following = folder / ".inventory.new"
        write_once(following, listed.encode("ascii"))
        publish(following, inventory)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two creations at once would each take the other's halves for a crash."""
    with disk_errors(folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with disk_errors(folder):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _new_root() -> bytes:
    return secrets.token_hex(_ROOT_BYTES).encode("ascii") + b"\n"


def _new_signing_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _missing(folder: Path, names: list[str]) -> Refused:
    return Refused(
        code="keys.missing",
        message=f"expected the keys {', '.join(names)} in {folder}, found none",
        remedy="For a new hub run `hub init`; otherwise restore the key folder from its backup.",
    )


def _present(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # there, but not ours to see: reading it says so
    return True


def _read(path: Path) -> bytes:
    """Read one key file, refusing it when anybody but its owner has any right to it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        cause = errno.errorcode.get(error.errno or 0, "unknown error")
        raise Refused(
            code="keys.unreadable",
            message=f"expected to read {path}, found {cause}",
            remedy="Run the hub as the user who owns the key folder.",
        ) from None
    with os.fdopen(handle, "rb") as source:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Refused(
                code="keys.mode",
                message=f"expected {path} to be open to its owner only (0600), found mode {mode:04o}",
                remedy=f"Run: chmod 600 '{path}'. If others could read it, treat the key as known to them.",
            )
        return source.read()


def _damaged(path: Path, kind: str) -> Corrupt:
    return Corrupt(
        code="keys.damaged",
        message=f"expected {kind} in {path}, found other content",
        remedy="Restore the key folder from its backup.",
    )


def _symmetric(path: Path) -> bytes:
    text = _read(path)
    if not _HEX_KEY.match(text):
        raise _damaged(path, "64 hexadecimal digits")
    return bytes.fromhex(text.decode("ascii"))


def _signing(path: Path) -> Ed25519PrivateKey:
    text = _read(path)
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(path, "an Ed25519 private key (PKCS8 PEM)")
    return key


def _info(use: str, *parts: str) -> bytes:
    """Name one use of a root: ``hub/<use>/v1/`` and each part behind its length in four bytes."""
    info = b"hub/" + use.encode("ascii") + b"/v1/"
    for part in parts:
        text = part.encode("utf-8")
        info += len(text).to_bytes(4, "big") + text
    return info


def _derive(root: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(root)


class KeyRing:
    """All keys of one hub, read and checked at once; it shows nothing of them in text, logs or pickles.

    Raises:
        Refused: ``keys.missing``, ``keys.unreadable``, or ``keys.mode`` for a file that others may touch.
        Corrupt: ``keys.damaged`` for a file that holds no key, ``keys.wrapped`` from ``unwrap``.
    """

    version = VERSION  # of the roots, written into each pseudonym

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if absent := [name for name in (*_SYMMETRIC, *_SIGNING) if not _present(folder / name)]:
            raise _missing(folder, absent)
        self._roots = {name: _symmetric(folder / name) for name in _SYMMETRIC}
        self._log = _signing(folder / _LOG)
        self._receipt = _signing(folder / _RECEIPT)

    def __repr__(self) -> str:
        return f"KeyRing({str(self._folder)!r})"

    def __reduce__(self) -> str:
        message = "a key ring is read from its folder in each process, never sent between them"
        raise TypeError(message)

    def wrap(self, key: bytes, context: str) -> bytes:
        """Seal another key for storage: version, 12-byte nonce, AES-256-GCM; opens under ``context`` only."""
        nonce = secrets.token_bytes(_NONCE)
        return _WRAPPED + nonce + self._wrapping(context).encrypt(nonce, key, _WRAPPED)

    def unwrap(self, blob: bytes, context: str) -> bytes:
        """Open what ``wrap`` sealed under this ``context``; Corrupt ``keys.wrapped`` for anything else."""
        if blob[:1] == _WRAPPED:
            nonce, sealed = blob[1 : 1 + _NONCE], blob[1 + _NONCE :]
            with contextlib.suppress(InvalidTag, ValueError):
                return self._wrapping(context).decrypt(nonce, sealed, _WRAPPED)
        raise Corrupt(
            code="keys.wrapped",
            message=f"expected a key wrapped for this use by key-encryption key {VERSION}, found another",
            remedy="Check that the key folder and the database belong to the same hub and the same backup.",
        )

    def _wrapping(self, context: str) -> AESGCM:
        return AESGCM(_derive(self._roots[_KEK], _info("wrap", context), 32))

    def number_key(self, space: str) -> bytes:
        """Derive the 32-byte MAC key of person numbers in one controller's ``space``."""
        return _derive(self._roots[_IDENTITY], _info("number", space), 32)

    def row_key(self, agreement_id: str) -> bytes:
        """Derive the 32-byte MAC key by which rows already delivered under an agreement are known again."""
        return _derive(self._roots[_IDENTITY], _info("row", agreement_id), 32)

    def pseudonym_key(self, recipient: str, purpose: str, epoch: int) -> bytes:
        """Derive the 64-byte AES-SIV key of one pseudonymisation domain (EDPB guidelines 01/2025)."""
        info = _info("pseudonym", str(VERSION), recipient, purpose, str(epoch))
        return _derive(self._roots[_PSEUDONYM], info, 64)

    def form_key(self) -> bytes:
        """Derive the 32-byte MAC key by which the pages know their own forms again."""
        return _derive(self._roots[_KEK], _info("form"), 32)

    def log_signer(self) -> Ed25519PrivateKey:
        """Return the key that signs checkpoints of the transfer log."""
        return self._log

    def receipt_signer(self) -> Ed25519PrivateKey:
        """Return the key that signs receipts."""
        return self._receipt

    def log_public(self) -> Ed25519PublicKey:
        """Return what verifies checkpoints."""
        return self._log.public_key()

    def receipt_public(self) -> Ed25519PublicKey:
        """Return what verifies receipts."""
        return self._receipt.public_key()

    def database_secret(self, role: str) -> str:
        """Return the password of one database role out of ``ROLES``."""
        return self._roots[f"secrets/database-{role}.key"].hex()

    def airflow_secret(self, use: str) -> bytes:
        """Return Airflow's 32 secret bytes for one of ``AIRFLOW_USES``; they open nothing of the hub."""
        return self._roots[f"secrets/airflow-{use}.key"]

    def verifier_key(self, origin: str) -> str:
        """Write the log's public key for the world: ``origin+hash+base64`` (C2SP signed-note)."""
        if not origin or re.search(r"[\s+]", origin):
            message = "a log origin is not empty and has neither blanks nor a plus sign"
            raise ValueError(message)
        public = _ED25519 + self.log_public().public_bytes_raw()
        key_id = hashlib.sha256(origin.encode("utf-8") + b"\n" + public).digest()[:4]
        return f"{origin}+{key_id.hex()}+{base64.b64encode(public).decode('ascii')}"

    def receipt_key_text(self) -> str:
        """Write the receipts' public key for the world, as PEM (SubjectPublicKeyInfo)."""
        text = self.receipt_public().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return text.decode("ascii")
