"""AES over whole columns: AES-SIV (RFC 5297) of 16-byte ids and AES-CMAC (RFC 4493) of texts of any length.

Both are chains of single AES blocks, so a column needs one AES call per block position for all its rows
together, and numpy in between; equal bit for bit to ``cryptography``'s AESSIV and CMAC, which take one row at
a time. Columns are worked through in slices, so that memory stays a few times one slice.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
_Words = npt.NDArray[np.uint64]

BLOCK = 16
SIV_KEY = 64
SLICE = 16_384  # rows; what is at work on a slice stays in the processor's cache

_ALL_BITS, _REDUCTION = (1 << 128) - 1, 0x87
_COUNTER_BITS = bytes.fromhex("ffffffffffffffff7fffffff7fffffff")  # RFC 5297 section 2.5


def siv_encrypt(key: bytes, context: Sequence[bytes], plain: Bytes) -> Bytes:
    """Seal a column of 16-byte ids, deterministically, under one key and one context (RFC 5297).

    Args:
        key: 64 bytes, AES-256-SIV.
        context: associated data, the same for all rows; each component counts, also an empty one.
        plain: shape (n, 16).

    Returns:
        Shape (n, 32): the synthetic IV, then the encrypted id.
    """
    siv = _Siv(key, context)
    plain = _matrix(plain, BLOCK)
    sealed = np.empty((len(plain), 2 * BLOCK), dtype=np.uint8)
    for rows in slices(len(plain)):
        words = _words(plain[rows])
        iv = siv.iv(words)
        sealed[rows, :BLOCK] = iv.view(np.uint8)
        sealed[rows, BLOCK:] = (words ^ siv.keystream(iv)).view(np.uint8)
    return sealed


def siv_decrypt(key: bytes, context: Sequence[bytes], sealed: Bytes) -> tuple[Bytes, Bools]:
    """Open a column that ``siv_encrypt`` sealed under the same key and context.

    Returns:
        The ids, shape (n, 16), and which of them are proved, shape (n,). An id that is not proved (forged,
        damaged, made for another recipient) is returned as zeros.
    """
    siv = _Siv(key, context)
    sealed = _matrix(sealed, 2 * BLOCK)
    plain = np.empty((len(sealed), BLOCK), dtype=np.uint8)
    valid = np.empty(len(sealed), dtype=np.bool_)
    for rows in slices(len(sealed)):
        iv = _words(sealed[rows, :BLOCK])
        words = _words(sealed[rows, BLOCK:]) ^ siv.keystream(iv)
        valid[rows] = (siv.iv(words) == iv).all(axis=1)
        plain[rows] = words.view(np.uint8)
    plain[~valid] = 0
    return plain, valid


class _Siv:
    """S2V and CTR for plain texts of exactly one block, where all but the last step is constant."""

    def __init__(self, key: bytes, context: Sequence[bytes]) -> None:
        if len(key) != SIV_KEY:
            message = f"AES-256-SIV takes a key of {SIV_KEY} bytes, not of {len(key)}"
            raise ValueError(message)
        mac_key, counter_key = key[: SIV_KEY // 2], key[SIV_KEY // 2 :]
        whole_block, _ = _subkeys(mac_key)
        self._mask = _block(_xor(s2v_chain(mac_key, context), whole_block))
        self._mac, self._counter = _cipher(mac_key), _cipher(counter_key)

    def iv(self, plain: _Words) -> _Words:
        return _encrypt(self._mac, plain ^ self._mask)

    def keystream(self, iv: _Words) -> _Words:
        return _encrypt(self._counter, iv & _block(_COUNTER_BITS))


def s2v_chain(mac_key: bytes, context: Sequence[bytes]) -> bytes:
    """Chain the context as S2V does before its last step (RFC 5297 section 2.4): the 16 bytes D."""
    chained = _cmac_once(mac_key, bytes(BLOCK))
    for component in context:
        chained = _xor(_double(chained), _cmac_once(mac_key, component))
    return chained


def cmac(key: bytes, buffer: Bytes, offsets: npt.NDArray[np.int64]) -> Bytes:
    """Compute the AES-CMAC (RFC 4493) of each of n messages.

    Args:
        key: 16 or 32 bytes.
        buffer: all messages behind one another, shape (m,).
        offsets: shape (n + 1,), not falling; message i is ``buffer[offsets[i]:offsets[i + 1]]``.

    Returns:
        Shape (n, 16).
    """
    if len(key) not in {16, 32}:
        message = f"AES-CMAC takes a key of 16 or 32 bytes here, not of {len(key)}"
        raise ValueError(message)
    if offsets[0] < 0 or offsets[-1] > len(buffer) or (np.diff(offsets) < 0).any():
        message = "offsets must not fall and must lie within the buffer"
        raise ValueError(message)
    cipher = _cipher(key)
    endings = _Endings(key)
    macs = np.empty((len(offsets) - 1, BLOCK), dtype=np.uint8)
    for rows in slices(len(macs)):
        bounds = offsets[rows.start : rows.stop + 1]
        # A block of room behind the slice lets every last block be read as a whole one.
        room = np.zeros(int(bounds[-1] - bounds[0]) + BLOCK, dtype=np.uint8)
        room[:-BLOCK] = buffer[bounds[0] : bounds[-1]]
        macs[rows] = _cmac_slice(cipher, endings, room, bounds - bounds[0])
    return macs


class _Endings:
    """What RFC 4493 does to a last block, looked up by how many message bytes it holds (0 to 16)."""

    def __init__(self, key: bytes) -> None:
        whole, partial = _subkeys(key)
        keep = [b"\xff" * held + bytes(BLOCK - held) for held in range(BLOCK + 1)]
        pads = [(bytes(held) + b"\x80").ljust(BLOCK, b"\0") for held in range(BLOCK)]
        flip = [*(_xor(pad, partial) for pad in pads), whole]
        self.keep = np.frombuffer(b"".join(keep), dtype=np.uint64).reshape(-1, 2)
        self.flip = np.frombuffer(b"".join(flip), dtype=np.uint64).reshape(-1, 2)


def _cmac_slice(
    cipher: CipherContext, endings: _Endings, room: Bytes, bounds: npt.NDArray[np.int64]
) -> Bytes:
    lengths = np.diff(bounds)
    blocks = np.maximum(-(-lengths // BLOCK), 1)
    order = np.argsort(-blocks, kind="stable")  # longest first: the rows still at work are always a head
    place, length, blocks = bounds[:-1][order], lengths[order], blocks[order]
    # All 16-byte windows of the text, one a byte, without a copy.
    windows = np.ndarray((len(room) - BLOCK + 1,), dtype="V16", buffer=room, strides=(1,))
    state = np.zeros((len(order), 2), dtype=np.uint64)
    working = len(order)
    for position in range(int(blocks[0])):
        going_on = int(np.searchsorted(-blocks, -(position + 1), side="left"))  # rows with a later block
        block = windows[place[:working] + position * BLOCK].view(np.uint64).reshape(-1, 2)
        held = length[going_on:working] - position * BLOCK
        block[going_on:] = (block[going_on:] & endings.keep[held]) ^ endings.flip[held]
        state[:working] = _encrypt(cipher, state[:working] ^ block)
        working = going_on
    macs = np.empty((len(order), BLOCK), dtype=np.uint8)
    macs[order] = state.view(np.uint8)
    return macs


def cmac_texts(key: bytes, texts: pl.Series) -> Bytes:
    """Compute the AES-CMAC of each text's UTF-8 bytes; shape (n, 16). Null has no MAC: ValueError."""
    if texts.dtype != pl.String or texts.null_count():
        message = "expected a column of texts without nulls"
        raise ValueError(message)
    macs = np.empty((len(texts), BLOCK), dtype=np.uint8)
    for rows in slices(len(texts)):
        part = texts[rows.start : rows.stop]
        offsets = np.zeros(len(part) + 1, dtype=np.int64)
        np.cumsum(part.str.len_bytes().to_numpy(), out=offsets[1:])
        listed = part.cast(pl.Binary).cast(pl.List(pl.UInt8))
        macs[rows] = cmac(key, listed.list.explode(empty_as_null=False).to_numpy(), offsets)
    return macs


def row_texts(frame: pl.DataFrame) -> pl.Series:
    """Write each row as one text, so that two rows have the same one exactly when their cells are equal.

    Each cell is a netstring (``length in bytes:text,``); a null cell is ``~,``. Only text columns are taken
    (ValueError otherwise): how other types are written may change between versions of Polars.
    """
    if any(kind != pl.String for kind in frame.dtypes):
        message = "expected text columns only"
        raise ValueError(message)
    if not frame.width:
        return pl.Series("row", [], dtype=pl.String)
    pieces: list[pl.Expr] = []
    for index, column in enumerate(frame.get_columns()):
        cell = pl.nth(index)  # by place: a name might read as a pattern
        netstring = (cell.str.len_bytes().cast(pl.String), pl.lit(":"), cell, pl.lit(","))
        # Concatenating flatly is faster, but one null piece makes the whole row null.
        pieces += [pl.concat_str(netstring).fill_null("~,")] if column.null_count() else netstring
    return frame.select(pl.concat_str(pieces).alias("row")).to_series()


def slices(count: int) -> Iterator[slice]:
    """Cut ``count`` rows into pieces that stay small in memory."""
    for start in range(0, count, SLICE):
        yield slice(start, min(start + SLICE, count))


def _matrix(column: Bytes, width: int) -> Bytes:
    if column.dtype != np.uint8 or column.ndim != 2 or column.shape[1] != width:  # noqa: PLR2004 -- rows, bytes
        message = f"expected bytes of shape (n, {width}), found {column.dtype} of shape {column.shape}"
        raise ValueError(message)
    return column


def _words(column: Bytes) -> _Words:
    return np.ascontiguousarray(column).view(np.uint64)


def _block(data: bytes) -> _Words:
    return np.frombuffer(data, dtype=np.uint64)


def _cipher(key: bytes) -> CipherContext:
    # ECB is the bare block cipher: the modes (SIV, CMAC) are built here from it.
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 -- the block, not the mode


def _encrypt(cipher: CipherContext, blocks: _Words) -> _Words:
    out = np.empty(blocks.nbytes + BLOCK - 1, dtype=np.uint8)  # update_into asks for this much room
    cipher.update_into(np.ascontiguousarray(blocks).view(np.uint8).reshape(-1).data, out.data)
    return out[: blocks.nbytes].view(np.uint64).reshape(-1, 2)


def _subkeys(key: bytes) -> tuple[bytes, bytes]:
    """Return the subkeys for a whole and for a padded last block (RFC 4493 section 2.3)."""
    whole = _double(_cipher(key).update(bytes(BLOCK)))
    return whole, _double(whole)


def _cmac_once(key: bytes, message: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


def _double(block: bytes) -> bytes:
    value = int.from_bytes(block, "big")
    carry = _REDUCTION if value >> 127 else 0
    return ((value << 1 & _ALL_BITS) ^ carry).to_bytes(BLOCK, "big")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
