"""Blocks: content that is sealed while it is written, in whatever order and however often its bytes come.

A file of blocks of 64 KiB, each under AES-256-GCM with a fresh random nonce (96 bits, NIST SP 800-38D) at
every rewrite. Its associated data name the upload, the block's number and its lengths, so that no block
stands for another. Slots have a fixed width, which gives random access; what has not been written yet is a
gap, and content with a gap is no content. ``hub.sealed`` holds what is written once, from start to end.
"""

import io
import os
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.disk import disk_errors, read_errors
from hub.errors import Corrupt, Refused
from hub.extents import Extents

BLOCK: Final = 1 << 16
TAG: Final = 16
_NONCE: Final = 12
_LENGTHS = struct.Struct(">II")  # bytes without a gap from the block's start; bytes in all
HEAD: Final = _NONCE + _LENGTHS.size
SLOT: Final = HEAD + BLOCK + TAG
HELD: Final = 4  # plain blocks in memory per upload: 256 KiB
FRAGMENTS: Final = 4096


def _associated(upload: str, number: int, lengths: bytes) -> bytes:
    return b"hub upload block v1/" + upload.encode() + number.to_bytes(8, "big") + lengths


class Blocks:
    """The content of one upload while it is written; safe to use from several threads.

    ``path`` is made (0600) by ``create``, and must be there for ``reopen``, which keeps what is there
    without a gap from the start and proves it. ``limit`` is the greatest size in bytes.
    Raises Transient ``disk.full``, ``disk.write`` or ``disk.read``.
    """

    def __init__(self, path: Path, key: bytes, upload: str, limit: int, *, flags: int) -> None:
        self._path = path
        self._cipher = AESGCM(key)
        self._upload = upload
        self._limit = limit
        self._lock = threading.RLock()
        self._held: dict[int, bytearray] = {}
        self._dirty: set[int] = set()
        self._sealed: set[int] = set()
        self._extents = Extents()
        with disk_errors(path):
            self._handle = os.open(path, flags | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    @classmethod
    def create(cls, path: Path, key: bytes, upload: str, limit: int) -> "Blocks":
        """Begin an empty content."""
        return cls(path, key, upload, limit, flags=os.O_CREAT | os.O_EXCL)

    @classmethod
    def reopen(cls, path: Path, key: bytes, upload: str, limit: int) -> "Blocks":
        """Go on with a content: with its bytes up to the first gap or damage; the rest is forgotten."""
        blocks = cls(path, key, upload, limit, flags=0)
        with disk_errors(path):
            slots = -(-os.fstat(blocks._handle).st_size // SLOT)
        size = 0
        for number in range(slots):
            found = blocks._open(number)
            size += found[1] if found else 0
            if found is None or found[1] < BLOCK:
                break
        blocks._sealed = set(range(-(-size // BLOCK)))
        blocks._extents = Extents(size)
        blocks._shorten(size)
        return blocks

    @property
    def size(self) -> int:
        """The end of the last byte written."""
        return self._extents.end

    @property
    def prefix(self) -> int:
        """How many bytes are there without a gap from the start: where a sender resumes."""
        return self._extents.run(0)

    def takes_in_memory(self, offset: int, length: int) -> bool:
        """Tell whether a write only touches the block in hand, so that it costs no call of the disk."""
        return offset // BLOCK == (offset + length - 1) // BLOCK and offset // BLOCK in self._held

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes at a place; they may lie over others, or beyond the end.

        Raises:
            Refused: ``file.too_large`` beyond the limit, ``upload.scattered`` for too many stretches.
        """
        if offset + len(data) > self._limit:
            raise Refused(
                "file.too_large",
                f"expected at most {self._limit} bytes, found more",
                "split the file, or ask for a larger limit",
            )
        with self._lock, memoryview(data) as view:
            if len(self._extents) >= FRAGMENTS:
                message = f"expected at most {FRAGMENTS} separate stretches, found more"
                raise Refused("upload.scattered", message, "send the file from its start to its end")
            done = 0
            while done < len(view):
                number, start = divmod(offset + done, BLOCK)
                piece = view[done : done + BLOCK - start]
                block = self._hold(number)
                if len(block) < start:
                    block.extend(bytes(start - len(block)))
                block[start : start + len(piece)] = piece
                self._dirty.add(number)
                self._extents.add(offset + done, offset + done + len(piece))  # at once: it may be sealed next
                done += len(piece)

    def truncate(self, size: int) -> None:
        """Cut the content; asked for more than there is, it stays as it is (more would be a gap)."""
        with self._lock:
            if size < self.size:
                self._extents.cut(size)
                self._shorten(size)

    def flush(self) -> None:
        """Seal everything that is held in the clear."""
        with self._lock:
            for number in sorted(self._dirty):
                self._seal(number)

    def settle(self) -> int:
        """Seal everything and flush it to the disk; gives the size in bytes.

        Raises:
            Refused: ``upload.gap`` if bytes between start and end were never written.
        """
        with self._lock:
            if self.prefix < self.size:
                raise Refused(
                    "upload.gap",
                    f"expected {self.size} bytes without a gap, found one at byte {self.prefix}",
                    "resume from there, or send the file again",
                )
            self.flush()
            with disk_errors(self._path):
                os.fsync(self._handle)
            return self.size

    def close(self) -> None:
        """Let the file and all plain bytes go; what was not flushed is lost."""
        with self._lock:
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1
            self._held.clear()
            self._dirty.clear()

    def _hold(self, number: int) -> bytearray:
        block = self._held.pop(number, None)
        if block is None:
            while len(self._held) >= HELD:
                oldest = next(iter(self._held))
                self._seal(oldest)
                del self._held[oldest]
            block = bytearray(self._read(number)) if number in self._sealed else bytearray()
        self._held[number] = block  # last in the order: the one in hand
        return block

    def _seal(self, number: int) -> None:
        if number not in self._dirty:
            return
        block = self._held[number]
        lengths = _LENGTHS.pack(min(self._extents.run(number * BLOCK), len(block)), len(block))
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, bytes(block), _associated(self._upload, number, lengths))
        with disk_errors(self._path), memoryview(nonce + lengths + sealed) as data:
            done = 0
            while done < len(data):
                done += os.pwrite(self._handle, data[done:], number * SLOT + done)
        self._dirty.discard(number)
        self._sealed.add(number)

    def _read(self, number: int) -> bytes:
        found = self._open(number)
        if found is None:
            raise _damaged(self._upload, number)
        return found[0]

    def _open(self, number: int) -> tuple[bytes, int] | None:
        """Give a block's bytes and how many of them have no gap before them; None if it does not open."""
        with read_errors(self._path):
            slot = os.pread(self._handle, SLOT, number * SLOT)
        return _opened(self._cipher, self._upload, number, slot)

    def _shorten(self, size: int) -> None:
        """Let go all blocks beyond ``size`` and cut the one that holds it."""
        last, rest = divmod(size, BLOCK)
        if rest:
            del self._hold(last)[rest:]
            self._dirty.add(last)
        for number in [one for one in self._held if one * BLOCK >= size]:
            del self._held[number]
            self._dirty.discard(number)
        self._sealed = {one for one in self._sealed if one * BLOCK < size}
        slots = -(-size // BLOCK) * SLOT
        with disk_errors(self._path):
            if os.fstat(self._handle).st_size > slots:  # else nothing is touched: its age counts
                os.ftruncate(self._handle, slots)


def _opened(cipher: AESGCM, upload: str, number: int, slot: bytes) -> tuple[bytes, int] | None:
    lengths = slot[_NONCE:HEAD]
    if len(slot) < HEAD + TAG:
        return None
    prefix, total = _LENGTHS.unpack(lengths)
    try:
        associated = _associated(upload, number, lengths)
        return cipher.decrypt(slot[:_NONCE], slot[HEAD : HEAD + total + TAG], associated), prefix
    except InvalidTag:
        return None


def _damaged(upload: str, number: int) -> Corrupt:
    return Corrupt(
        "upload.damaged",
        f"expected block {number + 1} of upload {upload} as it was sealed, found another",
        "keep the file for the administrators and have the sender send it again",
    )


class BlockReader(io.RawIOBase):
    """A settled content read from its start to its end, each block proved before a byte of it is given.

    Raises Corrupt ``upload.damaged`` for a gap, a cut or any change; ``size`` is the size that it settled at.
    """

    def __init__(self, path: Path, key: bytes, upload: str, size: int) -> None:
        super().__init__()
        self._path, self._cipher, self._upload = path, AESGCM(key), upload
        self._size, self._number, self._rest = size, 0, b""
        with read_errors(path):
            self._file = path.open("rb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def readable(self) -> bool:
        """Yes: this is the reading side."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read ``size`` bytes, fewer only at the end."""
        wanted = self._size if size is None or size < 0 else size
        parts: list[bytes] = []
        while wanted > 0 and (self._rest or self._number * BLOCK < self._size):
            self._rest = self._rest or self._next()
            parts.append(self._rest[:wanted])
            wanted -= len(parts[-1])
            self._rest = self._rest[len(parts[-1]) :]
        return b"".join(parts)

    def _next(self) -> bytes:
        expected = min(BLOCK, self._size - self._number * BLOCK)
        with read_errors(self._path):
            slot = os.pread(self._file.fileno(), SLOT, self._number * SLOT)
        found = _opened(self._cipher, self._upload, self._number, slot)
        if found is None or found[1] != expected or len(found[0]) != expected:
            raise _damaged(self._upload, self._number)
        self._number += 1
        return found[0]

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
        super().close()
