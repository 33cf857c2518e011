"""The auditor's kit, by somebody through whose hands it goes."""

import zipfile
from collections.abc import Callable
from io import BytesIO

from tests.e2e.tamper.attacks import AT, attack
from tests.e2e.tamper.bed import THIEF, Bed, Outcome
from tests.e2e.tamper.on_public_log import flipped_letter

Members = dict[str, bytes]
Rows = list[bytes]
ENTRIES, NOTES, TABLE = "entries.tsv", "checkpoints.jsonl", "tables/entries.csv"


def on_kit(operation: str, what: str, *codes: str, change: Callable[[Members], Members]) -> None:
    """An attack on members of the kit."""
    attack(operation, "kit", what, *codes)(lambda bed: bed.kit(bed.members | change(bed.members)))


def on_lines(operation: str, what: str, *codes: str, name: str, change: Callable[[Rows], Rows]) -> None:
    """An attack on the lines of a member, from the middle on."""

    def changed(members: Members) -> Members:
        rows = members[name].splitlines(keepends=True)
        return {name: b"".join([*rows[:AT], *change(rows[AT:])])}

    on_kit(operation, what, *codes, change=changed)


def at_end(content: bytes, place: int) -> bytes:
    """Change the letter so many bytes before the end."""
    letter = flipped_letter(chr(content[-place])).encode()
    return content[:-place] + letter + content[len(content) - place + 1 :]


def bodies_swapped(rows: Rows) -> Rows:
    (one, _, body), (other, _, second) = (row.partition(b"\t") for row in rows[:2])
    return [one + b"\t" + second, other + b"\t" + body, *rows[2:]]


def in_tile(members: Members, level: int, change: Callable[[bytes], bytes | None]) -> Members:
    """Change the last tile of a level."""
    name = max(one for one in members if one.startswith(f"tile/{level}/"))
    changed = change(members[name])
    return {name: b"" if changed is None else changed}


on_lines(
    *("flip", "a bit of an entry", "entry.hash"),
    name=ENTRIES,
    change=lambda rows: [rows[0][:-9] + bytes([rows[0][-9] ^ 1]) + rows[0][-8:], *rows[1:]],
)
on_kit(
    *("flip", "a bit of a hash tile", "node.hash"),
    change=lambda m: in_tile(m, 0, lambda hashes: bytes([hashes[0] ^ 1]) + hashes[1:]),
)
on_kit(
    *("flip", "a letter of the newest signature", "checkpoint.signature"),
    change=lambda m: {"checkpoint": at_end(m["checkpoint"], 9)},
)
on_lines(
    *("flip", "a digit of the table for reading", "kit.table"),
    name=TABLE,
    change=lambda rows: [rows[0].replace(b'"2025-', b'"2024-'), *rows[1:]],
)
on_lines("drop", "an entry", "entry.missing", name=ENTRIES, change=lambda rows: rows[1:])
on_lines(
    *("drop", "a body, as if it had been erased", "entry.erased"),
    name=ENTRIES,
    change=lambda rows: [b"%d\t\n" % AT, *rows[1:]],
)
on_kit("drop", "a hash tile", "node.missing", change=lambda m: in_tile(m, 0, lambda _: None))
on_kit("drop", "the stored checkpoints' beginning", "kit.line", change=lambda m: {NOTES: m[NOTES][9:]})
on_kit("drop", "the newest checkpoint", "checkpoint.malformed", change=lambda _: {"checkpoint": b""})
on_lines(
    *("insert", "an entry", "entry.order"),
    name=ENTRIES,
    change=lambda rows: [b"%d\t%b" % (AT - 1, rows[0].partition(b"\t")[2]), *rows],
)
on_kit("insert", "a member", "kit.unexpected", change=lambda _: {"macro.docm": b"x"})
on_kit("insert", "a way out of the folder", "kit.path", change=lambda _: {"../../x": b"x"})
on_lines("reorder", "two bodies", "entry.hash", name=ENTRIES, change=bodies_swapped)
on_lines("reorder", "two lines", "entry.order", name=ENTRIES, change=lambda r: [r[1], r[0], *r[2:]])
on_lines("duplicate", "an entry", "entry.order", name=ENTRIES, change=lambda rows: [rows[0], *rows])
on_lines("duplicate", "a row of the table", "kit.table", name=TABLE, change=lambda rows: [rows[0], *rows])
on_kit(
    *("duplicate", "a checkpoint", "checkpoint.order"),
    change=lambda m: {NOTES: m[NOTES] + m[NOTES].splitlines(keepends=True)[-1]},
)


@attack("duplicate", "kit", "a member, the second one changed", "kit.twice")
def _(bed: Bed) -> Outcome:
    sink = BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in bed.members.items():
            archive.writestr(name, content)
        info = zipfile.ZipInfo("checkpoinu")
        archive.writestr(info, at_end(bed.members["checkpoint"], 9))
    return bed.kit_file(sink.getvalue().replace(b"checkpoinu", b"checkpoint"))


on_lines("truncate", "the newest entries", "entry.missing", name=ENTRIES, change=lambda rows: rows[:-9])
on_kit(
    *("truncate", "a hash tile", "node.missing"),
    change=lambda m: in_tile(m, 0, lambda hashes: hashes[:-32]),
)


@attack("truncate", "kit", "the archive", "kit.unreadable")
def _(bed: Bed) -> Outcome:
    content = (bed.desk / "kit.zip").read_bytes()
    return bed.kit_file(content[: len(content) // 2])


@attack("roll back", "kit", "the newest checkpoint to an older one", "kit.manifest", "log.cut")
def _(bed: Bed) -> Outcome:
    return bed.kit(bed.members | {"checkpoint": (bed.desk / "early.note").read_bytes()})


on_lines(
    *("back-date", "the time of an entry", "entry.hash"),
    name=ENTRIES,
    change=lambda rows: [rows[0].replace(b'"time":"2025-', b'"time":"2024-'), *rows[1:]],
)


@attack("re-sign", "kit", "all of it, under another key", "checkpoint.signature")
def _(bed: Bed) -> Outcome:
    return bed.kit(bed.remade(bed.bodies, THIEF))


@attack("re-sign", "kit", "all of it, rewritten, under another key", "checkpoint.signature", "log.forked")
def _(bed: Bed) -> Outcome:
    later = [body.replace(b'"time":"2025-', b'"time":"2024-') for body in bed.bodies]
    return bed.kit(bed.remade(later, THIEF))
