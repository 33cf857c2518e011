"""Signed checkpoints of the transfer log, in the formats of C2SP: signed-note and tlog-checkpoint (both v1).

A note is a text with signature lines below it; a checkpoint is a note whose text tells a log's origin, size
and root. Keys are Ed25519, named like the origin; the id of a key is
SHA-256(name || LF || 0x01 || public key)[:4].
"""

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.errors import Corrupt
from hub.ledger.tree import EMPTY_ROOT, HASH_BYTES

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_MOST_SIGNATURES = 100
_SIZE = re.compile(r"\A(?:0|[1-9][0-9]{0,18})\Z")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")  # and what UTF-8 cannot write
_REMEDY = "Ask the log's operator for the checkpoint again and compare it with one you kept earlier."


@dataclass(frozen=True)
class Signature:
    """One signature line: the key's name and id, and what it signed with."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True)
class Note:
    """A parsed note: its text with the final newline, and its signatures, none of them checked yet."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A log's promise: at this size its root is this hash (32 bytes). Extension lines are only carried."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text that is signed."""
        lines = [self.origin, str(self.size), b64encode(self.root).decode(), *self.extensions]
        return "".join(f"{line}\n" for line in lines)


def key_id(name: str, public_key: Ed25519PublicKey) -> bytes:
    """Compute the 4 bytes by which signature lines name an Ed25519 key (C2SP signed-note, Signatures)."""
    return sha256(name.encode() + b"\n" + _encoded(public_key)).digest()[:_KEY_ID_BYTES]


def verifier_key(name: str, public_key: Ed25519PublicKey) -> str:
    """Write a public key as Go's sumdb/note and its kin read it: ``name+keyid+base64(0x01 || key)``."""
    return f"{name}+{key_id(name, public_key).hex()}+{b64encode(_encoded(public_key)).decode()}"


def sign_note(text: str, name: str, signer: Ed25519PrivateKey) -> str:
    """Sign a text that ends with a newline; Ed25519 is deterministic, so the same input gives the same note.

    Raises `Corrupt` when the text or the name could not be read back from the note.
    """
    if not text.endswith("\n") or _CONTROL.search(text) or not _is_name(name):
        raise _malformed(expected="a text ending in a newline, no control characters, a name without blanks")
    value = key_id(name, signer.public_key()) + signer.sign(text.encode())
    return f"{text}\n— {name} {b64encode(value).decode()}\n"


def parse_note(note: str) -> Note:
    """Take a signed note apart, strictly, no signature checked. Raises `Corrupt` when it is malformed."""
    if _CONTROL.search(note) or not note.endswith("\n"):
        raise _malformed(expected="lines that end in a newline, and no control characters")
    text, separator, below = note.rpartition("\n\n")
    lines = below[:-1].split("\n")
    if not separator or len(lines) > _MOST_SIGNATURES:
        raise _malformed(expected=f"a text, an empty line, and 1 to {_MOST_SIGNATURES} signature lines")
    return Note(text + "\n", tuple(_signature(line) for line in lines))


def open_note(note: str, name: str, public_key: Ed25519PublicKey) -> Note:
    """Parse a note and prove that the named key signed it; C2SP has other keys' signatures ignored.

    Raises `Corrupt` when the note is malformed, unsigned by that key, or signed wrongly.
    """
    opened = parse_note(note)
    own = [s for s in opened.signatures if (s.name, s.key_id) == (name, key_id(name, public_key))]
    if not own:
        message = f"expected a signature by {name} with key id {key_id(name, public_key).hex()}, found none"
        raise Corrupt(code="checkpoint.signature", message=message, remedy=_REMEDY)
    for signature in own:
        try:
            public_key.verify(signature.value, opened.text.encode())
        except InvalidSignature:
            message = f"the signature by {name} does not fit the text above it"
            raise Corrupt(code="checkpoint.signature", message=message, remedy=_REMEDY) from None
    return opened


def sign_checkpoint(checkpoint: Checkpoint, signer: Ed25519PrivateKey) -> str:
    """Write and sign a checkpoint; the key is named like the origin. Raises `Corrupt` if impossible."""
    read_text(checkpoint.text)
    return sign_note(checkpoint.text, checkpoint.origin, signer)


def read_text(text: str) -> Checkpoint:
    """Read the text of a checkpoint, strictly. Raises `Corrupt` when it is malformed."""
    lines = text.split("\n")
    if lines.pop() or len(lines) < 3 or not all(lines):  # noqa: PLR2004 -- origin, size, root
        raise _malformed(expected="at least three lines, none empty: origin, size, root")
    origin, size, root, *extensions = lines
    if not _SIZE.match(size):
        raise _malformed(expected="the size as a decimal number without leading zeros")
    hashed = read_base64(root)
    if len(hashed) != HASH_BYTES or (hashed == EMPTY_ROOT) != (size == "0"):
        raise _malformed(expected=f"a root of {HASH_BYTES} bytes, that of the empty tree at size 0 only")
    return Checkpoint(origin, int(size), hashed, tuple(extensions))


def open_checkpoint(note: str, origin: str, public_key: Ed25519PublicKey) -> Checkpoint:
    """Read a checkpoint and prove that the log of this origin signed it. Raises `Corrupt` otherwise."""
    checkpoint = read_text(open_note(note, origin, public_key).text)
    if checkpoint.origin != origin:
        message = f"expected a checkpoint of {origin}, found another log's"
        raise Corrupt(code="checkpoint.origin", message=message, remedy=_REMEDY)
    return checkpoint


def _signature(line: str) -> Signature:
    mark, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    value = read_base64(encoded)
    if mark != "—" or not _is_name(name) or len(value) <= _KEY_ID_BYTES:
        raise _malformed(expected="signature lines of the form: — name base64(key id || signature)")
    return Signature(name, value[:_KEY_ID_BYTES], value[_KEY_ID_BYTES:])


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(sign.isspace() for sign in name)


def _encoded(public_key: Ed25519PublicKey) -> bytes:
    return _ED25519 + public_key.public_bytes_raw()


def read_base64(text: str) -> bytes:
    """Decode standard base64 in its one canonical spelling. Raises `Corrupt` otherwise."""
    try:
        value = b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise _malformed(expected="standard base64 (RFC 4648, section 4)") from None
    if b64encode(value).decode() != text:  # unused bits must be zero, or one root had several spellings
        raise _malformed(expected="base64 in its one canonical spelling (RFC 4648, section 3.5)")
    return value


def _malformed(expected: str) -> Corrupt:
    return Corrupt("checkpoint.malformed", f"expected a signed checkpoint to have {expected}", _REMEDY)
