"""Signed notes as a verifier reads them: verifier keys, signature lines, cosignatures (C2SP).

Formats: signed-note v1, tlog-checkpoint v1, tlog-cosignature v1 (Ed25519). Nothing here is shared with the
modules that write the log (import-linter holds that).
"""

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.ledger.evidence import Promise, Unsound, read_promise

LOG, WITNESS = 0x01, 0x04
"""Kinds of verifier keys: a log's Ed25519 signature, and a witness's timestamped cosignature."""

KINDS = {LOG: "Ed25519", WITNESS: "Ed25519 cosignature/v1"}
LARGEST = 100_000
"""Bytes of the longest note that is read: hundreds of signatures."""

_LINE = "— "
_KEY_BYTES = 32
_ID_BYTES = 4
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_LATEST = 2**63 - 1
_UNFIT = re.compile(r"[\s+]")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under the name that its holder signs by; ``kind`` is `LOG` or `WITNESS`."""

    name: str
    kind: int
    raw: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes by which signature lines name the key."""
        return sha256(_octets(self.name) + b"\n" + bytes([self.kind]) + self.raw).digest()[:_ID_BYTES]

    @property
    def text(self) -> str:
        """The key as it is handed to others: ``name+id+base64``."""
        material = b64encode(bytes([self.kind]) + self.raw).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    @property
    def public(self) -> Ed25519PublicKey:
        """What verifies."""
        return Ed25519PublicKey.from_public_bytes(self.raw)


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature line: whose it says to be, and the bytes behind the key's id."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def text(self) -> str:
        """The line as it stands below a note, with its newline."""
        return f"{_LINE}{self.name} {b64encode(self.key_id + self.value).decode()}\n"


def is_name(name: str) -> bool:
    """Tell whether a key may bear this name: something, without blanks, plus or control characters."""
    return bool(name) and not _UNFIT.search(name) and name.isprintable()


def read_key(text: str, kind: int) -> VerifierKey:
    """Read a verifier key of one kind, strictly. Raises `Unsound` ``key`` for anything else."""
    name, _, rest = text.partition("+")
    named, _, material = rest.partition("+")
    try:
        decoded = b64decode(material.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Unsound(flaw="key") from None
    if not name or _UNFIT.search(name) or len(decoded) != 1 + _KEY_BYTES or decoded[0] != kind:
        raise Unsound(flaw="key")
    key = VerifierKey(name, kind, decoded[1:])
    if key.key_id.hex() != named or key.text != text:
        raise Unsound(flaw="key")
    return key


def take_apart(note: str) -> tuple[str, tuple[Signed, ...]]:
    """Part a note into its text and its signature lines, none checked. Raises `Unsound` ``malformed``."""
    text, separator, below = note.rpartition("\n\n")
    if not separator or not below.endswith("\n") or _CONTROL.search(note) or len(note) > LARGEST:
        raise Unsound(flaw="malformed")
    return text + "\n", tuple(_signed(line) for line in below[:-1].split("\n"))


def read_checkpoint(note: str, log: VerifierKey) -> Promise:
    """Read a checkpoint that this log signed, named as its key is. Raises `Unsound`."""
    take_apart(note)
    return read_promise(note, log.name, log.public)


def cosigned_at(note: str, witness: VerifierKey) -> int | None:
    """Tell when a witness cosigned a note, in seconds since 1970: its newest cosignature; None if never.

    Raises:
        Unsound: ``malformed``; ``signature`` when one in the witness's name and id does not verify: such a
            note is rejected whole.
    """
    text, lines = take_apart(note)
    own = [line for line in lines if (line.name, line.key_id) == (witness.name, witness.key_id)]
    return max((_stamped(text, line.value, witness) for line in own), default=None)


def lines_by(note: str, witness: VerifierKey) -> tuple[Signed, ...]:
    """Pick the signature lines that bear a key's name and id."""
    _, lines = take_apart(note)
    return tuple(line for line in lines if (line.name, line.key_id) == (witness.name, witness.key_id))


def cosignature_message(text: str, seconds: int) -> bytes:
    """Write what a witness signs: a header, the time, and the checkpoint's whole text."""
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _stamped(text: str, value: bytes, witness: VerifierKey) -> int:
    if len(value) != _TIME_BYTES + _SIGNATURE_BYTES:
        raise Unsound(flaw="signature")
    seconds = int.from_bytes(value[:_TIME_BYTES], "big")
    if not 0 < seconds <= _LATEST:  # a checkpoint's cosignature never omits the time (tlog-witness)
        raise Unsound(flaw="signature")
    try:
        witness.public.verify(value[_TIME_BYTES:], cosignature_message(text, seconds))
    except InvalidSignature:
        raise Unsound(flaw="signature") from None
    return seconds


def _signed(line: str) -> Signed:
    name, _, encoded = line.removeprefix(_LINE).partition(" ")
    try:
        value = b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Unsound(flaw="malformed") from None
    if not line.startswith(_LINE) or not name or _UNFIT.search(name) or len(value) <= _ID_BYTES:
        raise Unsound(flaw="malformed")
    return Signed(name, value[:_ID_BYTES], value[_ID_BYTES:])


def _octets(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")  # policies may hold names that are no UTF-8
