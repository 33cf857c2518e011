"""The whole check, in the order of docs/reference/kit.md; nothing is raised for a broken kit."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, Callable, NamedTuple

from hub.kit.verifier.canonical import NotCanonical, read_canonical
from hub.kit.verifier.checkpoints import (
    SIGNATURES_DRAWN,
    Witnessed,
    count_lines,
    draw,
    stored_checkpoints,
    witnessed,
)
from hub.kit.verifier.course import Course, is_late
from hub.kit.verifier.ed25519 import is_signed
from hub.kit.verifier.entries import Entries
from hub.kit.verifier.evidence import Promise, Receipt, read_kept, read_receipt
from hub.kit.verifier.follower import Follower
from hub.kit.verifier.head import Head, read_head
from hub.kit.verifier.members import Kit, tile_name
from hub.kit.verifier.notes import Key, signed_by
from hub.kit.verifier.retained import Explanation, hold_erased, read_outside
from hub.kit.verifier.table_check import TableCheck
from hub.kit.verifier.tree import is_beyond, tiles_of
from hub.kit.verifier.trust import Trust, read_trust
from hub.kit.verifier.walk import Signatures, Walk
from hub.kit.verifier.words import Findings, span

_SAMPLE, _SIGNATURES = "hub-sample-v1", "hub-signatures-v1"
Tell = Callable[[float], None]


class Brought(NamedTuple):
    """What the auditor brings: trust file, kept checkpoints, receipts (name, content); what is asked for."""

    trust: str | None = None
    kept: tuple[bytes, ...] = ()
    receipts: tuple[tuple[str, bytes], ...] = ()
    sample: int = 10
    all_signatures: bool = False


class Report(NamedTuple):
    """The verdict as JSON has it, and the bodies of the sample."""

    told: dict[str, Any]
    bodies: dict[int, bytes]


def check(path: Path, brought: Brought, tell: Tell = lambda _: None) -> Report:
    """Check a kit against what the auditor brought."""
    found = Findings()
    checking = Checking(path, brought, found, tell)
    try:
        checking.run()
    except Exception as error:  # noqa: BLE001 -- whatever a kit holds, it ends in a finding
        frames = traceback.extract_tb(error.__traceback__)
        found.add("kit.defect", f"{type(error).__name__}, {frames[-1].name}:{frames[-1].lineno}")
    return checking.report()


class Checking:
    """One check under way."""

    def __init__(self, path: Path, brought: Brought, found: Findings, tell: Tell) -> None:
        self._found, self._brought, self._tell = found, brought, tell
        self._kit = Kit(path, found)
        self._head = Head("", 0, None, None, 0, -1)
        self._result: dict[str, Any] = {"root": "", "entries": 0, "erased": 0, "counts": {}}
        self._result.update(receipts=[], sample=[], witnesses=[], signatures={"checked": 0, "of": 0})
        self._bodies: dict[int, bytes] = {}

    def run(self) -> None:
        """Check everything that can be checked."""
        found = self._found
        if self._brought.trust is None:
            found.add("trust.missing", "")
            trust = Trust()
        else:
            trust = read_trust(self._brought.trust, found)
        if not self._kit.is_open:
            return
        self._head = head = read_head(self._kit, found)
        if not is_beyond(head.size, len(self._kit.usable)):
            self._kit.refuse_other_tiles({tile_name(*tile) for tile in tiles_of(head.size)})
        keys = self._believe(trust)
        promises = read_kept(list(self._brought.kept), head.origin, trust, found)
        receipts = [Receipt(number, name) for number, (name, _) in enumerate(self._brought.receipts, 1)]
        for receipt, (_, token) in zip(receipts, self._brought.receipts):
            promise = read_receipt(receipt, token, head.origin, trust, found)
            promises += [promise] if promise else []
        witnesses = self._ask_witnesses(trust)
        watch = head.first if witnesses.size is None else max(witnesses.size, head.first)
        self._walk(keys, promises, receipts, watch)
        self._judge_witnesses(trust, witnesses, watch)

    def report(self) -> Report:
        """Give the verdict."""
        self._found.close()
        head = self._head
        told = {
            "ok": not self._found.findings,
            "origin": head.origin,
            "size": head.size,
            "first": head.first,
            "last": head.last,
            **self._result,
            "findings": self._found.findings,
            "notes": self._found.notes,
        }
        return Report(told, self._bodies)

    def _believe(self, trust: Trust) -> list[Key]:
        """Hold the newest checkpoint's signature against the trust file; gives the keys of this log."""
        head, found = self._head, self._found
        keys = [key for key in trust.logs if key.name == head.origin]
        if head.note is not None and trust.logs:
            if not keys:
                found.add("trust.other_log", head.origin)
            elif not signed_by(head.note, keys, is_signed):
                found.add("checkpoint.signature", head.size)
        return keys

    def _ask_witnesses(self, trust: Trust) -> Witnessed:
        head = self._head
        if head.note is None or not trust.witnesses:
            return Witnessed(None, [])
        cosigned_ones = [
            (one.size, one.note)
            for one in stored_checkpoints(self._kit, head.origin, Findings())
            if len(one.note.signatures) > 1
        ]
        return witnessed([(head.size, head.note), *reversed(cosigned_ones)], trust, self._found)

    def _judge_witnesses(self, trust: Trust, seen: Witnessed, watch: int) -> None:
        head, found = self._head, self._found
        self._result["witnesses"] = seen.told
        if self._brought.trust is None or head.note is None:
            return
        if trust.quorum == "none":
            found.note("note.no_witness", "")
        elif seen.size is None:
            found.add("trust.quorum", trust.quorum)
        elif seen.size <= head.last:
            found.note("note.unwitnessed", span(watch, head.last + 1))
            if is_late(self._watched, self._newest):
                found.add("trust.unwitnessed", span(watch, head.last + 1))

    def _walk(self, keys: list[Key], promises: list[Promise], receipts: list[Receipt], watch: int) -> None:
        """Go through entries, tiles and checkpoints once, side by side."""
        head, found, kit = self._head, self._found, self._kit
        text = head.note.text if head.note else ""
        sample = draw(_SAMPLE, text, head.first, head.last - head.first + 1, self._brought.sample)
        claimed = {receipt.claim.entry for receipt in receipts if receipt.claim}
        table = TableCheck(kit, found)
        table.begin(head.first)
        course = Course(head.first, found)
        follower = Follower(found, course, table, {*sample, *claimed, watch})
        entries = Entries(kit, found, head.first, head.last)
        outside = read_outside(kit, head.first, head.last, head.size, found)
        walk = Walk(kit, head, found, self._signatures(keys, text))
        walk.leaves_wanted = claimed | {one.entry for one in outside}
        walk.promise(promises)
        walk.go(entries.leaves(follower), self._tell)
        table.close(head.last + 1)
        explained = [one for one in outside if self._is_in_tree(one, walk)] + follower.explained
        hold_erased(entries.runs, explained, entries, found)
        self._result["counts"] = course.close()
        self._result["root"] = walk.root.hex() if walk.root else ""
        self._result.update(entries=entries.count, erased=entries.erased, sample=sample)
        self._result["signatures"] = walk.signatures.told()
        walk.signatures.note(found)
        self._result["receipts"] = [self._judge(receipt, walk, follower.kept) for receipt in receipts]
        self._bodies = {index: follower.kept[index] for index in sample if index in follower.kept}
        self._newest, self._watched = course.newest, _time_of(follower.kept.get(watch))
        if head.last - head.first + 1 < head.size:
            found.note("note.outside", head.size - (head.last - head.first + 1))
        if "tables/entries.parquet" in kit.usable:
            found.note("note.parquet", "tables/entries.parquet")

    def _signatures(self, keys: list[Key], text: str) -> Signatures:
        count = count_lines(self._kit)
        wanted = count if self._brought.all_signatures else SIGNATURES_DRAWN
        drawn = set(range(count)) if wanted >= count else set(draw(_SIGNATURES, text, 0, count, wanted))
        return Signatures(keys, drawn if keys else set(), count)

    def _is_in_tree(self, one: Explanation, walk: Walk) -> bool:
        leaf = walk.leaves_found.get(one.entry)
        if leaf is not None and leaf != one.leaf:
            self._found.add("entry.hash", one.entry)
        return leaf == one.leaf

    def _judge(self, receipt: Receipt, walk: Walk, bodies: dict[int, bytes]) -> dict[str, Any]:
        """Say whether a receipt is in the log."""
        claim, found = receipt.claim, self._found
        if claim is None:
            return {"file": receipt.file, "in": False, "index": None}
        if claim.entry >= self._head.size:
            receipt.fail(found, "receipt.missing")
        elif walk.leaves_found.get(claim.entry) != claim.leaf:
            receipt.fail(found, "receipt.leaf")
        elif bodies.get(claim.entry) and _submission_of(bodies[claim.entry]) != claim.submission:
            receipt.fail(found, "receipt.submission")
        return {"file": receipt.file, "in": receipt.holds, "index": claim.entry}


def _submission_of(body: bytes) -> object:
    try:
        return read_canonical(body).get("submission")
    except NotCanonical:
        return None


def _time_of(body: bytes | None) -> bytes:
    try:
        return str(read_canonical(body or b"").get("time")).encode("utf-8")
    except NotCanonical:
        return b""
