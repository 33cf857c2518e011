"""The public side of the transfer log: checkpoint and hash tiles as files that anybody may fetch.

The folder is laid out as C2SP tlog-tiles has it, without entries. Tiles are there before the checkpoint that
needs them, and a new checkpoint is laid out only once it is proved to extend the one before. Killed at any
write, the next publishing goes on from the checkpoint that is out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub import staging
from hub.database.models import LedgerCheckpoint
from hub.errors import Corrupt
from hub.ledger import cosignature, store, tiles
from hub.ledger.checkpoint import Checkpoint, open_checkpoint
from hub.ledger.cosignature import Taken
from hub.ledger.notes import LOG, read_key
from hub.ledger.policy import Policy, load_policy
from hub.ledger.tiles import WIDTH, Tile
from hub.ledger.tree import EMPTY_ROOT, HASH_BYTES, verify_consistency
from hub.office import Office

LOCK = 0x7075626C69636C6F  # "publiclo": the advisory lock of whoever lays out the public log
CHECKPOINT = "checkpoint"
_ALARM = "stop sending, keep the database as it is, and call the data protection officer"


@dataclass(frozen=True, slots=True)
class Published:
    """What lies open now: the log's size, how many tiles were written, whether the checkpoint is new."""

    size: int
    tiles: int
    new: bool


def publish(office: Office, *, anew: bool = False) -> Published:
    """Lay out the log's newest checkpoint with its cosignatures, and the tiles that it needs.

    Only tiles that are new since the checkpoint that is out are read and written; with ``anew`` all are
    looked at, and what lacks or differs is written again.

    Raises:
        Corrupt: ``ledger.cut`` when the log is shorter than what was laid out, ``ledger.forked`` when it is
            another one, ``checkpoint.*`` when a note is not what it must be, ``ledger.node``.
        Transient: the database or the disk did not go along; what is out stays sound.
    """
    folder = office.settings.public_log
    with office.database.transaction() as session:
        session.execute(select(func.pg_advisory_xact_lock(LOCK)))
        out = folder / CHECKPOINT
        known = out.read_text(encoding="utf-8") if out.exists() else None
        if session.scalar(select(func.max(LedgerCheckpoint.size))) is None and known is None:
            return Published(0, 0, new=False)
        note = cosignature.cosigned(session)
        new, old = _opened(office, note), _opened(office, known) if known else Checkpoint("", 0, EMPTY_ROOT)
        if note == known and not anew:
            return Published(new.size, 0, new=False)
        _hold_against(session, old, new)
        written = _lay_out(session, folder, new.size, since=0 if anew else old.size)
        if note != known:
            _prepare(folder)
            staging.replace(out, note.encode())
    return Published(new.size, written, new=note != known)


def read_checkpoint(folder: Path) -> bytes | None:
    """Read the checkpoint that is out; None while there is none."""
    return _content(folder / CHECKPOINT)


def read_tile(folder: Path, path: str) -> tuple[Tile, bytes] | None:
    """Read a tile by its path, in its one spelling; None for what is no tile or not there.

    A partial tile that is not there as such is cut from a wider one: so each checkpoint that the log has
    ever signed has its tiles, up to the one that is out.
    """
    tile = tiles.parse(path)
    if tile is None:
        return None
    for file in (folder / tile.path, folder / tile.full.path, *_wider(folder, tile)):
        content = _content(file)
        if content is not None and len(content) >= tile.width * HASH_BYTES:
            return tile, content[: tile.width * HASH_BYTES]
    return None


def known_witnesses(office: Office) -> Policy:
    """Read whom the hub knows as witnesses; nobody, and no quorum, where there is no policy file.

    Raises `Refused` as `hub.ledger.policy.load_policy`.
    """
    file = office.settings.policy_file
    return load_policy(file) if file.exists() else Policy()


def take_cosignature(office: Office, note: str) -> Taken:
    """Take in what a witness handed back, and lay it open; raises as `cosignature.take` and `publish`."""
    policy = known_witnesses(office)
    log = read_key(office.ring.verifier_key(office.settings.origin), LOG)
    with office.database.transaction() as session:
        taken = cosignature.take(session, policy, log, note)
    publish(office)
    return taken


def _opened(office: Office, note: str) -> Checkpoint:
    return open_checkpoint(note, office.settings.origin, office.ring.log_public())


def _hold_against(session: Session, old: Checkpoint, new: Checkpoint) -> None:
    """Prove that the log still begins with what is out."""
    if new.size < old.size:
        message = f"the log holds {new.size} entries, its public checkpoint is over {old.size}"
        raise Corrupt("ledger.cut", message, _ALARM)
    proof = store.prove_consistency(session, old.size, new.size)
    if not verify_consistency(old.size, old.root, new.size, new.root, proof):
        message = f"the log of {new.size} entries does not begin with the {old.size} of its public checkpoint"
        raise Corrupt("ledger.forked", message, _ALARM)


def _lay_out(session: Session, folder: Path, size: int, since: int) -> int:
    """Write the tiles that lack, and clear the partial ones away that a full one has replaced."""
    written, made = 0, set[Path]()
    for tile, hashes in tiles.contents(session, size, since):
        file = folder / tile.path
        if _content(file) != hashes:  # a leftover that no checkpoint covers may say something else
            if file.parent not in made:
                _prepare(file.parent)
                made.add(file.parent)
            staging.replace(file, hashes)
            written += 1
        if tile.is_full and (partial := _partial_folder(folder, tile)).exists():
            staging.discard(partial)
    return written


def _prepare(folder: Path) -> None:
    """Make a folder and clear away what a killed publisher left: by the lock, no other is writing."""
    staging.make_folder(folder)
    for leftover in folder.glob(".*.new"):
        staging.discard(leftover)


def _wider(folder: Path, tile: Tile) -> Iterator[Path]:
    """Name the partial tiles in the place of one that are wider than it, the widest first."""
    try:
        widths = [int(file.name) for file in _partial_folder(folder, tile).iterdir() if file.name.isdigit()]
    except (FileNotFoundError, NotADirectoryError):
        return
    for width in sorted(widths, reverse=True):
        if tile.width < width < WIDTH:
            yield folder / Tile(tile.level, tile.index, width).path


def _partial_folder(folder: Path, tile: Tile) -> Path:
    return (folder / Tile(tile.level, tile.index, 1).path).parent


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
