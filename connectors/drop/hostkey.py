"""The key by which partners know the drop again: made at its first start, kept in the key folder."""

import stat
from pathlib import Path
from typing import Final

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hub import staging
from hub.errors import Corrupt, Refused

NAME: Final = "drop-host-1.key"


def host_key(folder: Path) -> asyncssh.SSHKey:
    """Read the host key (Ed25519, OpenSSH form, mode 0600) from the key folder, made if it is not there.

    Raises:
        Refused: ``keys.mode`` if others may read it.
        Corrupt: ``keys.damaged``.
    """
    path = folder / NAME
    if not path.exists():
        fresh = Ed25519PrivateKey.generate()
        staging.write_once(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Refused(
            "keys.mode",
            f"expected {path} to be open to its owner only (0600)",
            f"Run: chmod 600 '{path}'. If others could read it, make a new one and tell the partners.",
        )
    try:
        return asyncssh.import_private_key(path.read_bytes())
    except asyncssh.KeyImportError:
        raise Corrupt(
            "keys.damaged",
            f"expected a private key in OpenSSH form in {path}, found other content",
            "Restore the key folder from its backup.",
        ) from None
