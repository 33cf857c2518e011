"""The public log's tiles and checkpoint, as a witness sees them who saw it when it was shorter."""

import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

from tests.e2e.tamper.attacks import AT, FORGERIES, attack, other_nonce
from tests.e2e.tamper.bed import THIEF, Bed, Bodies, Outcome, told


def on_tile(
    operation: str, what: str, *codes: str, tile: str, change: Callable[[bytes], bytes | None]
) -> None:
    """An attack on a public tile; ``*`` in its path is its width."""

    def run(bed: Bed) -> Outcome:
        def spoil(folder: Path) -> None:
            (file,) = folder.glob(f"tile/{tile}")
            content = change(file.read_bytes())
            file.unlink() if content is None else file.write_bytes(content)

        return bed.public(spoil, is_new=tile == TOP)

    attack(operation, "tile", what, *codes)(run)


FULL, LAST, TOP = "0/000", "0/001.p/*", "1/000.p/*"
for _what, _tile in (("a full tile", FULL), ("the last tile", LAST), ("a tile above", TOP)):
    on_tile(
        "flip", f"a bit of {_what}", "witness.tiles", tile=_tile, change=lambda b: bytes([b[0] ^ 1]) + b[1:]
    )
    on_tile("drop", _what, "witness.absent", tile=_tile, change=lambda _: None)
    on_tile("truncate", f"{_what} by a hash", "witness.tiles", tile=_tile, change=lambda b: b[:-32])
on_tile("insert", "a hash at the end", "source.size", tile=LAST, change=lambda b: b + bytes(32))
on_tile(
    *("insert", "a hash in between, the last one left out", "witness.tiles"),
    tile=FULL,
    change=lambda b: b[:32] + bytes(32) + b[32:-32],
)
on_tile(
    *("reorder", "two hashes", "witness.tiles"),
    tile=FULL,
    change=lambda b: b[32:64] + b[:32] + b[64:],
)
on_tile(
    *("duplicate", "a hash in its neighbour's place", "witness.tiles"),
    tile=LAST,
    change=lambda b: b[:32] + b[:32] + b[64:],
)


def forged_tiles(forge: Callable[[Bodies], Bodies]) -> Callable[[Bed], Outcome]:
    """Lay out the tiles of other entries under the true checkpoint."""

    def run(bed: Bed) -> Outcome:
        def spoil(folder: Path) -> None:
            for name, content in bed.log(forge(bed.bodies)).tiles().items():
                (folder / name).write_bytes(content)

        return bed.public(spoil)

    return run


attack("fork", "tile", "the tiles of another history", "witness.tiles")(
    forged_tiles(lambda b: [*b[:AT], *map(other_nonce, b[AT:])])
)
attack("back-date", "tile", "the tiles of a log with an older time in one entry", "witness.tiles")(
    forged_tiles(FORGERIES["back-date"][1])
)


@attack("roll back", "tile", "the tiles as they were", "witness.absent")
def _(bed: Bed) -> Outcome:
    def spoil(folder: Path) -> None:
        shutil.rmtree(folder / "tile")
        shutil.copytree(bed.desk / "public early" / "tile", folder / "tile")

    return bed.public(spoil)


def on_note(operation: str, what: str, code: str, change: Callable[[str, Bed], str | None]) -> None:
    """An attack on the public checkpoint."""

    def run(bed: Bed) -> Outcome:
        def spoil(folder: Path) -> None:
            file = folder / "checkpoint"
            note = change(file.read_text("utf-8"), bed)
            file.unlink() if note is None else file.write_text(note, "utf-8")

        return bed.public(spoil)

    attack(operation, "checkpoint", what, code)(run)


def line(note: str, at: int, new: str) -> str:
    lines = note.split("\n")
    lines[at] = new
    return "\n".join(lines)


on_note("flip", "the size", "witness.unsigned", lambda n, bed: line(n, 1, str(bed.size ^ 1)))
on_note("flip", "a bit of the root", "witness.unsigned", lambda n, _: line(n, 2, flipped(n.split("\n")[2])))
on_note(
    "flip", "a bit of the signature", "witness.unsigned", lambda n, _: n[:-9] + flipped_letter(n[-9]) + n[-8:]
)
on_note("drop", "the checkpoint", "witness.absent", lambda _n, _: None)
on_note("drop", "the signature", "witness.unsigned", lambda n, _: n.partition("\n\n")[0] + "\n\n")
on_note("insert", "a line into the text", "witness.unsigned", lambda n, _: n.replace("\n\n", "\nmore\n\n"))
on_note(
    "reorder", "two lines of the text", "witness.unsigned", lambda n, _: "\n".join(swapped(n.split("\n")))
)
on_note(
    "duplicate", "the root", "witness.unsigned", lambda n, _: line(n, 2, "\n".join([n.split("\n")[2]] * 2))
)
on_note("truncate", "its last bytes", "witness.unsigned", lambda n, _: n[:-12])
on_note(
    "re-sign",
    "under another key",
    "witness.unsigned",
    lambda _n, bed: bed.log(bed.bodies).note(bed.size, THIEF),
)


def flipped(text: str) -> str:
    content = b64decode(text)
    return b64encode(bytes([content[0] ^ 1]) + content[1:]).decode()


def flipped_letter(letter: str) -> str:
    return "A" if letter != "A" else "B"


def swapped(lines: list[str]) -> list[str]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def forged_log(folder: Path, bed: Bed, bodies: Bodies) -> None:
    """Lay out another history whole, signed by the hub's own key."""
    log = bed.log(bodies)
    for name, content in log.tiles().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "checkpoint").write_text(log.note(len(bodies), bed.ring.log_signer()), "utf-8")


@attack(
    "duplicate", "checkpoint", "a second one over the same size, signed by the hub itself", "witness.split"
)
def _(bed: Bed) -> Outcome:
    early = bed.bodies[: bed.early_size]
    return bed.public(lambda folder: forged_log(folder, bed, FORGERIES["back-date"][1](early)))


@attack("fork", "checkpoint", "over another history, signed by the hub itself", "witness.fork")
def _(bed: Bed) -> Outcome:
    other = [*bed.bodies[:AT], *map(other_nonce, bed.bodies[AT:])]
    return bed.public(lambda folder: forged_log(folder, bed, other))


@attack(
    "back-date", "checkpoint", "over a log with an older time in one entry, signed by the hub", "witness.fork"
)
def _(bed: Bed) -> Outcome:
    return bed.public(lambda folder: forged_log(folder, bed, FORGERIES["back-date"][1](bed.bodies)))


@attack("back-date", "checkpoint", "the time of a cosignature (`hub log cosign`)", "cosignature.signature")
def _(bed: Bed) -> Outcome:
    text, _, signatures = (bed.desk / "cosigned").read_text("utf-8").partition("\n\n")
    own, witness = signatures.splitlines()
    mark, name, encoded = witness.split(" ")
    value = b64decode(encoded)
    earlier = (int.from_bytes(value[4:12], "big") - 86_400).to_bytes(8, "big")
    forged = f"{mark} {name} {b64encode(value[:4] + earlier + value[12:]).decode()}"
    file = bed.new("cosigned")
    file.write_text(f"{text}\n\n{own}\n{forged}\n", "utf-8")
    return told(bed.hub.run("log", "cosign", file))


@attack("roll back", "checkpoint", "checkpoint and tiles as they were", "witness.rollback")
def _(bed: Bed) -> Outcome:
    state = bed.new("witness")
    shutil.copytree(bed.desk / "witness", state)
    assert bed.look(bed.hub.settings.public_log, state) == Outcome(0, frozenset())
    return bed.look(bed.desk / "public early", state)
