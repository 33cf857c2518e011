"""No false alarm: a thousand untouched logs, each proved by database verifier, witness and kit verifier.

They differ in size, in how much was appended at once, in the period of the kit, in erased bodies, receipts,
kept checkpoints and witnesses. HUB_TEST_VARIATIONS=10000 tries more of them.
"""

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.synthetic_log import entries
from hub.kit.verifier.checking import Brought, check
from hub.ledger import tree
from hub.ledger.entry import Actor, Entry, Span, canonical
from hub.ledger.replay import Node, Row
from hub.ledger.tiled import Tiles, roots
from hub.ledger.verify import verify
from tests.e2e import made_kits
from tests.e2e.made_kits import Witness

VARIATIONS = int(os.environ.get("HUB_TEST_VARIATIONS", "1000"))
PARTS = 10
KEPT = ("retention", "restore", "key", "agreement")
KEY, RECEIPTS = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
WITNESSES = [Witness(f"w.example/{n}", Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (3, 4)]
SIZES = [*[*range(1, 24)] * 8, *range(24, 120, 12), 127, 128, 129, 254, 255, 256, 257, 511, 513]
STORIES = {seed: [canonical(entry) for entry in entries(max(SIZES), seed)] for seed in range(8)}
HUB = Actor(role="hub", id="retention")


@dataclass
class Variation:
    """A log in memory, what is erased of it, and what an auditor brings."""

    log: made_kits.Log
    erased: set[int]
    brought: Brought
    kept: list[str]
    receipts: list[str]
    first: int
    last: int

    def rows(self) -> Iterator[Row]:
        for index, body in enumerate(self.log.bodies):
            said, leaf = json.loads(body), tree.leaf_hash(body)
            if index in self.erased:
                yield index, None, leaf, said["kind"], None
            else:
                yield index, body, leaf, said["kind"], said.get("submission")

    def nodes(self) -> list[Node]:
        leaves = b"".join(tree.leaf_hash(body) for body in self.log.bodies)
        placed = [
            (layer.level, index, layer.hashes[index * 32 : index * 32 + 32])
            for layer in tree.grow(0, leaves, lambda *_place: b"")[1:]
            for index in range(len(layer.hashes) // 32)
        ]
        return sorted(placed, key=lambda node: ((node[1] + 1) << node[0], node[0]))


def varied(number: int) -> Variation:
    """Make the variation of this number."""
    chance = random.Random(number)  # noqa: S311 -- nothing here is secret
    log = made_kits.Log()
    log.key, log.receipt_key = KEY, RECEIPTS
    log.witnesses = WITNESSES[: chance.choice([0, 0, 1, 2])]
    size, at_once = chance.choice(SIZES), chance.choice([1, 4, 7, 12, 30, 1000])
    bodies = whole(STORIES[number % len(STORIES)], size)
    erased: set[int] = set()
    for begin in range(0, len(bodies), at_once):
        for body in bodies[begin : begin + at_once]:
            log.append(body)
        log.sign()
        is_between = b'"kind":"receipt"' not in b"".join(bodies[begin + at_once : begin + at_once + 1])
        if begin and is_between and chance.random() < 0.2:
            announce(log, erased, chance)
            log.sign()
    receipts = [log.receipt(index) for index in range(len(log.bodies)) if is_receipted(log, index, chance)][
        :3
    ]
    notes = [note for _, note in sorted(log.notes.items())]
    kept = chance.sample(notes, min(len(notes), chance.randrange(3)))
    first = chance.choice([0, 0, chance.randrange(len(log.bodies))])
    last = end_of(log, chance.choice([len(log.bodies) - 1, chance.randrange(first, len(log.bodies))]))
    on_paper = [
        f"kept {size} {note.splitlines()[2]}" for size, note in chance.sample(sorted(log.notes.items()), 1)
    ]
    brought = Brought(
        log.trust(*on_paper),
        tuple(note.encode() for note in kept),
        tuple((f"{at}.jwt", receipt.encode()) for at, receipt in enumerate(receipts)),
        chance.randrange(20),
        chance.random() < 0.1,
    )
    return Variation(log, erased, brought, kept, receipts, first, last)


def whole(bodies: list[bytes], size: int) -> list[bytes]:
    """Give the first stories of about so many entries, the last one to its end."""
    end = next((at for at in range(size, len(bodies)) if b'"kind":"submission"' in bodies[at]), len(bodies))
    return bodies[:end]


def is_receipted(log: made_kits.Log, index: int, chance: random.Random) -> bool:
    return chance.random() < 0.1 and b'"kind":"submission"' in log.bodies[index]


def end_of(log: made_kits.Log, index: int) -> int:
    """A receipt is logged with what it answers: no period ends between both."""
    while index + 1 < len(log.bodies) and b'"kind":"receipt"' in log.bodies[index + 1]:
        index += 1
    return index


def announce(log: made_kits.Log, erased: set[int], chance: random.Random) -> None:
    """Erase a span of bodies behind those that are gone, and announce it, as a retention run does."""
    begin = max(erased, default=-1) + 1
    if begin >= len(log.bodies):
        return
    end = chance.randrange(begin, min(len(log.bodies), begin + 60)) + 1
    kinds = [(index, json.loads(log.bodies[index])["kind"]) for index in range(begin, end)]
    over = [(index, kind) for index, kind in kinds if kind not in KEPT]
    if over:
        told = Entry(
            kind="retention",
            time=datetime.fromisoformat(json.loads(log.bodies[-1])["time"]),
            actor=HUB,
            reason="log_bodies",
            counts=dict(Counter(kind for _, kind in over)),
            span=Span(first=over[0][0], last=over[-1][0]),
        )
        erased |= {index for index, _ in over}
        log.append(canonical(told))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_thousand_untouched_logs_raise_no_alarm(part: int, tmp_path: Path) -> None:
    shapes = Counter[str]()
    for number in range(part, VARIATIONS, PARTS):
        one = varied(number)
        size, root = len(one.log.bodies), one.log.root(len(one.log.bodies))
        found = verify(
            one.rows(),
            one.nodes(),
            [(at, one.log.root(at), note) for at, note in sorted(one.log.notes.items())],
            log_key=KEY.public_key(),
            receipt_key=RECEIPTS.public_key(),
            origin=one.log.origin,
            kept=one.kept,
            receipts=one.receipts,
            announcements=[(at, body) for at, body in enumerate(one.log.bodies) if b'"span":' in body],
        )
        assert (found.findings, found.size, found.erased) == ((), size, len(one.erased)), number
        assert found.root == root.hex()
        members = one.log.members(one.first, one.last, one.erased)
        kit = made_kits.write(tmp_path / f"{number}.zip", members)
        told = check(kit, one.brought).told
        assert told["findings"] == [], number
        assert (told["ok"], told["size"], told["root"]) == (True, size, root.hex())
        assert [receipt["in"] for receipt in told["receipts"]] == [True] * len(one.receipts)
        old = number % (size + 1)
        both = roots(Tiles(lambda path, _most, files=members: files.get(path), size), old)  # type: ignore[misc]
        assert both == (one.log.root(old), root)
        shapes.update(
            erased=bool(one.erased),
            receipts=bool(one.receipts),
            period=one.last - one.first + 1 < size,
            witnesses=bool(one.log.witnesses),
            kept=bool(one.kept),
            tiles=size > 256,
        )
        kit.unlink()
    assert all(shapes.values()), shapes
