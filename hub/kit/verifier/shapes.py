"""Reading a million entries: each shape of entry is read in full once, then by a pattern made from it.

A pattern spells a shape out: its keys in canonical order, and between them only what canonical JSON leaves
open: strings without escapes, whole numbers. What it matches is therefore canonical, and of the catalogue,
like the entry that it was made from. What it does not match is read in full.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from operator import itemgetter, lt
from typing import Any, Callable, NamedTuple, Optional

from hub.kit.verifier.canonical import Fields, NotCanonical, canonical_json, is_catalogued, read_canonical

Path_ = tuple[str, ...]
Value = Optional[bytes]

FATES = ("delivered", "already_delivered", "refused", "withheld", "quarantined")
PLAIN: tuple[tuple[str, Path_], ...] = (
    *((name, (name,)) for name in ("kind", "time")),
    *(("actor_role", ("actor", "role")), ("actor_id", ("actor", "id"))),
    *(
        (name, (name,))
        for name in ("reason", "submission", "agreement", "agreement_version", "agreement_digest")
    ),
    *((name, (name,)) for name in ("sender", "recipient", "purpose", "legal_basis")),
    *((name, ("counts", name)) for name in ("received", *FATES)),
    *((f"parcel_{name}", ("parcel", name)) for name in ("name", "sha256", "bytes")),
    *(
        ("attempt", ("attempt",)),
        ("receipt_kind", ("receipt", "kind")),
        ("receipt_sha256", ("receipt", "sha256")),
    ),
    *(("commitment_root", ("commitment", "root")), ("commitment_rows", ("commitment", "rows"))),
    *(("consent_policy_digest", ("consent_policy_digest",)),),
    *(("span_first", ("span", "first")), ("span_last", ("span", "last"))),
)
WHOLE = ("counts", "reasons", "columns", "key_versions", "disclosure", "details")
COLUMNS = ("index", *(name for name, _ in PLAIN), *WHOLE, "nonce")

# What the checks of completeness ask of an entry, in this order; of kinds that they do not follow, the time.
ASKED: tuple[Path_, ...] = (
    *(("time",), ("submission",), ("agreement",), ("reason",)),
    *(("parcel", "name"), ("parcel", "sha256"), ("receipt", "kind"), ("commitment", "rows")),
    *(("counts", name) for name in ("received", *FATES)),
)
FOLLOWED = (b"submission", b"decision", b"intent", b"outcome", b"receipt")

# What is the same in all entries about an agreement; their shapes spell it out.
_OF_AN_AGREEMENT = (
    *("actor", "agreement", "agreement_version", "agreement_digest", "sender", "recipient", "purpose"),
    *("legal_basis", "columns", "key_versions", "consent_policy_digest"),
)
_MOST_OF_AGREEMENTS = 512  # shapes; what is rarer is read by one that leaves all this open
_MOST_ALIKE = 8
_MOST_SHAPES = 512  # and what is rarer still is read in full
_MOST_PIECES = 1 << 14
_FORMS = {
    "time": rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)",
    "nonce": rb"([0-9a-f]{32})",
}
_STRING, _NUMBER, _COUNT = rb'([^"]*)', rb"(0|-?[1-9][0-9]{0,14})", rb"(0|[1-9][0-9]{0,14})"
_ESCAPED = re.compile(rb"[\\\x00-\x1f]")
_COUNTED = re.compile(rb'\{"[a-z0-9_.]+":(?:0|[1-9][0-9]{0,14})(?:,"[a-z0-9_.]+":(?:0|[1-9][0-9]{0,14}))*\}')
_NAMES = re.compile(rb'"([^"]+)"')


class Said(NamedTuple):
    """What an entry says: its kind, the values asked for (`ASKED`), and its row of the table."""

    kind: bytes
    asked: tuple[Value, ...]
    row: bytes


class Shape(NamedTuple):
    """A pattern, what to take of its groups, and where pieces of JSON stand in it."""

    match: Callable[[bytes], re.Match[bytes] | None]
    asked: Callable[[Any], tuple[Value, ...]]
    tail: tuple[Value, ...] | None  # of kinds that are followed: nothing, and the agreement
    cells: Callable[[Any], tuple[bytes, ...]]
    row: list[bytes]  # what stands between the cells; each second place is a cell's
    quoted: tuple[int, ...]  # places in the row that hold JSON
    pieces: tuple[int, ...]  # groups that hold JSON of any form


class Reader:
    """Reads bodies; raises `NotCanonical`, and gives None for what is outside the catalogue."""

    def __init__(self) -> None:
        self._of_agreements: dict[bytes, list[Shape]] = {}
        self._of_kinds: dict[bytes, list[Shape]] = {}
        self._known = [0, 0]
        self._pieces: set[bytes] = set()

    def read(
        self,
        index: int,
        body: bytes,
        is_plain: bool,  # noqa: FBT001 -- a million times
    ) -> tuple[bytes, tuple[Value, ...], bytes] | None:
        """Read a body as `Said`; ``is_plain`` says that it is UTF-8 without backslash and control."""
        at, agreement = body.find(b'"kind":"') + 8, body.find(b'"agreement":"', 0, 160)
        kind = body[at : body.find(b'"', at)]
        for shape in self._of_agreements.get(kind + body[agreement : agreement + 40], ()) if is_plain else ():
            found = shape.match(body)
            if found is not None:
                break
        else:
            for shape in self._of_kinds.get(kind, ()) if is_plain else ():
                found = shape.match(body)
                if found is not None:
                    break
            else:
                return self._read_in_full(index, body)
        groups = found.groups()
        for group in shape.pieces:
            if groups[group] not in self._pieces and not self._is_canonical(groups[group]):
                return self._read_in_full(index, body)
        row = shape.row.copy()
        row[3::2] = shape.cells(groups)
        row[1] = b"%d" % index
        for place in shape.quoted:
            row[place] = row[place].replace(b'"', b'""')
        return kind, shape.asked(groups if shape.tail is None else groups + shape.tail), b"".join(row)

    def _read_in_full(self, index: int, body: bytes) -> Said | None:
        fields = read_canonical(body)
        if not is_catalogued(fields):
            return None
        kind = fields["kind"].encode("utf-8")
        if not _ESCAPED.search(body):
            self._learn(kind, body, fields)
        return Said(kind, tuple(_bytes_at(fields, path) for path in ASKED), b'"%d",' % index + row_of(fields))

    def _learn(self, kind: bytes, body: bytes, fields: Fields) -> None:
        """Make a shape of an entry, closer or wider, as long as there is room for it."""
        at = body.find(b'"agreement":"', 0, 160)
        alike = self._of_agreements.setdefault(kind + body[at : at + 40], [])
        is_close = len(alike) < _MOST_ALIKE and self._known[0] < _MOST_OF_AGREEMENTS
        if is_close or self._known[1] < _MOST_SHAPES:
            shape = shape_of(fields, _OF_AN_AGREEMENT if is_close else ())
            if shape is not None and shape.match(body):
                (alike if is_close else self._of_kinds.setdefault(kind, [])).append(shape)
                self._known[0 if is_close else 1] += 1

    def _is_canonical(self, piece: bytes) -> bool:
        if _COUNTED.fullmatch(piece):
            names = _NAMES.findall(piece)
            if len(names) < 2 or all(map(lt, names, names[1:])):
                return True
        try:
            sound = canonical_json(json.loads(piece)).encode("utf-8") == piece
        except (ValueError, RecursionError, NotCanonical):
            return False
        if sound and len(self._pieces) < _MOST_PIECES:
            self._pieces.add(piece)
        return sound


def row_of(fields: Fields) -> bytes:
    """Write an entry's row of the table, without its index: RFC 4180, every cell quoted."""
    columns = [*(path for _, path in PLAIN), *((name, "") for name in WHOLE), ("nonce",)]
    return b",".join(b'"' + _cell_at(fields, path) + b'"' for path in columns) + b"\r\n"


def heading() -> bytes:
    """Write the table's first line."""
    return ",".join(f'"{name}"' for name in COLUMNS).encode("utf-8") + b"\r\n"


def shape_of(fields: Fields, spelled_out: Sequence[str] = ()) -> Shape | None:
    """Make the pattern of an entry's shape, some of its fields with their values.

    None where it is of no form that a pattern could tell.
    """
    groups: list[Path_] = []
    pieces: list[int] = []
    parts = [_spelled(name, fields[name], groups, pieces, spelled_out) for name in sorted(fields)]
    if None in parts:
        return None
    pattern = rb"\{" + b",".join(part for part in parts if part is not None) + rb"\}"
    place = {path: group for group, path in reversed(list(enumerate(groups)))}
    columns = [*(path for _, path in PLAIN), *((name, "") for name in WHOLE), ("nonce",)]
    there = [path for path in columns if path in place]
    agreement, time = _bytes_at(fields, ("agreement",)), place[("time",)]
    is_followed = fields["kind"].encode("utf-8") in FOLLOWED
    asked = [-1 if path == ("agreement",) and path not in place else place.get(path, -2) for path in ASKED]
    return Shape(
        re.compile(pattern, re.DOTALL).fullmatch,
        itemgetter(*asked) if is_followed else itemgetter(time, time),
        (None, agreement) if is_followed else None,
        itemgetter(*(place[path] for path in there)),
        _row_around(columns, place, fields),
        tuple(2 * cell + 3 for cell, path in enumerate(there) if path[-1] == ""),
        tuple(pieces),
    )


def _row_around(columns: list[Path_], place: dict[Path_, int], fields: Fields) -> list[bytes]:
    """Write a row with the cells left out that a pattern finds; the first one left out is the index."""
    row, between = [b'"', b""], b'","'
    for path in columns:
        if path in place:
            row += [between, b""]
            between = b'","'
        else:
            between += _cell_at(fields, path) + b'","'
    return [*row, between[:-2] + b"\r\n"]


def _cell_at(fields: Fields, path: Path_) -> bytes:
    if path[-1] != "":
        cell = _bytes_at(fields, path) or b""
    else:
        cell = canonical_json(fields[path[0]]).encode("utf-8") if path[0] in fields else b""
    return cell.replace(b'"', b'""')


def _spelled(
    name: str, value: object, groups: list[Path_], pieces: list[int], spelled_out: Sequence[str]
) -> bytes | None:
    """Spell a field out, and note the paths of its groups; a piece of JSON has the path (name, "")."""
    key = re.escape(f'"{name}":'.encode())
    if name == "kind" or name in spelled_out:
        return key + re.escape(canonical_json(value).encode("utf-8"))
    if isinstance(value, dict) and name != "reasons" and value and all(map(_is_scalar, value.values())):
        outer = name in WHOLE
        if outer:
            groups.append((name, ""))
        parts = [_scalar((name, inner), value[inner], groups) for inner in sorted(value)]
        inside = rb"\{" + b",".join(parts) + rb"\}"
        return key + (b"(" + inside + b")" if outer else inside)
    if name in WHOLE and isinstance(value, (dict, list)):
        pieces.append(len(groups))
        groups.append((name, ""))
        return key + (rb"(\{[^{}]*\})" if isinstance(value, dict) else rb"(\[[^\[\]]*\])")
    return _scalar((name,), value, groups) if _is_scalar(value) else None


def _scalar(path: Path_, value: object, groups: list[Path_]) -> bytes:
    key = re.escape(f'"{path[-1]}":'.encode())
    form = _FORMS.get(path[0])
    if path == ("format",):
        return key + rb"1"
    groups.append(path)
    if isinstance(value, str):
        return key + b'"' + (form or _STRING) + b'"'
    return key + (_COUNT if path[0] == "counts" else _NUMBER)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _bytes_at(fields: Fields, path: Path_) -> Value:
    found: Any = fields
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, bool) or not isinstance(found, (str, int)):
        return None
    return str(found).encode("utf-8")
