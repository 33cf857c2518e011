"""Staging: the door through which everything durable goes to the hub's disk and comes back.

Rows, parcels and incoming files rest sealed (``hub.sealed``). What must survive a power cut is written under
a name of its own, flushed, and then published under its final name (``hub.disk``).
"""

import base64
import io
import os
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hub.disk import discard, disk_errors, make_folder, publish, replace, share, write_once
from hub.errors import Corrupt
from hub.sealed import SealedReader, SealedWriter

__all__ = [
    "SealedReader",
    "SealedWriter",
    "create_sealed",
    "discard",
    "disk_errors",
    "make_folder",
    "open_sealed",
    "open_text",
    "publish",
    "read_bytes",
    "read_frame",
    "replace",
    "seal_text",
    "share",
    "write_bytes",
    "write_frame",
    "write_once",
]

_NONCE = 12
_TEXT = b"hub sealed text v1"


def open_sealed(path: Path, key: bytes) -> BinaryIO:
    """Open a sealed file for reading, as any reader of files takes it; raises as ``SealedReader`` does."""
    return cast("BinaryIO", SealedReader(path, key))


def create_sealed(path: Path, key: bytes) -> BinaryIO:
    """Create a sealed file for writing, as any writer of files takes it; see ``SealedWriter``."""
    return cast("BinaryIO", SealedWriter(path, key))


def write_bytes(path: Path, key: bytes, data: bytes) -> None:
    """Seal ``data`` into the new file ``path`` under a key of 32 bytes; raises as ``SealedWriter`` does."""
    with SealedWriter(path, key) as sink:
        sink.write(data)


def read_bytes(path: Path, key: bytes) -> bytes:
    """Read a whole sealed file into memory; raises as ``SealedReader`` does."""
    with SealedReader(path, key) as source:
        return source.read()


def write_frame(path: Path, key: bytes, frame: pl.DataFrame) -> None:
    """Seal one part of rows as Arrow IPC with LZ4; ``path`` must not exist.

    The Arrow bytes are made in memory first: an exception that passes through Polars loses its kind.
    """
    arrow = io.BytesIO()
    try:
        frame.write_ipc(arrow, compression="lz4")
    except (pl.exceptions.PolarsError, OSError):
        raise Corrupt(
            code="staging.frame",
            message=f"expected rows that Arrow can hold for {path.name}, found others",
            remedy="Report this as a defect of the hub; the submission stays where it is.",
        ) from None
    with SealedWriter(path, key) as sink, arrow.getbuffer() as whole:
        sink.write(whole)


def read_frame(path: Path, key: bytes, columns: list[str] | None = None) -> pl.DataFrame:
    """Read back what ``write_frame`` sealed, equal in values, order and types; some columns or all.

    Raises:
        Corrupt: ``staging.damaged`` when the file is not the one sealed under this key, ``staging.frame``
            when it is, but holds no rows.
    """
    arrow = io.BytesIO(read_bytes(path, key))
    try:
        return pl.read_ipc(arrow, columns=columns)
    except (pl.exceptions.PolarsError, OSError, ValueError):
        raise Corrupt(
            code="staging.frame",
            message=f"expected rows in {path.name}, found other content",
            remedy="Report this as a defect of the hub; the submission stays where it is.",
        ) from None


def seal_text(key: bytes, text: str) -> str:
    """Seal a sender's short word (a sheet may be named after a person) to rest in a column of the database.

    AES-256-GCM under a key derived from the submission's (HKDF-SHA256, RFC 5869): when that one is deleted,
    the word is gone as well. Gives base64 of nonce, ciphertext and tag.
    """
    nonce = os.urandom(_NONCE)
    return base64.b64encode(nonce + _text_cipher(key).encrypt(nonce, text.encode(), None)).decode("ascii")


def open_text(key: bytes, sealed: str) -> str:
    """Open a sealed text.

    Raises:
        Corrupt: ``staging.damaged`` if it was not sealed under this key, or changed.
    """
    try:
        blob = base64.b64decode(sealed, validate=True)
        return _text_cipher(key).decrypt(blob[:_NONCE], blob[_NONCE:], None).decode()
    except (InvalidTag, ValueError):
        raise Corrupt(
            "staging.damaged",
            "expected a text sealed under the submission's key, found another",
            "restore the database and the key folder from the same moment",
        ) from None


def _text_cipher(key: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=_TEXT).derive(key))
