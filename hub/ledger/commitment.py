"""The commitment to the rows of one transfer: a salted leaf per row under one Merkle root (rows-sha256-v1).

A row is written as a JSON array of its cells (RFC 8785), all text, an empty cell as the empty string. Its
leaf is SHA-256(0x00 || salt || row); the tree is that of RFC 9162, as for the log itself. The salts are a
keystream of one random seed per transfer: without the seed nobody can say whether a row was in it, even who
guesses the whole row. With it, a row is proved by its own salt and a path, and nothing is said of any other.
"""

import secrets
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
import polars as pl
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hub.ledger import tree
from hub.ledger.entry import Commitment

SCHEME: Final = "rows-sha256-v1"
SEED_BYTES: Final = 32
SALT_BYTES: Final = 16
# RFC 8785, section 3.2.2.2: what stands in a string only behind a backslash; whatever else stands as it is.
_SHORT: Final = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_ESCAPES: Final = {chr(code): f"\\u{code:04x}" for code in range(32)} | _SHORT


@dataclass(frozen=True)
class RowProof:
    """One row of a transfer: its place from 0 of how many, its salt and text, siblings up to the root."""

    index: int
    rows: int
    salt: bytes
    row: bytes
    path: tuple[bytes, ...]
    root: bytes


class Rows:
    """The rows of one transfer, taken in as they leave, in their order; little of them is kept."""

    def __init__(self, seed: bytes | None = None) -> None:
        self.seed = secrets.token_bytes(SEED_BYTES) if seed is None else seed
        self.rows = 0
        self._frontier: dict[tuple[int, int], bytes] = {}

    def __repr__(self) -> str:
        return f"Rows({self.rows})"

    def add(self, frame: pl.DataFrame) -> None:
        """Take in the next rows, all columns text, in the order of the columns of the parcel."""
        leaves = _leaves(self.seed, self.rows, row_texts(frame))
        layers = tree.grow(self.rows, leaves, lambda *place: self._frontier[place])
        self.rows += frame.height
        last = {
            (layer.level, layer.first + len(layer.hashes) // tree.HASH_BYTES - 1): layer.hashes[
                -tree.HASH_BYTES :
            ]
            for layer in layers
            if layer.hashes
        }
        self._frontier = {place: (self._frontier | last)[place] for place in tree.frontier(self.rows)}

    def commitment(self) -> Commitment:
        """Give what the log says about these rows: scheme, root and number. At least one was taken in."""
        root = tree.root(self.rows, lambda *place: self._frontier[place])
        return Commitment(scheme=SCHEME, root=root.hex(), rows=self.rows)


def row_texts(frame: pl.DataFrame) -> list[bytes]:
    """Write each row as canonical JSON (RFC 8785): an array of texts, a cell without text as an empty one."""
    if not frame.height:
        return []
    texts = _joined(frame.select(pl.all().fill_null("")))
    if _is_plain(texts, frame.width):
        return texts
    return _joined(
        frame.select(pl.all().fill_null("").str.replace_many(list(_ESCAPES), list(_ESCAPES.values())))
    )


def salt(seed: bytes, index: int) -> bytes:
    """Give the salt of one row: 16 bytes, block ``index`` of the AES-256-CTR keystream of the seed."""
    return _salts(seed, index, 1)


def prove(seed: bytes, texts: list[bytes], index: int) -> RowProof:
    """Prove one row of all (`row_texts`), by its place from 0."""
    layers = {layer.level: layer.hashes for layer in tree.grow(0, _leaves(seed, 0, texts), _nothing_before)}

    def node(level: int, place: int) -> bytes:
        return layers[level][place * tree.HASH_BYTES : (place + 1) * tree.HASH_BYTES]

    path = tree.inclusion_proof(index, len(texts), node)
    root = tree.root(len(texts), node)
    return RowProof(index, len(texts), salt(seed, index), texts[index], tuple(path), root)


def _joined(cells: pl.DataFrame) -> list[bytes]:
    between = [part for name in cells.columns for part in (pl.lit('","'), pl.col(name))][1:]
    text = pl.concat_str(pl.lit('["'), *between, pl.lit('"]'))
    written: list[bytes] = cells.select(text.cast(pl.Binary)).to_series().to_list()
    return written


def _is_plain(texts: list[bytes], width: int) -> bool:
    """Tell whether no cell holds what must be escaped: nothing but the quotes that stand around each cell."""
    whole = b"".join(texts)
    octets = np.frombuffer(whole, dtype=np.uint8)
    quotes = int(np.count_nonzero(octets == ord('"')))
    return quotes == 2 * width * len(texts) and b"\\" not in whole and bool(octets.min() >= ord(" "))


def _leaves(seed: bytes, first: int, texts: list[bytes]) -> bytes:
    """Hash rows, the first of which has the place ``first``: a million in about a second."""
    openings = np.zeros((len(texts), 1 + SALT_BYTES), dtype=np.uint8)  # 0x00 and the salt
    openings[:, 1:] = np.frombuffer(_salts(seed, first, len(texts)), dtype=np.uint8).reshape(-1, SALT_BYTES)
    opened = struct.iter_unpack(f"{1 + SALT_BYTES}s", openings.tobytes())
    return b"".join([sha256(opening + row).digest() for (opening,), row in zip(opened, texts, strict=True)])


def _salts(seed: bytes, first: int, count: int) -> bytes:
    """Give the salts of some rows, one after the other (NIST SP 800-38A, 6.5, the counter as 128 bits)."""
    stream = Cipher(algorithms.AES256(seed), modes.CTR(first.to_bytes(SALT_BYTES, "big"))).encryptor()
    return stream.update(bytes(SALT_BYTES * count))


def _nothing_before(level: int, index: int) -> bytes:
    message = f"a tree that begins empty has no node ({level}, {index})"
    raise LookupError(message)
