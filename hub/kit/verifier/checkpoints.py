"""All checkpoints of the kit: their form, their roots, samples of their signatures, and who cosigned them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from hub.kit.verifier.ed25519 import is_signed
from hub.kit.verifier.entries import whole_lines
from hub.kit.verifier.members import Kit
from hub.kit.verifier.notes import Malformed, Note, cosigned, read_checkpoint, read_note
from hub.kit.verifier.trust import Trust
from hub.kit.verifier.words import Findings, span

_STORED = "checkpoints.jsonl"
_MOST_NOTE_LINE = 1 << 17  # a note with a hundred signatures, written as JSON
SIGNATURES_DRAWN = 32


class Stored(NamedTuple):
    """A stored checkpoint: the number of its line from 0, size, root, note."""

    line: int
    size: int
    root: bytes
    note: Note


def draw(word: str, text: str, first: int, count: int, wanted: int) -> list[int]:
    """Draw distinct indexes from ``first`` on, in the order of drawing; the checkpoint is the seed."""
    seed = sha256(f"{word}\n{text}".encode()).digest()
    drawn: dict[int, None] = {}
    j = 0
    while len(drawn) < min(wanted, count):
        digest = sha256(seed + j.to_bytes(8, "big")).digest()
        drawn[first + int.from_bytes(digest[:8], "big") % count] = None
        j += 1
    return list(drawn)


def count_lines(kit: Kit) -> int:
    """Count the lines of the stored checkpoints."""
    return sum(block.count(b"\n") for block in kit.blocks(_STORED))


def stored_checkpoints(kit: Kit, origin: str, found: Findings) -> Iterator[Stored]:
    """Read the stored checkpoints by rising size; what is not in form is told and left out."""
    number, before = 0, -1
    for lines, is_whole in whole_lines(kit.blocks(_STORED), _MOST_NOTE_LINE):
        for line in lines.split(b"\n")[:-1] if is_whole else [lines]:
            number += 1
            told = _read_stored(line) if is_whole and len(line) <= _MOST_NOTE_LINE else None
            if told is None:
                found.add("kit.line", f"{_STORED}:{number}")
                continue
            size, text = told
            if size <= before:
                found.add("checkpoint.order", size)
                continue
            before = size
            try:
                note = read_note(text)
                promise = read_checkpoint(note.text)
            except Malformed:
                promise = None
            if promise is None or promise.origin != origin:
                found.add("checkpoint.malformed", size)
            elif promise.size != size:
                found.add("checkpoint.columns", size)
            else:
                yield Stored(number - 1, size, promise.root, note)


def _read_stored(line: bytes) -> tuple[int, str] | None:
    try:
        told = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or set(told) != {"size", "note"} or type(told["size"]) is not int:
        return None
    return (told["size"], told["note"]) if told["size"] >= 0 and isinstance(told["note"], str) else None


class Roots:
    """Holds promised roots against the tree as it grows; what fails in a row is told in two findings."""

    def __init__(self, found: Findings) -> None:
        self._found = found
        self._good = 0
        self._wrong: list[int] = []  # sizes that failed in a row: the first, the second, the last

    def hold(self, size: int, promised: bytes, root: bytes | None) -> None:
        """Compare a signed root with the computed one, if that is known."""
        if root == promised:
            self._good = size
            self.close()
        elif root is not None and self._wrong[-1:] != [size]:
            if not self._wrong:
                begin = self._good if self._good < size else 0
                self._found.add("checkpoint.root", span(begin, size) if size else "0")
            self._wrong.append(size)
            del self._wrong[2:-1]

    def close(self) -> None:
        """Tell the checkpoints that failed after the first one."""
        if len(self._wrong) > 1:
            first, last = self._wrong[1], self._wrong[-1]
            self._found.add("checkpoint.later", str(first) if first == last else f"{first}-{last}")
        self._wrong = []


class Witnessed(NamedTuple):
    """What the witnesses say: the largest size that the quorum cosigned, and each witness's newest."""

    size: int | None
    told: list[dict[str, object]]


def witnessed(newest_first: list[tuple[int, Note]], trust: Trust, found: Findings) -> Witnessed:
    """Look for the newest checkpoint with a quorum, and for the newest that each witness cosigned."""
    latest: dict[str, tuple[int, int]] = {}
    reached: int | None = None
    for size, note in newest_first:
        asked = {name: key for name, key in trust.witnesses.items() if reached is None or name not in latest}
        if not asked:
            break
        by = cosigned(note, asked, is_signed)
        for name, at in by.items():
            if at is None:
                found.add("witness.signature", f"{name}, {size}")
            else:
                latest.setdefault(name, (size, at))
        if reached is None and trust.is_reached({name for name, at in by.items() if at is not None}):
            reached = size
    told: list[dict[str, object]] = [
        {
            "name": name,
            "cosigned": name in latest,
            **dict(zip(("size", "time"), latest.get(name, (None, None)))),
        }
        for name in trust.witnesses
    ]
    return Witnessed(reached, told)
