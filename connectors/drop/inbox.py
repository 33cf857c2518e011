"""The inbox: files that partners write, until each is closed and has become a submission."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from asyncssh import FXF_APPEND, FXF_CREAT, FXF_EXCL, FXF_TRUNC

from connectors.drop.names import in_progress
from connectors.drop.paths import nothing
from hub.blocks import Blocks
from hub.errors import HubError, Refused
from hub.office import Office
from hub.uploads import Stage, Upload, Uploads
from schemas.agreement import Agreement

TOO_LARGE: Final = "file.too_large"


@dataclass(eq=False)
class Opened:
    """An upload that is open: its content, who writes it, and what went wrong with it."""

    upload: Upload
    blocks: Blocks
    session: object
    writers: set["Writing"] = field(default_factory=set)
    failed: HubError | None = None


@dataclass(eq=False)
class Writing:
    """A file handle of a session, writing one upload."""

    opened: Opened
    append: bool
    base: int | None = None  # what is added to the client's offsets

    @property
    def upload(self) -> Upload:
        """The upload that it writes."""
        return self.opened.upload

    def within_memory(self, offset: int, length: int) -> bool:
        """Tell whether a write costs nothing but a copy."""
        return self.base is not None and self.opened.blocks.takes_in_memory(self.base + offset, length)


class Inbox:
    """All uploads that are open or unfinished. Its methods block, and may be called from any thread.

    Opened to be truncated, a name is a new upload, whoever else is writing one of that name. Opened to go on,
    it is the unfinished upload of that name; if another session still has it open (a line that broke and is
    not noticed yet), that one loses it.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._uploads = Uploads(office)
        self._lock = threading.RLock()
        self._open: dict[str, Opened] = {}

    @property
    def uploads(self) -> Uploads:
        """The uploads as they rest."""
        return self._uploads

    @property
    def busy(self) -> set[str]:
        """The uploads that are open."""
        with self._lock:
            return set(self._open)

    def open(self, session: object, agreement: Agreement, name: str, flags: int) -> Writing:
        """Open a name for writing, under the agreement's sender; ``flags`` as SFTP has them."""
        limit = agreement.intake.max_bytes
        with self._lock:
            there = self._uploads.listed(agreement.sender.id, agreement.id).get(name)
            if there is None and not flags & FXF_CREAT:
                raise nothing()
            if there is not None and flags & FXF_EXCL:
                raise Refused("drop.exists", "there is a file of that name", "choose another name")
            if there is not None and there.stage is Stage.UNFINISHED and not flags & FXF_TRUNC:
                opened = self._go_on(session, there, limit)
            else:
                if there is not None and there.stage is Stage.UNFINISHED and there.id not in self._open:
                    self._uploads.discard(there)
                upload, blocks = self._uploads.begin(agreement.sender.id, agreement.id, name, limit)
                opened = self._open[upload.id] = Opened(upload, blocks, session)
            writing = Writing(opened, append=bool(flags & FXF_APPEND))
            opened.writers.add(writing)
            return writing

    def _go_on(self, session: object, upload: Upload, limit: int) -> Opened:
        opened = self._open.get(upload.id)
        if opened is None:
            opened = self._open[upload.id] = Opened(upload, self._uploads.resume(upload, limit), session)
        elif opened.session is not session:
            opened.writers.clear()
            opened.session = session
        return opened

    def write(self, writing: Writing, offset: int, data: bytes) -> None:
        """Write bytes; an upload that failed once fails from then on, until it is opened again."""
        opened = self._held(writing)
        if opened.failed is not None:
            raise opened.failed
        if writing.base is None:
            # Clients that append give true offsets (OpenSSH), or count from nothing: both mean the end.
            writing.base = opened.blocks.size if writing.append and not offset else 0
        try:
            opened.blocks.write(writing.base + offset, data)
        except HubError as error:
            opened.failed = error
            raise

    def truncate(self, writing: Writing, size: int) -> None:
        """Cut what was written."""
        self._held(writing).blocks.truncate(size)

    def sync(self, writing: Writing) -> None:
        """Seal what was written so far."""
        self._held(writing).blocks.flush()

    def _held(self, writing: Writing) -> Opened:
        if writing not in writing.opened.writers:
            raise Refused("upload.elsewhere", "another session goes on with this upload", "let it finish")
        return writing.opened

    def finish(self, writing: Writing) -> Upload | None:
        """Close a handle at its client's word; gives the upload if it is closed durably by that.

        None while it is open elsewhere, or if its name says that it is not finished.

        Raises:
            Refused: ``upload.gap``, or what made a write fail before; the upload stays unfinished.
        """
        opened = self._held(writing)
        with self._lock:
            opened.writers.discard(writing)
            if opened.writers:
                return None
        try:
            if opened.failed is not None:
                raise opened.failed
            if in_progress(opened.upload.name):
                return None
            size = opened.blocks.settle()
            self._uploads.close(opened.upload, size)
            return opened.upload
        finally:
            self._let_go(opened)

    def leave(self, writings: Iterable[Writing]) -> None:
        """Let go what a session had open when it ended: nothing of it is finished by that."""
        for writing in writings:
            opened = writing.opened
            with self._lock:
                last = opened.writers == {writing}
                opened.writers.discard(writing)
            if last:
                self._let_go(opened)

    def _let_go(self, opened: Opened) -> None:
        upload = opened.upload
        with self._lock:
            try:
                if upload.stage is Stage.UNFINISHED:
                    opened.blocks.flush()
                    upload.size = opened.blocks.prefix
            finally:
                opened.blocks.close()
                opened.writers.clear()
                self._open.pop(upload.id, None)
        if opened.failed is not None and opened.failed.code == TOO_LARGE:
            self._uploads.discard(upload)

    def rename(self, agreement: Agreement, old: str, new: str) -> Upload | None:
        """Rename an unfinished upload; gives it if that closes it durably (the new name is a finished one's).

        Raises:
            Refused: ``upload.arrived``, ``upload.busy``, ``upload.gap``.
        """
        with self._lock:
            upload = self._unfinished(agreement, old)
            there = self._uploads.listed(agreement.sender.id, agreement.id).get(new)
            if in_progress(new):
                if there is not None and there is not upload and there.stage is Stage.UNFINISHED:
                    self._unfinished(agreement, new)
                    self._uploads.discard(there)
                self._uploads.rename(upload, new)
                return None
            blocks = self._uploads.resume(upload, agreement.intake.max_bytes)
            try:
                size = blocks.settle()
            finally:
                blocks.close()
            upload.name = new
            self._uploads.close(upload, size)
            return upload

    def remove(self, agreement: Agreement, name: str) -> None:
        """Remove an unfinished upload."""
        with self._lock:
            self._uploads.discard(self._unfinished(agreement, name))

    def _unfinished(self, agreement: Agreement, name: str) -> Upload:
        upload = self._uploads.listed(agreement.sender.id, agreement.id).get(name)
        if upload is None:
            raise nothing()
        if upload.stage is not Stage.UNFINISHED:
            raise Refused(
                "upload.arrived",
                f"this file has arrived ({upload.submission}) and cannot be changed here",
                "send a new file, or ask the data stewards to recall it",
            )
        if upload.id in self._open:
            raise Refused("upload.busy", "this file is being written", "close it first")
        return upload

    def size(self, upload: Upload) -> int:
        """Give the size that its sender sees: of an unfinished upload where to resume it."""
        with self._lock:
            opened = self._open.get(upload.id)
            return opened.blocks.prefix if opened is not None else upload.size

    def flush(self) -> None:
        """Seal what all open uploads hold in memory."""
        with self._lock:
            for opened in self._open.values():
                opened.blocks.flush()
