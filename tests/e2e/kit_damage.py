"""What can be done to an untouched kit, and which findings say so, and no other."""

import io
import json
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from tests.e2e.made_kits import Log, stored_line

Members = dict[str, bytes]


def line_at(members: Members, index: int, change: Callable[[bytes], bytes]) -> None:
    rows = members["entries.tsv"].splitlines(keepends=True)
    rows[index] = change(rows[index])
    members["entries.tsv"] = b"".join(rows)


def flip_entry(members: Members) -> None:
    line_at(members, 302, lambda row: row.replace(b'"reason":"acknowledged"', b'"reason":"acknowledgex"'))
    line_at(
        members, 300, lambda row: row.replace(b"Gr\xc3\xa4fin", b"Gr\xc3\xb6fin").replace(b"1.0.0", b"1.0.1")
    )


def flip_entry_of_last_tile(members: Members) -> None:
    line_at(members, 594, lambda row: row.replace(b"1.0.0", b"1.0.9"))


def drop_entry(members: Members) -> None:
    line_at(members, 600, lambda _: b"")


def insert_entry(members: Members) -> None:
    line_at(members, 30, lambda row: row + row)


def reorder_entries(members: Members) -> None:
    rows = members["entries.tsv"].splitlines(keepends=True)
    rows[10], rows[11] = rows[11], rows[10]
    members["entries.tsv"] = b"".join(rows)


def cut_entries(members: Members) -> None:
    rows = members["entries.tsv"].splitlines(keepends=True)
    members["entries.tsv"] = b"".join(rows[:-1])


def tear_last_line(members: Members) -> None:
    members["entries.tsv"] = members["entries.tsv"][:-1]


def garble_line(members: Members) -> None:
    line_at(members, 600, lambda _: b"six hundred\t{}\n")


def flip_leaf_tile(members: Members) -> None:
    members["tile/0/001"] = flipped(members["tile/0/001"], 32 * 7)


def flip_last_tile(members: Members) -> None:
    members["tile/0/002.p/89"] = flipped(members["tile/0/002.p/89"], 3)


def flip_upper_tile(members: Members) -> None:
    members["tile/1/000.p/2"] = flipped(members["tile/1/000.p/2"], 33)


def flip_both_tiles(members: Members) -> None:
    flip_leaf_tile(members)
    flip_upper_tile(members)


def drop_tile(members: Members) -> None:
    del members["tile/0/000"]


def shorten_tile(members: Members) -> None:
    members["tile/1/000.p/2"] = members["tile/1/000.p/2"][:32]


def add_tile(members: Members) -> None:
    members["tile/0/003"] = bytes(8192)


def add_member(members: Members) -> None:
    members["notes.txt"] = b"x"
    members["<img src=x onerror=alert(1)>"] = b"x"


def climb_out(members: Members) -> None:
    members["../../etc/cron.d/x"] = b"x"
    members["C:\\x"] = b"x"
    members["größe\n"] = b"x"


def drop_member(members: Members) -> None:
    del members["retention.tsv"]


def change_table(members: Members) -> None:
    members["tables/entries.csv"] = members["tables/entries.csv"].replace(b'"Beratung"', b'"Werbung"', 7)


def lengthen_table(members: Members) -> None:
    members["tables/entries.csv"] += b'"601","x"\r\n'


def contradict_manifest(members: Members) -> None:
    told = json.loads(members["manifest.json"]) | {"format": 2, "size": 9, "last": 601}
    members["manifest.json"] = json.dumps(told).encode()


def spoil_manifest(members: Members) -> None:
    members["manifest.json"] = b"[1]"


def spoil_checkpoint(members: Members) -> None:
    members["checkpoint"] = members["checkpoint"].replace(b"\n601\n", b"\n0601\n")


def promise_the_world(members: Members) -> None:
    members["checkpoint"] = members["checkpoint"].replace(b"\n601\n", b"\n1000000000000000\n")
    members["manifest.json"] = members["manifest.json"].replace(b"601", b"1000000000000000")


def unsign_checkpoint(members: Members) -> None:
    text, below = members["checkpoint"].decode().split("\n\n")
    own, *others = below.splitlines(keepends=True)
    dash, name, encoded = own.split()
    bad = b64encode(flipped(b64decode(encoded), 20)).decode()
    members["checkpoint"] = f"{text}\n\n{dash} {name} {bad}\n{''.join(others)}".encode()


def uncosign(members: Members) -> None:
    text, below = members["checkpoint"].decode().split("\n\n")
    own, one, _ = below.splitlines(keepends=True)
    dash, name, encoded = one.split()
    bad = b64encode(flipped(b64decode(encoded), 30)).decode()
    members["checkpoint"] = f"{text}\n\n{own}{dash} {name} {bad}\n".encode()
    members["checkpoints.jsonl"] = b"".join(members["checkpoints.jsonl"].splitlines(keepends=True)[:-1])


def reorder_checkpoints(members: Members) -> None:
    rows = members["checkpoints.jsonl"].splitlines(keepends=True)
    rows[3], rows[4] = rows[4], rows[3]
    members["checkpoints.jsonl"] = b"".join(rows)


def mislabel_checkpoint(members: Members) -> None:
    members["checkpoints.jsonl"] = members["checkpoints.jsonl"].replace(b'{"size": 60,', b'{"size": 61,')


def spoil_checkpoints(members: Members) -> None:
    rows = members["checkpoints.jsonl"].splitlines(keepends=True)
    rows[0] = b"{}\n"
    rows[1] = stored_line(12, "no note")
    members["checkpoints.jsonl"] = b"".join(rows)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGE: dict[Callable[[Members], None], set[str]] = {
    flip_entry: {"entry.hash", "kit.table"},
    flip_entry_of_last_tile: {"entry.hash", "kit.table"},
    drop_entry: {"entry.missing", "kit.table"},
    insert_entry: {"entry.order"},
    reorder_entries: {"entry.order", "entry.missing", "kit.table"},
    cut_entries: {"entry.missing", "kit.table"},
    tear_last_line: {"kit.line", "entry.missing", "kit.table"},
    garble_line: {"kit.line", "entry.missing", "kit.table"},
    flip_leaf_tile: {"node.hash"},
    flip_last_tile: {"node.hash"},
    flip_upper_tile: {"node.hash"},
    flip_both_tiles: {"entry.hash", "checkpoint.root", "checkpoint.later"},
    drop_tile: {"node.missing"},
    shorten_tile: {"node.missing"},
    add_tile: {"kit.unexpected"},
    add_member: {"kit.unexpected"},
    climb_out: {"kit.path"},
    drop_member: {"kit.missing"},
    change_table: {"kit.table"},
    lengthen_table: {"kit.table"},
    contradict_manifest: {"kit.manifest"},
    spoil_manifest: {"kit.manifest"},
    promise_the_world: {"checkpoint.signature", "node.missing", "witness.signature"},
    spoil_checkpoint: {"checkpoint.malformed"},
    unsign_checkpoint: {"checkpoint.signature"},
    uncosign: {"witness.signature", "trust.quorum"},
    reorder_checkpoints: {"checkpoint.order"},
    mislabel_checkpoint: {"checkpoint.columns"},
    spoil_checkpoints: {"kit.line", "checkpoint.malformed"},
}


# What a ZIP archive can be beside its members.


def packed_twice(log: Log) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return packed(log, lambda archive: archive.writestr("entries.tsv", b"0\t{}\n"))


def packed_with_link(log: Log) -> bytes:
    def link(archive: ZipFile) -> None:
        member = ZipInfo("pruefen.py")
        member.create_system, member.external_attr = 3, 0o120777 << 16
        archive.writestr(member, "/etc/passwd")

    return packed(log, link)


def packed_too_well(log: Log) -> bytes:
    members = log.members()
    del members["retention.tsv"]
    return packed(log, lambda archive: archive.writestr("retention.tsv", bytes(1 << 22)), members)


def encrypted(log: Log) -> bytes:
    return with_flag(packed(log), b"entries.tsv", 1)


def with_flag(content: bytes, name: bytes, flag: int) -> bytes:
    at = content.rindex(name) - 46 + 8
    return content[:at] + struct.pack("<H", flag) + content[at + 2 :]


def torn(log: Log) -> bytes:
    return packed(log)[:-40]


def no_archive(_: Log) -> bytes:
    return b"PK\x03\x04 and nothing more"


def bit_flipped(log: Log) -> bytes:
    content = packed(log)
    return flipped(content, content.index(b"entries.tsv") + 5000)


def stored_bit_flipped(log: Log) -> bytes:
    content = packed(log)
    return flipped(content, content.index(b"tile/0/000") + 100)


def packed(
    log: Log, more: Callable[[ZipFile], None] = lambda _: None, members: Members | None = None
) -> bytes:
    sink = io.BytesIO()
    with ZipFile(sink, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in (members or log.members()).items():
            archive.writestr(name, content, 0 if name.startswith("tile/") else None)
        more(archive)
    return sink.getvalue()


ARCHIVES: dict[Callable[[Log], bytes], set[str]] = {
    packed_twice: {"kit.twice", "entry.missing"},
    packed_with_link: {"kit.link"},
    packed_too_well: {"kit.bomb"},
    encrypted: {"kit.unreadable", "entry.missing"},
    torn: {"kit.unreadable"},
    no_archive: {"kit.unreadable"},
    bit_flipped: {"kit.unreadable"},
    stored_bit_flipped: {"kit.unreadable", "node.missing"},
}
