"""Pseudonyms: a person's internal id, sealed for one recipient, one purpose and one epoch.

Pseudonym = AES-256-SIV (RFC 5297) of the random 128-bit id under a key of its own for that domain, with the
domain as associated data as well. The same person keeps one pseudonym within a domain; two domains have
nothing in common that could be compared; what was forged, or made for another domain, does not open.

Written form, 56 characters: ``P``, the version digit of the root key, 52 characters base32 (RFC 4648, upper
case, unpadded) of the 32 sealed bytes, and two check characters: the sum of i times digit i modulo the prime
1021, so that every single wrong character and every exchange of two is noticed before any key is used.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from hub.aes_columns import Bools, Bytes, siv_decrypt, siv_encrypt, slices
from hub.keys import VERSION, KeyRing

LENGTH = 56

_SEALED = 32
_DIGITS = 52
_CHECK = 1021
_MARK, _ZERO, _A = ord("P"), ord("0"), ord("A")
_LETTERS = 26
_GAP = _A + _LETTERS - ord("2")  # digits 26 to 31 are written 2 to 7, which stand this far before A to Z
_VERSIONS = range(1, 10)


def pseudonyms(ring: KeyRing, recipient: str, purpose: str, epoch: int, ids: Bytes) -> pl.Series:
    """Write the pseudonyms of a column of person ids, shape (n, 16), for one recipient, purpose and epoch."""
    key = ring.pseudonym_key(recipient, purpose, epoch)
    return write(siv_encrypt(key, _context(recipient, purpose, epoch), ids), VERSION)


def persons(ring: KeyRing, recipient: str, purpose: str, epoch: int, texts: pl.Series) -> tuple[Bytes, Bools]:
    """Find the persons behind pseudonyms made for one recipient, purpose and epoch.

    Returns:
        The ids, shape (n, 16), and which of them are proved, shape (n,); an id that is not proved is zeros.
    """
    sealed, written = parse(texts)
    key = ring.pseudonym_key(recipient, purpose, epoch)
    ids, proved = siv_decrypt(key, _context(recipient, purpose, epoch), sealed)
    known = written & proved
    ids[~known] = 0
    return ids, known


def _context(recipient: str, purpose: str, epoch: int) -> Sequence[bytes]:
    return b"hub pseudonym v1", recipient.encode("utf-8"), purpose.encode("utf-8"), str(epoch).encode("ascii")


def write(sealed: Bytes, version: int) -> pl.Series:
    """Write sealed ids, shape (n, 32), in the form that people and files carry; ``version`` is 1 to 9."""
    if version not in _VERSIONS or sealed.dtype != np.uint8 or sealed.shape[1:] != (_SEALED,):
        message = f"expected a version of one digit and bytes of shape (n, {_SEALED})"
        raise ValueError(message)
    if not len(sealed):
        return pl.Series("pseudonym", [], dtype=pl.String)
    signs = np.empty((len(sealed), LENGTH), dtype=np.uint8)
    for rows in slices(len(sealed)):
        signs[rows] = _written(sealed[rows].T, version).T
    return pl.Series("pseudonym", signs).arr.to_list().cast(pl.Binary).cast(pl.String)


def parse(texts: pl.Series, version: int = VERSION) -> tuple[Bytes, Bools]:
    """Read written pseudonyms; a text is well written when writing what it says gives the same text again.

    Returns:
        The sealed ids, shape (n, 32), and which texts are well written, shape (n,); the others are zeros.
    """
    signs = _signs(texts)
    sealed = np.empty((len(signs), _SEALED), dtype=np.uint8)
    good = np.empty(len(signs), dtype=np.bool_)
    for rows in slices(len(signs)):
        columns = np.ascontiguousarray(signs[rows].T)
        said = _bytes(_digits_of(columns[2:-2]))
        good[rows] = (_written(said, version) == columns).all(axis=0)
        sealed[rows] = said.T
    sealed[~good] = 0
    return sealed, good


def _signs(texts: pl.Series) -> Bytes:
    """Lay texts out as bytes, shape (n, 56); blanks for null and for any other length."""
    if not len(texts):
        return np.empty((0, LENGTH), dtype=np.uint8)
    fitting = (texts.str.len_bytes() == LENGTH).fill_null(value=False)
    filled = texts.zip_with(fitting, pl.Series([" " * LENGTH])).cast(pl.Binary)
    return filled.bin.reinterpret(dtype=pl.Array(pl.UInt8, LENGTH), endianness="little").to_numpy()


# From here on signs, digits and bytes are held column by column, shapes (56, n), (52, n) and (32, n): each
# step is one sweep over memory for all rows. uint8 drops what leaves the byte on either side, as is wanted.


def _written(sealed: Bytes, version: int) -> Bytes:
    digits = _digits(sealed)
    check = _check(digits)
    signs = np.empty((LENGTH, digits.shape[1]), dtype=np.uint8)
    signs[0] = _MARK
    signs[1] = _ZERO + version
    for place, digit in enumerate((*digits, (check >> 5).astype(np.uint8), (check & 31).astype(np.uint8)), 2):
        signs[place] = digit + np.uint8(_A) - (digit >= _LETTERS) * np.uint8(_GAP)
    return signs


def _digits_of(signs: Bytes) -> Bytes:
    return (signs - np.uint8(_A) + (signs < _A) * np.uint8(_GAP)) & np.uint8(31)


def _digits(sealed: Bytes) -> Bytes:
    columns = np.zeros((_SEALED + 1, sealed.shape[1]), dtype=np.uint8)
    columns[:_SEALED] = sealed
    digits = np.empty((_DIGITS, sealed.shape[1]), dtype=np.uint8)
    for place in range(_DIGITS):
        byte, bit = divmod(5 * place, 8)
        digits[place] = columns[byte] << bit >> 3 | columns[byte + 1] >> 11 - bit
    return digits


def _bytes(digits: Bytes) -> Bytes:
    columns = np.zeros((_SEALED, digits.shape[1]), dtype=np.uint8)
    for byte in range(_SEALED):
        for place in range(8 * byte // 5, (8 * byte + 7) // 5 + 1):
            shift = 3 + 8 * byte - 5 * place
            columns[byte] |= digits[place] << shift if shift >= 0 else digits[place] >> -shift
    return columns


def _check(digits: Bytes) -> npt.NDArray[np.uint16]:
    total = np.zeros(digits.shape[1], dtype=np.uint16)  # at most 31 * (1 + .. + 52) = 42 718
    for place, column in enumerate(digits, start=1):
        total += column * np.uint16(place)
    return total % np.uint16(_CHECK)
