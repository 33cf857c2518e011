"""What the kit says about itself: the newest checkpoint and the manifest, which must agree."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hub.kit.verifier.entries import whole_lines
from hub.kit.verifier.members import Kit
from hub.kit.verifier.notes import Malformed, Note, read_checkpoint, read_note
from hub.kit.verifier.words import Findings


class Head(NamedTuple):
    """What the kit says about itself: its newest checkpoint, and which entries it holds."""

    origin: str
    size: int
    root: bytes | None
    note: Note | None
    first: int
    last: int


def read_head(kit: Kit, found: Findings) -> Head:
    """Read the newest checkpoint and the manifest."""
    text = kit.text_of("checkpoint")
    note = promise = None
    if text is not None:
        try:
            note = read_note(text)
            promise = read_checkpoint(note.text)
        except Malformed:
            note = None
            found.add("checkpoint.malformed", "checkpoint")
    manifest = _read_manifest(kit, found)
    size = promise.size if promise else _index(manifest.get("size"), 2**63) or 0
    if promise and manifest:
        for name, value in (("origin", promise.origin), ("size", promise.size)):
            if manifest.get(name) != value:
                found.add("kit.manifest", name)
    first, last = _index(manifest.get("first"), size), _index(manifest.get("last"), size)
    if manifest and (first is None or last is None or last < first):
        found.add("kit.manifest", "first" if first is None else "last")
        first = None
    if first is None or last is None:
        first, last = _ends_of_entries(kit, size)
    origin = promise.origin if promise else str(manifest.get("origin", ""))
    return Head(origin, size, promise.root if promise else None, note, first, last)


def _read_manifest(kit: Kit, found: Findings) -> dict[str, Any]:
    text = kit.text_of("manifest.json")
    if text is None:
        return {}
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict) or not manifest:
        found.add("kit.manifest", "manifest.json")
        return {}
    if type(manifest.get("format")) is not int or manifest["format"] != 1:
        found.add("kit.manifest", "format")
    return manifest


def _index(value: object, end: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end else None


def _ends_of_entries(kit: Kit, size: int) -> tuple[int, int]:
    """Take first and last from the lines, where the manifest does not tell; an empty span if none."""
    first, last = None, -1
    for lines, is_whole in whole_lines(kit.blocks("entries.tsv"), 1 << 16):
        for line in lines.split(b"\n")[:-1] if is_whole else []:
            told = line.partition(b"\t")[0]
            if told.isdigit() and len(told) < 20 and int(told) < size:
                first = int(told) if first is None else first
                last = int(told)
    return (0, -1) if first is None else (first, max(first, last))
