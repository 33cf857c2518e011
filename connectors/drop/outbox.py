"""The outbox: parcels as their recipients read them, decrypted as they are read."""

import threading
from collections.abc import Callable
from pathlib import Path

from connectors.drop.recent import A_WHILE, SECONDS, Recent
from hub import collection
from hub.collection import Offered
from hub.office import Office

Locate = Callable[[str, str], Path]
"""Names the sealed file of a recipient's parcel (connectors.outbox.Outbox.place)."""


class Reading:
    """A file handle of a session, reading a parcel or (without one) a reply's bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def read(self, offset: int, size: int) -> bytes:
        """Read up to ``size`` bytes at a place, none at the end."""
        return self._content[offset : offset + size]

    def close(self) -> None:
        """Let the content go."""


class ParcelReading(Reading):
    """A file handle reading a parcel; the log says that it was collected before its last byte is given."""

    def __init__(self, office: Office, parcel: Offered, sealed: Path) -> None:
        super().__init__(b"")
        self._office, self._parcel = office, parcel
        self._lock = threading.Lock()
        self._source = collection.open_content(office, sealed, parcel)
        self._noted = False
        self.size = self._source.size

    def read(self, offset: int, size: int) -> bytes:
        """Read up to ``size`` bytes at a place, none at the end."""
        with self._lock:
            if offset >= self.size:
                return b""
            if offset + size >= self.size and not self._noted:
                collection.note(self._office, self._parcel, again=False)
                self._noted = True
            self._source.seek(offset)
            return self._source.read(size)

    def close(self) -> None:
        """Let the parcel go."""
        with self._lock:
            self._source.close()


class Outbox:
    """All parcels that were sent, as their recipients see them."""

    def __init__(self, office: Office, locate: Locate) -> None:
        self._office = office
        self._locate = locate
        self._recent: Recent[str, dict[str, Offered]] = Recent()

    def listed(self, recipient: str, agreement: str) -> dict[str, Offered]:
        """List the parcels of a recipient under an agreement, by file name."""
        return {one.name: one for one in self._offered(recipient).values() if one.agreement == agreement}

    def find(self, recipient: str, agreement: str, name: str) -> Offered | None:
        """Find a parcel by its file name."""
        found = self._offered(recipient, A_WHILE).get(name) or self._offered(recipient).get(name)
        return found if found is not None and found.agreement == agreement else None

    def _offered(self, recipient: str, within: float = SECONDS) -> dict[str, Offered]:
        def ask() -> dict[str, Offered]:
            return {one.name: one for one in collection.offered(self._office, recipient, expired=False)}

        return self._recent.get(recipient, ask, within)

    def open(self, parcel: Offered) -> ParcelReading:
        """Open a parcel for its recipient."""
        return ParcelReading(self._office, parcel, self._locate(parcel.recipient, parcel.name))
