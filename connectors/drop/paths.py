"""Paths: the few places that a partner's tree has; every path is one of them, or nothing."""

import posixpath
from dataclasses import dataclass
from enum import StrEnum

from hub.errors import Refused


class Folder(StrEnum):
    """The folders of a partner's root."""

    INBOX = "inbox"
    OUTBOX = "outbox"
    RECEIPTS = "receipts"


@dataclass(frozen=True)
class Place:
    """A place in a partner's tree: the root (no folder), a folder, an agreement's folder, or a file."""

    folder: Folder | None = None
    agreement: str | None = None
    name: bytes | None = None


def normal(path: bytes) -> bytes:
    """Write a path from the root on, without dots: there is nothing above the root to get to."""
    return b"/" + posixpath.normpath(b"/" + path).lstrip(b"/")


def place_of(path: bytes) -> Place:
    """Tell which place a path names.

    Raises:
        Refused: ``drop.nothing``.
    """
    parts = [part for part in normal(path).split(b"/") if part]
    if not parts:
        return Place()
    try:
        folder = Folder(parts[0].decode("ascii"))
        match (folder, parts[1:]):
            case (_, []):
                return Place(folder)
            case (Folder.RECEIPTS, [name]):
                return Place(folder, name=name)
            case (Folder.INBOX | Folder.OUTBOX, [agreement]):
                return Place(folder, agreement.decode("ascii"))
            case (Folder.INBOX | Folder.OUTBOX, [agreement, name]):
                return Place(folder, agreement.decode("ascii"), name)
    except ValueError:
        raise nothing() from None
    raise nothing()


def nothing() -> Refused:
    """Say that a path names nothing."""
    return Refused(
        "drop.nothing",
        "there is no such file or folder",
        "see inbox/AGREEMENT/, outbox/AGREEMENT/ and receipts/",
    )
