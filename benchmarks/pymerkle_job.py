"""What pymerkle makes of the same entries; run by the Python of its own environment, never by the hub's.

``pymerkle_job.py agree LARGEST`` tells roots and proofs of numbered entries, ``append ENTRIES.TSV`` appends
the bodies of a kit and tells root and seconds.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def new_tree() -> Any:
    """Make an empty tree of SHA-256."""
    return importlib.import_module("pymerkle").InmemoryTree(algorithm="sha256")


def agree(largest: int) -> dict[str, Any]:
    """Tell all roots to a size, and for a few sizes all inclusion and consistency proofs, in hex."""
    merkle, tree = importlib.import_module("pymerkle"), new_tree()
    roots = [tree.get_root().hex()]
    for number in range(largest):
        tree.append_entry(b"%d" % number)
        roots.append(tree.get_root().hex())
    inclusion, consistency = {}, {}
    for size in range(1, largest + 1):
        for index in sorted({0, 1, size // 3, size // 2, size - 2, size - 1} & set(range(size))):
            proof = tree.prove_inclusion(index + 1, size)
            inclusion[f"{index} {size}"] = [one.hex() for one in proof.path]
        for old in sorted({1, 2, size // 3, size // 2, size - 1, size} & set(range(1, size + 1))):
            proof = tree.prove_consistency(old, size)
            merkle.verify_consistency(bytes.fromhex(roots[old]), bytes.fromhex(roots[size]), proof, old, size)
            consistency[f"{old} {size}"] = [proof.subset, [one.hex() for one in proof.path]]
    return {"roots": roots, "inclusion": inclusion, "consistency": consistency}


def append(entries: Path) -> dict[str, Any]:
    """Append every body of an ``entries.tsv``, already read; gives the seconds, and the root in hex."""
    bodies = [line.partition(b"\t")[2][:-1] for line in entries.open("rb")]
    tree = new_tree()
    began = time.perf_counter()
    tree.append_entries(bodies)
    root = tree.get_root()
    return {"seconds": time.perf_counter() - began, "root": root.hex()}


if __name__ == "__main__":
    what, given = sys.argv[1:]
    json.dump(agree(int(given)) if what == "agree" else append(Path(given)), sys.stdout)
