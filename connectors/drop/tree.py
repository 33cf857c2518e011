"""The tree of folders and files that one partner sees; nothing of it lies on a disk like that."""

import stat
import time
from dataclasses import dataclass
from typing import Final

from asyncssh import SFTPAttrs, SFTPName

from connectors.drop.access import FRESH, Access, View
from connectors.drop.arriving import Arriving
from connectors.drop.inbox import Inbox
from connectors.drop.names import checked
from connectors.drop.outbox import Outbox, Reading
from connectors.drop.paths import Folder, Place, nothing, place_of
from connectors.drop.replies import Replies
from hub.collection import Offered
from hub.errors import Refused
from hub.uploads import Upload
from schemas.agreement import Agreement

_FOLDER: Final = stat.S_IFDIR | 0o555
_DROP: Final = stat.S_IFDIR | 0o755
_MINE: Final = stat.S_IFREG | 0o600
_GIVEN: Final = stat.S_IFREG | 0o400


@dataclass(frozen=True)
class Parts:
    """What all sessions share; ``began`` is when the drop was started."""

    access: Access
    inbox: Inbox
    replies: Replies
    arriving: Arriving
    outbox: Outbox
    began: float


class Tree:
    """A partner's root, as its session walks it."""

    def __init__(self, parts: Parts, partner: str, public_key: str) -> None:
        self._parts = parts
        self._run = parts.arriving.run
        self._partner = partner
        self._public_key = public_key
        self._seen: View | None = None
        self._seen_at = -FRESH

    async def view(self) -> View:
        """Look what the partner may do now; raises Refused once it may not be here."""
        if self._seen is None or time.monotonic() - self._seen_at > FRESH:
            self._seen = await self._run(self._parts.access.view, self._partner, self._public_key)
            self._seen_at = time.monotonic()
        return self._seen

    async def sending(self, place: Place) -> Agreement:
        """Give the agreement under which a file of the inbox is sent; Refused for any other place."""
        if place.folder is not Folder.INBOX or place.agreement is None or place.name is None:
            raise Refused("drop.read_only", "only files in inbox/AGREEMENT/ can be written", "see the guide")
        agreement = (await self.view()).sends.get(place.agreement)
        if agreement is None:
            raise nothing()
        return agreement

    async def uploaded(self, place: Place) -> Upload:
        """Give the upload of a name."""
        agreement = await self.sending(place)
        listed = self._parts.inbox.uploads.listed(self._partner, agreement.id)
        upload = listed.get(checked(place.name or b""))
        if upload is None:
            raise nothing()
        return upload

    async def _receiving(self, place: Place) -> str:
        if place.agreement is None or place.agreement not in (await self.view()).receives:
            raise nothing()
        return place.agreement

    async def _parcel(self, place: Place, name: str) -> Offered:
        agreement = await self._receiving(place)
        parcel = await self._run(self._parts.outbox.find, self._partner, agreement, name)
        if parcel is None:
            raise nothing()
        return parcel

    async def reading(self, place: Place) -> Reading:
        """Open a parcel or a reply."""
        name = (place.name or b"").decode(errors="replace")
        if place.folder is Folder.INBOX:
            await self.uploaded(place)
            raise Refused("drop.sent", "what was sent cannot be read back", "see outbox/ and receipts/")
        if place.folder is Folder.OUTBOX and place.name is not None:
            return await self._run(self._parts.outbox.open, await self._parcel(place, name))
        await self.view()
        content = await self._run(self._parts.replies.content, self._partner, name) if place.name else None
        if content is None:
            raise nothing()
        return Reading(content)

    async def attributes(self, place: Place) -> SFTPAttrs:
        """Tell size and time of a file or folder."""
        if place.name is None:
            return await self._folder(place)
        if place.folder is Folder.INBOX:
            return self.of_upload(await self.uploaded(place))
        named = place.name.decode(errors="replace")
        if place.folder is Folder.OUTBOX:
            parcel = await self._parcel(place, named)
            return _attrs(_GIVEN, parcel.bytes, parcel.sent_at.timestamp())
        await self.view()
        reply = await self._run(self._parts.replies.find, self._partner, named)
        if reply is None:
            raise nothing()
        return _attrs(_GIVEN, reply.size, reply.at.timestamp())

    async def listing(self, path: bytes) -> list[SFTPName]:
        """List a folder."""
        place = place_of(path)
        if place.name is not None:
            raise nothing()
        await self._folder(place)
        view = await self.view()
        if place.folder is None:
            return [SFTPName(one.encode(), attrs=self._plain()) for one in Folder]
        if place.folder is not Folder.RECEIPTS and place.agreement is None:
            inbox = place.folder is Folder.INBOX
            named, mode = (view.sends, _DROP) if inbox else (view.receives, _FOLDER)
            return [SFTPName(one.encode(), attrs=_attrs(mode, 0, self._parts.began)) for one in named]
        return await self._files(place)

    async def _files(self, place: Place) -> list[SFTPName]:
        await self.view()
        if place.folder is Folder.RECEIPTS:
            replies = await self._run(self._parts.replies.listed, self._partner)
            return [_name(one.name, one.size, one.at.timestamp()) for one in replies.values()]
        if place.folder is Folder.OUTBOX:
            agreement = await self._receiving(place)
            parcels = await self._run(self._parts.outbox.listed, self._partner, agreement)
            return [_name(one.name, one.bytes, one.sent_at.timestamp()) for one in parcels.values()]
        uploads = self._parts.inbox.uploads.listed(self._partner, place.agreement or "")
        return [SFTPName(one.name.encode(), attrs=self.of_upload(one)) for one in uploads.values()]

    async def _folder(self, place: Place) -> SFTPAttrs:
        view = await self.view()
        if place.agreement is None:
            return self._plain()
        inbox = place.folder is Folder.INBOX
        if place.agreement not in (view.sends if inbox else view.receives):
            raise nothing()
        return _attrs(_DROP if inbox else _FOLDER, 0, self._parts.began)

    def _plain(self) -> SFTPAttrs:
        return _attrs(_FOLDER, 0, self._parts.began)

    def of_upload(self, upload: Upload, size: int | None = None) -> SFTPAttrs:
        """Tell size and time of an upload: the size from which to resume it, unless another is given."""
        shown = self._parts.inbox.size(upload) if size is None else size
        return _attrs(_MINE, shown, upload.changed)

    def of_reading(self, reading: Reading) -> SFTPAttrs:
        """Tell the size of what is being read."""
        return _attrs(_GIVEN, reading.size, self._parts.began)


def _attrs(mode: int, size: int, at: float) -> SFTPAttrs:
    return SFTPAttrs(size=size, uid=0, gid=0, permissions=mode, atime=int(at), mtime=int(at), nlink=1)


def _name(name: str, size: int, at: float) -> SFTPName:
    return SFTPName(name.encode(), attrs=_attrs(_GIVEN, size, at))
