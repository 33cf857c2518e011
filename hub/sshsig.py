"""Signatures as ``ssh-keygen -Y sign`` makes them (OpenSSH's PROTOCOL.sshsig), for Ed25519 keys.

A signature is made under a namespace, so that one made for a login or for a program's release is never taken
for one made here. It is kept as base64 on one line; `armored` writes it as ssh-keygen reads it.
"""

import base64
import binascii
import hashlib
import textwrap
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from hub.errors import Refused

_MAGIC = b"SSHSIG"
_VERSION = (1).to_bytes(4, "big")
_KIND = b"ssh-ed25519"
_HASH = b"sha512"
_SIGNATURE_BYTES = 64
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


def sign(key: Ed25519PrivateKey, namespace: str, message: bytes) -> str:
    """Sign a message; the same message under the same key and namespace gives the same signature."""
    made = key.sign(_signed(namespace, message))
    blob = _head(_line(key.public_key()), namespace) + _string(_string(_KIND) + _string(made))
    return base64.b64encode(blob).decode("ascii")


def read_key(path: Path) -> Ed25519PrivateKey:
    """Read an Ed25519 private key in OpenSSH form without passphrase.

    Raises:
        Refused: ``staff.key``; with one under a passphrase or in an agent ssh-keygen itself signs.
    """
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(
            "staff.key",
            f"expected an Ed25519 private key in OpenSSH form without passphrase in {path}",
            "with any other key sign by ssh-keygen -Y sign: see --to-sign and --signature",
        )
    return key


def holds(public_key: str, namespace: str, message: bytes, signature: str) -> bool:
    """Tell whether this is the signature of a public key (OpenSSH form) over a message in a namespace."""
    try:
        blob = base64.b64decode(signature, validate=True)
        key = load_ssh_public_key(public_key.encode())
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return False
    if not isinstance(key, Ed25519PublicKey):
        return False
    made = blob[-_SIGNATURE_BYTES:]
    if blob != _head(_line(key), namespace) + _string(_string(_KIND) + _string(made)):
        return False
    try:
        key.verify(made, _signed(namespace, message))
    except InvalidSignature:
        return False
    return True


def armored(signature: str) -> str:
    """Write a signature as ``ssh-keygen -Y verify -s FILE`` reads it."""
    lines = "\n".join(textwrap.wrap(signature, 70))
    return f"{_BEGIN}\n{lines}\n{_END}\n"


def unarmored(text: str) -> str:
    """Read a signature from a file that ``ssh-keygen -Y sign`` wrote; "" where it is none."""
    lines = text.strip().splitlines()
    whole = lines[:1] == [_BEGIN] and lines[-1:] == [_END]
    return "".join(line.strip() for line in lines[1:-1]) if whole else ""


def _head(public_key: bytes, namespace: str) -> bytes:
    """Write everything before the signature itself; the empty string is reserved."""
    blob = base64.b64decode(public_key.split()[1])
    return _MAGIC + _VERSION + b"".join(_string(part) for part in (blob, namespace.encode(), b"", _HASH))


def _signed(namespace: str, message: bytes) -> bytes:
    parts = (namespace.encode(), b"", _HASH, hashlib.sha512(message).digest())
    return _MAGIC + b"".join(_string(part) for part in parts)


def _line(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content
