"""Keys as OpenSSH writes them."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from hub.errors import Refused


def public_key_of(private_key: Path) -> str:
    """Read a private key without passphrase and give its public key; only who has the one can show the other.

    Raises:
        Refused: ``partner.key``.
    """
    try:
        key = load_ssh_private_key(private_key.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError):
        raise Refused(
            "partner.key",
            f"expected a private key in OpenSSH form without passphrase in {private_key}",
            "make one with: ssh-keygen -t ed25519",
        ) from None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
