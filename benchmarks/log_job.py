"""One measured piece of work on the log's entries, in a process of its own; answers seconds and root as JSON.

``log_job.py WHAT ENTRIES.TSV``: ``each`` hashes every body by itself, ``stream`` all of them as one,
``tree`` appends them to the log's tree, a thousand at once, and computes the root. Reading the file is not
measured.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hub.ledger import tree

AT_ONCE = 1000


def each(bodies: list[bytes]) -> bytes:
    """The floor: one SHA-256 for each body, as no log can do with less."""
    digest = b""
    for body in bodies:
        digest = hashlib.sha256(body).digest()
    return digest


def stream(bodies: list[bytes]) -> bytes:
    """The floor below: one SHA-256 over everything, which proves nothing of any single entry."""
    return hashlib.sha256(b"".join(bodies)).digest()


def grown(bodies: list[bytes]) -> bytes:
    """Append to the tree as the store does, keeping the frontier, and compute the root."""
    size, frontier = 0, dict[tuple[int, int], bytes]()
    for first in range(0, len(bodies), AT_ONCE):
        leaves = b"".join([tree.leaf_hash(body) for body in bodies[first : first + AT_ONCE]])
        layers = tree.grow(size, leaves, partial(_known, frontier))
        size += len(leaves) // tree.HASH_BYTES
        ends = {
            (layer.level, layer.first + len(layer.hashes) // tree.HASH_BYTES - 1): layer.hashes[-32:]
            for layer in layers
            if layer.hashes
        }
        frontier = {place: (frontier | ends)[place] for place in tree.frontier(size)}
    return tree.root(size, partial(_known, frontier))


def _known(frontier: dict[tuple[int, int], bytes], level: int, index: int) -> bytes:
    return frontier[level, index]


WORK: dict[str, Callable[[list[bytes]], bytes]] = {"each": each, "stream": stream, "tree": grown}


def main(what: str, entries: Path) -> None:
    """Do it and tell."""
    bodies = [line.partition(b"\t")[2][:-1] for line in entries.open("rb")]
    began = time.perf_counter()
    root = WORK[what](bodies)
    json.dump({"seconds": time.perf_counter() - began, "root": root.hex()}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
