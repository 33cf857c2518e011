"""One SFTP session: what its partner's program asks for, put to the tree, the inbox and the outbox."""

# ruff: noqa: ARG002 -- the methods have the arguments that asyncssh gives them

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from asyncssh import FXF_WRITE, SFTPAttrs, SFTPName, SFTPServer

from connectors.drop.answers import LOG
from connectors.drop.inbox import Writing
from connectors.drop.names import checked
from connectors.drop.outbox import ParcelReading, Reading
from connectors.drop.paths import normal, nothing, place_of
from connectors.drop.tree import Parts, Tree
from hub.errors import HubError, Refused
from hub.uploads import Upload

MOST_OPEN: Final = 32
"""Files that one session may have open, and folders that it may be listing."""

_MOST_READ: Final = 1 << 18  # bytes


class Session(SFTPServer):
    """A partner's session; what touches disk or database runs in threads. ``answers`` turns errors into SFTP.

    ``over`` is set before a line that has ended is cleaned up: then nothing is closed at anybody's word.
    """

    def __init__(self, channel: Any, parts: Parts, partner: str, public_key: str) -> None:
        super().__init__(channel)
        self._parts = parts
        self._run = parts.arriving.run
        self._partner = partner
        self._tree = Tree(parts, partner, public_key)
        self._files: set[Writing | Reading] = set()
        self.over = False

    async def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> Writing | Reading:
        """Open a file: of the inbox for writing, of the others for reading."""
        if len(self._files) >= MOST_OPEN:
            raise Refused("drop.busy", f"expected at most {MOST_OPEN} open files, found more", "close some")
        place = place_of(path)
        opened: Writing | Reading
        if pflags & FXF_WRITE:
            agreement = await self._tree.sending(place)
            if self._parts.arriving.ending:
                raise Refused("drop.ending", "the drop is about to stop", "try again in a minute")
            name = checked(place.name or b"")
            opened = await self._run(self._parts.inbox.open, self, agreement, name, pflags)
        else:
            opened = await self._tree.reading(place)
            kind = "parcel" if isinstance(opened, ParcelReading) else "reply"
            self._note(kind, place.agreement or "-", opened.size, "ok")
        self._files.add(opened)
        return opened

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """Read from a parcel or a reply."""
        if not isinstance(file_obj, Reading):
            raise Refused("drop.sent", "what was sent cannot be read back", "see outbox/ and receipts/")
        return await self._run(file_obj.read, offset, min(size, _MOST_READ))

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Write into an upload."""
        writing = _writing(file_obj)
        if writing.within_memory(offset, len(data)):
            self._parts.inbox.write(writing, offset, data)
        else:
            await self._run(self._parts.inbox.write, writing, offset, data)
        return len(data)

    async def close(self, file_obj: object) -> None:
        """Close a file. Only at the client's word does an upload become a submission by that."""
        if self.over:
            return  # the end of a line is no close: ``leave`` lets everything go
        if isinstance(file_obj, Writing):
            self._files.discard(file_obj)
            await self._arrive(file_obj.upload, self._parts.inbox.finish, file_obj)
        elif isinstance(file_obj, Reading):
            self._files.discard(file_obj)
            await self._run(file_obj.close)

    async def _arrive(self, upload: Upload, close: Callable[..., Upload | None], *args: Any) -> None:
        code, submission = "ok", None
        try:
            submission = await self._parts.arriving.arrive(close, *args)
            self._parts.replies.forget(self._partner)
        except HubError as error:
            code = error.code
            raise
        finally:
            action = "put_by" if code == "ok" and submission is None else "upload"
            self._note(action, upload.agreement, upload.size, code, submission or "-")

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename an unfinished upload; by the name of a finished one it arrives."""
        old, new = place_of(oldpath), place_of(newpath)
        agreement = await self._tree.sending(old)
        if (await self._tree.sending(new)).id != agreement.id:
            raise Refused("drop.folder", "a file stays in its agreement's folder", "send it to the other one")
        upload = await self._tree.uploaded(old)
        names = checked(old.name or b""), checked(new.name or b"")
        await self._arrive(upload, self._parts.inbox.rename, agreement, *names)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename as ``rename`` does, which replaces as well: what has arrived under a name stays arrived."""
        await self.rename(oldpath, newpath)

    async def remove(self, path: bytes) -> None:
        """Remove an unfinished upload."""
        place = place_of(path)
        agreement = await self._tree.sending(place)
        await self._run(self._parts.inbox.remove, agreement, checked(place.name or b""))
        self._note("remove", agreement.id, 0, "ok")

    async def setstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Take a file's time as its sender gives it; modes and owners mean nothing here."""
        upload = await self._tree.uploaded(place_of(path))
        if attrs.size is not None and attrs.size != self._parts.inbox.size(upload):
            raise Refused(
                "drop.read_only", "a file is cut while it is open, not by its name", "send it again"
            )
        _date(upload, attrs)

    async def lsetstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Take a file's time."""
        await self.setstat(path, attrs)

    async def fsetstat(self, file_obj: object, attrs: SFTPAttrs) -> None:
        """Cut an upload, or take its time."""
        writing = _writing(file_obj)
        if attrs.size is not None:
            await self._run(self._parts.inbox.truncate, writing, attrs.size)
        _date(writing.upload, attrs)

    async def fsync(self, file_obj: object) -> None:
        """Seal what was written so far."""
        await self._run(self._parts.inbox.sync, _writing(file_obj))

    async def stat(self, path: bytes) -> SFTPAttrs:
        """Tell size and time of a file or folder."""
        return await self._tree.attributes(place_of(path))

    async def lstat(self, path: bytes) -> SFTPAttrs:
        """Tell size and time of a file or folder; there are no links."""
        return await self.stat(path)

    async def fstat(self, file_obj: object) -> SFTPAttrs:
        """Tell size and time of an open file."""
        if isinstance(file_obj, Reading):
            return self._tree.of_reading(file_obj)
        writing = _writing(file_obj)
        return self._tree.of_upload(writing.upload, writing.opened.blocks.size)

    async def listing(self, path: bytes) -> list[SFTPName]:
        """List a folder."""
        return await self._tree.listing(path)

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        """List a folder, name by name."""
        for name in await self.listing(path):
            yield name

    def realpath(self, path: bytes) -> bytes:
        """Write a path from the root on; there is nothing above the root."""
        return normal(path)

    def format_user(self, uid: int | None) -> str:
        """Name the owner of everything here: the partner."""
        return self._partner

    def format_group(self, gid: int | None) -> str:
        """Name the group of everything here."""
        return "hub"

    def mkdir(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Refuse: folders come from agreements."""
        raise _fixed()

    def rmdir(self, path: bytes) -> None:
        """Refuse: folders come from agreements."""
        raise _fixed()

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Refuse: there are no links."""
        raise _fixed()

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        """Refuse: there are no links."""
        raise _fixed()

    def readlink(self, path: bytes) -> bytes:
        """Find no link."""
        raise nothing()

    async def leave(self) -> None:
        """Let go what is open when the line has ended, whoever waits for it."""
        await self._parts.arriving.to_its_end(self._leave())

    async def _leave(self) -> None:
        self.over = True
        files, self._files = self._files, set()
        cut = [one for one in files if isinstance(one, Writing)]
        await self._run(self._parts.inbox.leave, cut)
        for one in files:
            if isinstance(one, Reading):
                await self._run(one.close)
            else:
                self._note("cut", one.upload.agreement, one.upload.size, "unfinished")

    def _note(self, action: str, agreement: str, size: int, code: str, submission: str = "-") -> None:
        line = "partner=%s action=%s agreement=%s bytes=%d code=%s submission=%s"
        LOG.info(line, self._partner, action, agreement, size, code, submission)


def _writing(file_obj: object) -> Writing:
    if not isinstance(file_obj, Writing):
        raise Refused("drop.read_only", "this file is only there to be read", "see the guide")
    return file_obj


def _date(upload: Upload, attrs: SFTPAttrs) -> None:
    if attrs.mtime is not None:
        upload.changed = attrs.mtime


def _fixed() -> Refused:
    return Refused("drop.fixed", "folders come from agreements, and there are no links", "see the guide")
