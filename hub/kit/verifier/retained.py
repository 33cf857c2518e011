"""Erased bodies: which entries explain them, and which nothing explains."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import NamedTuple

from hub.kit.verifier.canonical import NotCanonical, read_canonical
from hub.kit.verifier.entries import Entries, whole_lines
from hub.kit.verifier.members import Kit
from hub.kit.verifier.notes import Malformed, decimal
from hub.kit.verifier.words import Findings, span

_EXPLAINING = ("retention", "restore")
_MOST_EXPLANATION = 65_535 + 20


class Explanation(NamedTuple):
    """An entry that says whose bodies are gone: its index and leaf hash, the span, the bodies counted."""

    entry: int
    leaf: bytes
    first: int
    last: int
    bodies: int | None


def explanation_of(index: int, body: bytes) -> Explanation | None:
    """Read what an entry of kind retention or restore explains; None where it names no span before itself."""
    try:
        fields = json.loads(body)
        first, last = fields["span"]["first"], fields["span"]["last"]
        counts = fields.get("counts")
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if type(first) is not int or type(last) is not int or not 0 <= first <= last < index:
        return None
    if fields.get("kind") not in _EXPLAINING:
        return None
    count = sum(counts.values()) if isinstance(counts, dict) and fields["kind"] == "retention" else None
    return Explanation(index, sha256(b"\x00" + body).digest(), first, last, count)


def read_outside(kit: Kit, first: int, last: int, size: int, found: Findings) -> list[Explanation]:
    """Read ``retention.tsv``: entries outside the period, of kind retention or restore, by rising index."""
    explained, number, before = [], 0, -1
    for lines, is_whole in whole_lines(kit.blocks("retention.tsv"), _MOST_EXPLANATION):
        for line in lines.split(b"\n")[:-1] if is_whole else [lines]:
            number += 1
            told, tab, body = line.partition(b"\t")
            try:
                index = decimal(told.decode("ascii"))
                sound = is_whole and bool(tab) and read_canonical(body).get("kind") in _EXPLAINING
            except (UnicodeDecodeError, Malformed, NotCanonical):
                index, sound = -1, False
            if not sound or first <= index <= last or not before < index < size:
                found.add("kit.line", f"retention.tsv:{number}")
                continue
            before = index
            explanation = explanation_of(index, body)
            # One that explains nothing is still held against its leaf.
            explained.append(explanation or Explanation(index, sha256(b"\x00" + body).digest(), 0, -1, None))
    return explained


def hold_erased(
    runs: list[list[int]], explained: list[Explanation], entries: Entries, found: Findings
) -> None:
    """Hold the erased runs against what explains them: a later entry whose span covers them."""
    for begin, end in runs:
        found.note("note.erased", span(begin, end))
        for first, last in _unexplained(begin, end, explained):
            found.add("entry.erased", span(first, last))
    for one in explained:
        if one.bodies is None or one.first < entries.first or one.last > entries.last:
            continue
        erased = sum(max(0, min(end, one.last + 1) - max(begin, one.first)) for begin, end in runs)
        if erased != one.bodies:
            found.add("retention.counts", one.entry)


def _unexplained(begin: int, end: int, explained: list[Explanation]) -> list[tuple[int, int]]:
    """Name the parts of a run that no span covers; each span ends before the entry that names it."""
    gaps, at = [], begin
    for one in sorted(explained, key=lambda one: one.first):
        if one.last < at or one.first >= end:
            continue
        if one.first > at:
            gaps.append((at, one.first))
        at = max(at, one.last + 1)
    if at < end:
        gaps.append((at, end))
    return gaps
