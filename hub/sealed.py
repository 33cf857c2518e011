"""Sealed files: how plain content rests on the hub's disk, readable only with its key.

A sealed file is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015, section 7) over
AES-256-GCM: chunks of 1 MiB, each under the nonce ``prefix || counter || last flag``, with the file's header
as associated data. A flipped byte, a cut (also exactly between two chunks), a swapped or an appended chunk
each fail authentication. ``hub.staging`` is the door to this module.
"""

import contextlib
import io
import os
import secrets
import stat
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.disk import disk_errors, read_errors
from hub.errors import Corrupt, Transient

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MAGIC = b"hubseal1\n"
PREFIX = 7
HEADER = len(MAGIC) + PREFIX
CHUNK = 1 << 20
TAG = 16
KEY = 32


def _damaged(path: Path, found: str) -> Corrupt:
    return Corrupt(
        "staging.damaged",
        f"expected the sealed file {path.name} as it was written, found {found}",
        "Keep this file as it is for the administrators; have the sender deliver again or restore a backup.",
    )


def _checked(key: bytes) -> bytes:
    if len(key) != KEY:
        message = f"a sealed file takes a key of {KEY} bytes, not of {len(key)}"
        raise ValueError(message)
    return key


def _nonce(prefix: bytes, counter: int, *, last: bool) -> bytes:
    return prefix + counter.to_bytes(4, "big") + bytes([last])


def _write_all(handle: int, data: memoryview) -> None:
    while data:
        data = data[os.write(handle, data) :]


class SealedWriter(io.BufferedIOBase):
    """A new file, sealed chunk by chunk while it is written; only leaving its ``with`` block cleanly ends it.

    ``path`` must not exist; the file is made with mode 0600 and flushed to disk at the end (not its folder:
    ``publish`` does that). When the block raises, or ``close`` is called inside it, the file is removed.
    ``key`` has 32 bytes. Raises Transient ``disk.full``, ``disk.write`` or ``staging.exists``.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._handle = -1
        self._finished = False
        self._path = path
        self._cipher = AESGCM(_checked(key))
        self._prefix = secrets.token_bytes(PREFIX)
        self._header = MAGIC + self._prefix
        self._pending = bytearray()
        self._sealed = bytearray(CHUNK + TAG)
        self._counter = 0
        self._length = 0
        try:
            self._create()
        except BaseException:
            self.close()
            raise

    def _create(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with disk_errors(self._path):
            try:
                self._handle = os.open(self._path, flags, 0o600)
            except FileExistsError:
                raise Transient(
                    code="staging.exists",
                    message=f"expected no file {self._path}, found one",
                    remedy="Another attempt is writing it or died over it; discard it once none is running.",
                ) from None
            _write_all(self._handle, memoryview(self._header))

    def writable(self) -> bool:
        """Yes: this is the writing side."""
        return True

    def tell(self) -> int:
        """Plain bytes taken so far."""
        return self._length

    def write(self, data: "ReadableBuffer", /) -> int:
        """Take all of ``data``; a chunk goes to disk once a byte beyond it is known."""
        if self.closed:
            message = "write to a closed sealed file"
            raise ValueError(message)
        with memoryview(data) as given, given.cast("B") as view:
            start = 0
            if self._pending and len(self._pending) + len(view) > CHUNK:
                start = CHUNK - len(self._pending)
                self._pending += view[:start]
                self._seal(memoryview(self._pending), last=False)
                self._pending = bytearray()
            while len(view) - start > CHUNK:
                self._seal(view[start : start + CHUNK], last=False)
                start += CHUNK
            self._pending += view[start:]
            self._length += len(view)
            return len(view)

    def _seal(self, plain: memoryview, *, last: bool) -> None:
        sealed = memoryview(self._sealed)[: len(plain) + TAG]
        nonce = _nonce(self._prefix, self._counter, last=last)
        self._cipher.encrypt_into(nonce, plain, self._header, sealed)
        self._counter += 1
        with disk_errors(self._path):
            _write_all(self._handle, sealed)

    def _finish(self) -> None:
        if self.closed:
            message = "a sealed file was closed before its with block ended"
            raise ValueError(message)
        self._seal(memoryview(self._pending), last=True)
        with disk_errors(self._path):
            os.fsync(self._handle)
        self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self.close()

    def close(self) -> None:
        """Give the file up: removed unless its ``with`` block has ended cleanly."""
        if self._handle >= 0:
            if not self._finished:
                self._remove()
            os.close(self._handle)
            self._handle = -1
        super().close()

    def _remove(self) -> None:
        # A retry may have put its own file at this path meanwhile: only the file that we made may go.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._handle), self._path.lstat()):
                self._path.unlink()


class SealedReader(io.BufferedIOBase):
    """A sealed file read back: seekable, each chunk proved before a byte of it is handed out.

    The last chunk is proved at opening, so ``size`` (plain bytes) can be relied on from the start.
    Raises Corrupt ``staging.damaged`` (any change, or another key) or ``staging.missing``, and Transient
    ``disk.read``.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._handle = -1
        self._path = path
        self._cipher = AESGCM(_checked(key))
        self._position = 0
        self._held = -1
        self._plain = b""
        try:
            self._prove()
        except BaseException:
            self.close()
            raise

    def _prove(self) -> None:
        with read_errors(self._path):
            self._handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            found = os.fstat(self._handle)
        self._body = found.st_size - HEADER
        if not stat.S_ISREG(found.st_mode) or self._body < TAG:
            raise _damaged(self._path, "too few bytes")
        self._chunks = -(-self._body // (CHUNK + TAG))
        self.size = self._body - TAG * self._chunks
        self._header = self._pread(HEADER, 0)
        if not self._header.startswith(MAGIC):
            raise _damaged(self._path, "another kind of file")
        # Behind other chunks the last one is never empty, and a piece shorter than a tag cannot be proved.
        if self._chunks > 1 and self.size <= (self._chunks - 1) * CHUNK:
            raise _damaged(self._path, "a cut last chunk")
        self._open_chunk(self._chunks - 1)

    def _pread(self, count: int, offset: int) -> bytes:
        parts: list[bytes] = []
        with read_errors(self._path):
            while count and (part := os.pread(self._handle, count, offset)):
                parts.append(part)
                count -= len(part)
                offset += len(part)
        if count:
            raise _damaged(self._path, "fewer bytes than at its opening")
        return b"".join(parts)

    def _open_chunk(self, index: int) -> bytes:
        if self.closed:
            message = "read from a closed sealed file"
            raise ValueError(message)
        if index != self._held:
            offset = index * (CHUNK + TAG)
            sealed = self._pread(min(CHUNK + TAG, self._body - offset), HEADER + offset)
            nonce = _nonce(self._header[len(MAGIC) :], index, last=index == self._chunks - 1)
            try:
                self._plain = self._cipher.decrypt(nonce, sealed, self._header)
            except InvalidTag:
                self._held = -1
                raise _damaged(self._path, f"chunk {index + 1} of {self._chunks} unproved") from None
            self._held = index
        return self._plain

    def readable(self) -> bool:
        """Yes: this is the reading side."""
        return True

    def seekable(self) -> bool:
        """Yes: any chunk opens by itself."""
        return True

    def tell(self) -> int:
        """Position in plain bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to ``offset`` plain bytes from start, position or end; beyond the end nothing is read."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            message = "seek before the start of a sealed file"
            raise ValueError(message)
        self._position = base + offset
        return self._position

    def peek(self, _size: int = 0, /) -> bytes:
        """Return the rest of the present chunk without moving, so that lines are found chunk by chunk."""
        if self._position >= self.size:
            return b""
        index, start = divmod(self._position, CHUNK)
        return self._open_chunk(index)[start:] if start else self._open_chunk(index)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read ``size`` plain bytes, fewer only at the end; all that is left when negative or None."""
        left = max(self.size - self._position, 0)
        count = left if size is None or size < 0 else min(size, left)
        parts: list[bytes] = []
        while count:
            index, start = divmod(self._position, CHUNK)
            part = self._open_chunk(index)
            if start or count < len(part):
                part = part[start : start + count]
            parts.append(part)
            self._position += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        """Like ``read``, at most to the end of the present chunk."""
        left = CHUNK - self._position % CHUNK
        return self.read(left if size < 0 else min(size, left))

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill ``buffer``, less only at the end; returns the bytes filled in."""
        with memoryview(buffer) as given, given.cast("B") as view:
            data = self.read(len(view))
            view[: len(data)] = data
            return len(data)

    def close(self) -> None:
        """Let the file and the held plain chunk go."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._plain, self._held = b"", -1
        super().close()
