"""The hub's own outbox: recipients fetch their parcels from it; they lie there sealed, as everything does."""

from pathlib import Path

from hub import staging
from hub.errors import Corrupt


class Outbox:
    """Sealed parcels, one folder per recipient. Who fetches one gets it decrypted (see hub.collection)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, recipient: str, name: str) -> Path:
        """Name the file of a parcel."""
        return self._folder / recipient / f"{name}.sealed"

    def send(self, recipient: str, name: str, sealed: Path) -> None:
        """Move a sealed parcel into its recipient's folder; a parcel that is there already stays.

        Raises:
            Corrupt: ``outbox.missing`` if it is neither here nor there.
        """
        final = self.place(recipient, name)
        staging.make_folder(final.parent)
        if sealed.exists():
            staging.publish(sealed, final)
        elif not final.exists():
            message = f"expected the sealed parcel {name} in staging or in the outbox, found none"
            raise Corrupt("outbox.missing", message, "restore HUB_HOME/data and the database from one moment")

    def take_back(self, recipient: str, name: str) -> None:
        """Remove a parcel that was never released to its recipient."""
        staging.discard(self.place(recipient, name))
