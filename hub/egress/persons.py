"""The egress gate's own opening of pseudonyms: of which persons does a finished parcel speak?"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from hub.egress.alarm import stop
from hub.keys import VERSION, KeyRing

Bytes = npt.NDArray[np.uint8]

WRITTEN: Final = rf"^P{VERSION}[A-Z2-7]{{54}}$"  # 52 digits base32 (RFC 4648), two check digits
_EPOCH: Final = 1
_CONTEXT: Final = b"hub pseudonym v1"
_DIGIT: Final = np.full(256, 255, np.uint8)
_DIGIT[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")] = np.arange(32)
_WEIGHTS: Final = np.arange(1, 53, dtype=np.uint16)
_PLACES: Final = np.uint64(32) ** np.arange(7, -1, -1, dtype=np.uint64)
_CLEARED_BITS: Final = bytes.fromhex("ffffffffffffffff7fffffff7fffffff")  # RFC 5297 section 2.5


class Opener:
    """Opens pseudonyms of one recipient and purpose (AES-256-SIV, RFC 5297), whole columns at a time.

    Before its last AES call S2V adds a constant to the id that depends on key and context only. The library's
    own answer for an id of zeros tells that constant, so that two AES calls open a column; the first and the
    last pseudonym of each column are opened by the library itself and must agree.
    """

    def __init__(self, ring: KeyRing, recipient: str, purpose: str) -> None:
        key = ring.pseudonym_key(recipient, purpose, _EPOCH)
        self._library = AESSIV(key)
        self._context = [_CONTEXT, *(part.encode() for part in (recipient, purpose, str(_EPOCH)))]
        self._mac, self._counter = key[:32], key[32:]
        zeros = self._library.encrypt(bytes(16), self._context)[:16]
        self._constant = _blocks(_cipher(self._mac).decryptor().update(zeros))

    def persons(self, texts: pl.Series) -> pl.DataFrame:
        """Give the persons of a column of texts in the written form, row by row, as ``person_frame`` does.

        Raises:
            Corrupt: ``egress.pseudonym`` unless every one is genuine.
        """
        signs = np.frombuffer(texts.str.join("").item().encode(), np.uint8).reshape(-1, 56)
        values = _DIGIT[signs]
        weighed, checks = values[:, 2:54] @ _WEIGHTS % 1021, values[:, 54:] @ np.array([32, 1], np.uint16)
        values = np.pad(values[:, 2:54], ((0, 0), (0, 4)))  # to whole groups: eight digits are five bytes
        groups = values.reshape(-1, 7, 8).astype(np.uint64) @ _PLACES
        data = groups.astype(">u8").view(np.uint8).reshape(-1, 7, 8)[:, :, 3:].reshape(-1, 35)
        sealed, padding = np.ascontiguousarray(data[:, :32]), data[:, 32:]
        siv, body = np.ascontiguousarray(sealed[:, :16]), sealed[:, 16:]
        ids = body ^ self._encrypt(self._counter, siv & _blocks(_CLEARED_BITS))
        genuine = (self._encrypt(self._mac, ids ^ self._constant) == siv).all(axis=1)
        genuine &= (weighed == checks) & ~padding.any(axis=1)
        if not genuine.all() or any(self._open(sealed[row]) != ids[row].tobytes() for row in (0, -1)):
            raise stop("pseudonym", "pseudonyms of this recipient and purpose only", "others")
        return person_frame(ids)

    def _open(self, sealed: Bytes) -> bytes | None:
        try:
            return self._library.decrypt(sealed.tobytes(), self._context)
        except InvalidTag:
            return None

    def _encrypt(self, key: bytes, blocks: Bytes) -> Bytes:
        return _blocks(_cipher(key).encryptor().update(blocks.tobytes()))


def person_frame(ids: Bytes) -> pl.DataFrame:
    """Lay ids (n, 16) out as two UInt64 columns, ``high`` and ``low``."""
    halves = np.ascontiguousarray(ids).view(np.uint64).reshape(-1, 2)
    return pl.DataFrame({"high": halves[:, 0], "low": halves[:, 1]})


def distinct(persons: pl.DataFrame) -> npt.NDArray[np.uint64]:
    """Give the different persons of a frame in order, shape (n, 2); sorting takes less memory than hashes."""
    halves = persons.to_numpy(order="c")
    ordered: npt.NDArray[np.uint64] = halves[np.argsort(halves[:, 0])]
    step = ordered[1:] != ordered[:-1]
    if (step[:, 1] & ~step[:, 0]).any():
        # Two persons share their first half, once in 10^7 parcels of a million: sort by both halves.
        ordered = halves[np.lexsort((halves[:, 1], halves[:, 0]))]
        step = ordered[1:] != ordered[:-1]
    return ordered[np.concatenate(([True], step.any(axis=1)))[: len(ordered)]]


def _blocks(data: bytes) -> Bytes:
    return np.frombuffer(data, np.uint8).reshape(-1, 16)


def _cipher(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 -- the building block of SIV, not a mode
