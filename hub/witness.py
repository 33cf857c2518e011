"""A witness of the transfer log, run by somebody else: it sees that the log only grows, and signs that.

It believes nothing but its own folder and the log's key: checkpoint and tiles are fetched, the tree is
computed anew, and a checkpoint that does not extend what the witness has cosigned before is an alarm with
evidence, not a signature. Formats: C2SP tlog-tiles, tlog-cosignature; rules of tlog-witness. Nothing here is
shared with the modules that write the log (import-linter holds that).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hub.errors import Corrupt, Refused, Transient
from hub.ledger.evidence import Promise, Unsound
from hub.ledger.notes import LARGEST, Signed, cosignature_message, lines_by, read_checkpoint, take_apart
from hub.ledger.tiled import Fetch, Tiles, roots
from hub.witness_state import Kept, State

PATIENCE = 3600
"""Seconds for which an older, consistent checkpoint may be served (a cache) before that is a rollback."""

# {new}: entries of the checkpoint that is served now; {old}: of the one that the witness cosigned last.
SENTENCES: Mapping[str, tuple[str, str]] = {
    "witness.split": (
        "Gespaltene Sicht: Die {new} Einträge von jetzt widersprechen den {old} bestätigten.",
        "Split view: the {new} entries of now contradict the {old} that this witness has cosigned.",
    ),
    "witness.fork": (
        "Umgeschrieben: Die {new} Einträge von jetzt beginnen nicht mit den {old} bestätigten.",
        "Rewritten: the {new} entries of now do not begin with the {old} that this witness has cosigned.",
    ),
    "witness.rollback": (
        "Zurückgesetzt: Gezeigt werden {new} Einträge, dieser Zeuge hat schon {old} bestätigt.",
        "Rolled back: {new} entries are shown, this witness has already cosigned {old}.",
    ),
    "witness.tiles": (
        "Die Kacheln ergeben nicht die unterschriebene Wurzel über {new} Einträge (bestätigt sind {old}).",
        "The tiles do not make the root that is signed over {new} entries ({old} are cosigned).",
    ),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the log came to: ``cosigned``, ``known`` (nothing new), or ``older`` (nothing signed).

    ``note`` is the witness's newest checkpoint with the log's signature and its own cosignature.
    """

    outcome: str
    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class _Served:
    note: str
    text: str
    lines: tuple[Signed, ...]
    promise: Promise


def look(state: State, fetch: Fetch, *, seconds: int, patience: int = PATIENCE) -> Seen:
    """Look at the log once, at this time by the witness's clock, and cosign what extends what was seen.

    What is cosigned rests in the folder before it is returned.

    Raises:
        Corrupt: ``witness.split``, ``witness.fork``, ``witness.rollback``, ``witness.tiles``: told in German
            and English, nothing is cosigned, and the evidence lies in the witness's folder.
        Refused: ``witness.unsigned`` when what is served is no checkpoint of the log; ``witness.clock``.
        Transient: ``witness.absent`` when checkpoint or tiles are not there (yet).
    """
    served, kept = _fetch(state, fetch), state.kept()
    if kept and served.promise.size < kept.promise.size:
        return _older(state, fetch, served, kept, seconds, patience)
    if kept and served.promise.size == kept.promise.size:
        if served.promise.root != kept.promise.root:
            raise _alarm(state, "witness.split", served, kept)
        state.no_longer_older()
        if take_apart(kept.note)[0] == served.text:
            return Seen("known", kept.promise.size, kept.promise.root, kept.note)
    else:
        _hold_against(state, fetch, served, kept)
        state.no_longer_older()
    note = _cosign(state, served, kept, seconds)
    state.keep(note)
    return Seen("cosigned", served.promise.size, served.promise.root, note)


def _fetch(state: State, fetch: Fetch) -> _Served:
    content = fetch("checkpoint", LARGEST)
    if content is None:
        message = f"expected a checkpoint of {state.log.name}, found none"
        raise Transient("witness.absent", message, "is the address right? `hub log checkpoint --publish`")
    try:
        note = content.decode()
        promise = read_checkpoint(note, state.log)
        return _Served(note, take_apart(note)[0], lines_by(note, state.log), promise)
    except (Unsound, UnicodeDecodeError):
        message = f"expected a checkpoint signed by {state.log.name} under the known key, found none"
        remedy = "nothing was cosigned; ask the log's operator, and keep what is served if it stays so"
        raise Refused("witness.unsigned", message, remedy) from None


def _hold_against(state: State, fetch: Fetch, served: _Served, kept: Kept | None) -> None:
    """Prove by the tiles that the log served now begins with the one that was cosigned last."""
    tiles = Tiles(fetch, served.promise.size)
    try:
        before, now = roots(tiles, kept.promise.size if kept else 0)
    except Unsound as unsound:
        if unsound.flaw == "absent":
            message = f"expected all tiles of {served.promise.size} entries, one is not served"
            raise Transient("witness.absent", message, "look again in a moment") from None
        raise _alarm(state, "witness.tiles", served, kept, tiles) from None
    if now != served.promise.root:
        raise _alarm(state, "witness.tiles", served, kept, tiles)
    if kept and before != kept.promise.root:
        raise _alarm(state, "witness.fork", served, kept, tiles)


def _older(state: State, fetch: Fetch, served: _Served, kept: Kept, seconds: int, patience: int) -> Seen:
    """Let a cache be behind for a while, if what it shows is the beginning of what was cosigned."""
    tiles = Tiles(fetch, kept.promise.size)
    try:
        before, now = roots(tiles, served.promise.size)
    except Unsound:
        raise _alarm(state, "witness.rollback", served, kept, tiles) from None
    if now != kept.promise.root:
        raise _alarm(state, "witness.rollback", served, kept, tiles)
    if before != served.promise.root:
        raise _alarm(state, "witness.split", served, kept, tiles)
    if seconds - state.older_since(seconds) >= patience:
        raise _alarm(state, "witness.rollback", served, kept, tiles)
    return Seen("older", kept.promise.size, kept.promise.root, kept.note)


def _cosign(state: State, served: _Served, kept: Kept | None, seconds: int) -> str:
    if seconds <= 0 or (kept and seconds < kept.seconds):
        message = "this machine's clock is behind the witness's last cosignature"
        raise Refused("witness.clock", message, "set the clock, then look again")
    signature = state.signer.sign(cosignature_message(served.text, seconds))
    own = Signed(state.key.name, state.key.key_id, seconds.to_bytes(8, "big") + signature)
    return "".join([served.text, "\n", *(line.text for line in served.lines), own.text])


def _alarm(
    state: State, code: str, served: _Served, kept: Kept | None, tiles: Tiles | None = None
) -> Corrupt:
    """Keep both notes, and the tiles that were looked at, and tell of it in both languages."""
    german, english = (
        sentence.format(new=served.promise.size, old=kept.promise.size if kept else 0)
        for sentence in SENTENCES[code]
    )
    files = {"served": served.note.encode(), "finding.txt": f"{code}\n{german}\n{english}\n".encode()}
    files |= {"cosigned": kept.note.encode()} if kept else {}
    files |= tiles.used if tiles else {}
    folder = state.keep_evidence(code, files)
    remedy = (
        f"keep {folder}: the two notes are the proof. Nichts wurde bestätigt / nothing was cosigned."
        " Tell the other witnesses, the data protection officer and the supervisory authority"
    )
    return Corrupt(code, f"{german} / {english}", remedy)
