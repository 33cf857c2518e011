"""The hub's own outbox: recipients fetch their parcels from it; they lie there sealed, as everything does."""

from pathlib import Path

from hub import staging


class Outbox:
    """Sealed parcels, one folder per recipient. Who fetches one gets it decrypted (see hub.collection)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, recipient: str, name: str) -> Path:
        """Name the file of a parcel."""
        return self._folder / recipient / f"{name}.sealed"

    def send(self, recipient: str, name: str, sealed: Path) -> None:
        """Lay a sealed parcel into its recipient's folder; one that is there already stays.

        The staged file stays as well until the submission is done: a hub that is killed between sending and
        noting it finds everything as it was.
        """
        final = self.place(recipient, name)
        staging.make_folder(final.parent)
        staging.share(sealed, final)

    def take_back(self, recipient: str, name: str) -> None:
        """Remove a parcel that was never released to its recipient."""
        staging.discard(self.place(recipient, name))
