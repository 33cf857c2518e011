"""The log rebuilt row by row, for the verifier: the tree of RFC 9162 anew, compared at every step.

Memory grows with the height of the tree and with the evidence brought, not with the log.
"""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256

import rfc8785

from hub.ledger.erasures import Erasures
from hub.ledger.evidence import Claim, Promise
from hub.ledger.findings import Collector, Findings, span

Row = tuple[int, bytes | None, bytes, str, str | None]
"""An entry as stored: index, body (None once erased), leaf hash, and the search columns kind, submission."""
Node = tuple[int, int, bytes]
"""A stored node: level, index, hash; in the order in which an append-only log completes them."""
Promises = dict[int, list[tuple[str, str, bytes]]]
"""By size: the place of the promise in English and German, and the root."""
Claims = dict[int, list[tuple[int, Claim]]]
"""By index: the number of the receipt, and what it claims."""


_HIGHEST = 62
_END = (1 << 70, 0)  # behind every node there can be


class Replay:
    """Rebuilds the tree row by row, as RFC 9162 section 2.1 defines it, and compares at every step."""

    def __init__(
        self,
        found: Collector,
        nodes: Iterable[Node],
        signed: Iterator[Promise],
        promises: Promises,
        claims: Claims,
        erasures: Erasures,
    ) -> None:
        self._found, self._promises, self._claims, self._erasures = found, promises, claims, erasures
        self._nodes, self._node = _placed(found, nodes), (_END, b"")
        self._signed, self._next = signed, next(signed, None)
        self._size = 0
        self._stack: list[tuple[bytes | None, bool]] = []  # perfect subtrees, and whether one was found wrong
        self._good = self._newest = 0
        self._wrong: list[int] = []  # sizes of the checkpoints that failed in a row
        self._node = next(self._nodes)
        self._compare_root()

    def take(self, row: Row) -> None:
        """Take the next row in the order of the log."""
        index = row[0]
        if index < self._size:
            self._found.add("entry.order", str(index))
            return
        if index > self._size:
            self._found.add("entry.missing", span(self._size, index))
            while (
                self._size < index
            ):  # the gap as few perfect subtrees, whose hashes the stored nodes may tell
                aligned = (self._size & -self._size).bit_length() - 1 if self._size else _HIGHEST
                self._push(None, min(aligned, (index - self._size).bit_length() - 1))
        self._inspect(row)
        self._push(row[2], 0)

    def close(self) -> Findings:
        """Look at what is left over when the rows end, and give the verdict."""
        while self._node[0] != _END:
            self._pass_unexpected()
        ahead = [size for size in self._promises if size > self._size]
        while self._next is not None:
            ahead.append(self._next.size)
            self._next = next(self._signed, None)
        if cut := max(ahead, default=0):
            self._found.add("log.cut", span(self._size, cut))
        elif self._newest < self._size:
            self._found.add("log.unsigned", span(self._newest, self._size))
        self._close_wrong()
        self._erasures.close()
        for left in self._claims.values():
            for number, _ in left:
                self._found.add("receipt.missing", f"{number}")
        return self._found.verdict(self._size, self._root(), self._erasures.count)

    def _inspect(self, row: Row) -> None:
        index, body, leaf, kind, submission = row
        if body is None:
            self._erasures.take(index, kind)
            if submission is not None:
                self._found.add("entry.column", str(index))
            sound, fields = True, None  # the tree alone proves it
        else:
            sound, fields = self._read(index, body, leaf, kind, submission)
        for number, claim in self._claims.pop(index, ()):
            if claim.leaf_hash != leaf or not sound:
                self._found.add("receipt.leaf", f"{number}")
            elif fields is not None and claim.submission != fields.get("submission"):
                self._found.add("receipt.submission", f"{number}")

    def _read(
        self, index: int, body: bytes, leaf: bytes, kind: str, submission: str | None
    ) -> tuple[bool, dict[str, object]]:
        sound = sha256(b"\x00" + body).digest() == leaf
        if not sound:
            self._found.add("entry.hash", str(index))
        fields = _canonical(body)
        if fields is None:
            self._found.add("entry.canonical", str(index))
            return sound, {}
        if (fields.get("kind"), fields.get("submission")) != (kind, submission):
            self._found.add("entry.column", str(index))
        if sound and fields.get("kind") == "retention":
            self._erasures.hear(index, fields)
        return sound, fields

    def _push(self, reached: bytes | None, level: int) -> None:
        """Append a perfect subtree (a leaf, or a gap of unknown hash) and close what it completes."""
        index, wrong = self._size >> level, False
        self._size += 1 << level
        while True:
            if level:
                reached, wrong = self._compare_node(level, index, reached, wrong=wrong)
            if not index & 1:
                break
            left, left_wrong = self._stack.pop()
            reached = None if left is None or reached is None else sha256(b"\x01" + left + reached).digest()
            level, index, wrong = level + 1, index >> 1, wrong or left_wrong
        self._stack.append((reached, wrong))
        self._compare_root()

    def _compare_node(
        self, level: int, index: int, reached: bytes | None, *, wrong: bool
    ) -> tuple[bytes | None, bool]:
        place, entries = ((index + 1) << level, level), span(index << level, (index + 1) << level)
        while self._node[0] < place:
            if reached is None:  # below a gap: told as missing entries already
                self._node = next(self._nodes)
            else:
                self._pass_unexpected()
        if self._node[0] != place:
            if reached is not None:
                self._found.add("node.missing", entries)
            return reached, wrong
        stored, self._node = self._node[1], next(self._nodes)
        if reached is None:
            return stored, wrong
        if stored != reached and not wrong:  # only the lowest wrong node is told: it names the place
            self._found.add("node.hash", entries)
        return reached, wrong or stored != reached

    def _pass_unexpected(self) -> None:
        (end, level), _ = self._node
        self._found.add("node.unexpected", f"{level}/{(end >> level) - 1}")
        self._node = next(self._nodes)

    def _compare_root(self) -> None:
        while self._next is not None and self._next.size <= self._size:
            if self._next.size == self._size:
                self._hold_against(self._next.root)
            self._newest = max(self._newest, self._next.size)
            self._next = next(self._signed, None)
        for place, platz, promised in self._promises.pop(self._size, ()):
            if (root := self._root()) and root != promised:
                self._found.add("log.forked", place, platz)

    def _hold_against(self, promised: bytes) -> None:
        root = self._root()
        if root == promised:
            self._good = self._size
            self._close_wrong()
        elif root is not None:
            if not self._wrong:
                self._found.add("checkpoint.root", span(self._good, self._size) if self._size else "0")
            self._wrong.append(self._size)
            del self._wrong[2:-1]  # the first, the second and the last are enough to tell

    def _close_wrong(self) -> None:
        if len(self._wrong) > 1:
            later = self._wrong[1:]
            self._found.add(
                "checkpoint.later", str(later[0]) if later[0] == later[-1] else f"{later[0]}-{later[-1]}"
            )
        self._wrong = []

    def _root(self) -> bytes | None:
        """Fold the perfect subtrees from the right; unknown where neither entry nor node tells a hash."""
        if not self._stack:
            return sha256().digest()
        (reached, _), *lefts = self._stack[::-1]
        for left, _ in lefts:
            if left is None or reached is None:
                return None
            reached = sha256(b"\x01" + left + reached).digest()
        return reached


def _placed(found: Collector, nodes: Iterable[Node]) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Place stored nodes where they complete, (end of their span, level); the last stands behind all."""
    for level, index, stored in nodes:
        if 1 <= level <= _HIGHEST and index >= 0:
            yield ((index + 1) << level, level), stored
        else:
            found.add("node.unexpected", f"{level}/{index}")
    yield _END, b""


def _canonical(body: bytes) -> dict[str, object] | None:
    """Read a body if it is an object in canonical JSON (RFC 8785)."""
    try:
        fields = json.loads(body)
        return fields if isinstance(fields, dict) and rfc8785.dumps(fields) == body else None
    except (ValueError, RecursionError):
        return None
