"""Another implementation agrees: pymerkle, in its own environment, on roots and proofs of many sizes."""

from hashlib import sha256
from typing import Any

import pytest

from benchmarks import peers
from benchmarks.peers import environment
from hub.errors import Refused
from hub.kit.verifier.tree import Tree
from hub.kit.verifier.words import Findings
from hub.ledger import tree
from tests.conftest import left_out

LARGEST = 300
LEAVES = [tree.leaf_hash(b"%d" % number) for number in range(LARGEST)]
LAYERS = {layer.level: layer.hashes for layer in tree.grow(0, b"".join(LEAVES), lambda *_place: b"")}


def node(level: int, index: int) -> bytes:
    return LAYERS[level][index * 32 : index * 32 + 32]


@pytest.fixture(scope="module")
def environment_or_why(tmp_path_factory: pytest.TempPathFactory) -> Any:
    try:
        python = environment(tmp_path_factory.mktemp("peer") / "pymerkle", peers.PYMERKLE)
    except Refused as refused:
        return refused
    return peers.ask(python, "agree", LARGEST)


@pytest.fixture
def told(environment_or_why: Any, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What pymerkle says of the first numbered entries; a test is left out where it cannot be had."""
    if isinstance(environment_or_why, Refused):
        left_out(request, "pymerkle", str(environment_or_why))
    answer: dict[str, Any] = environment_or_why
    return answer


def test_pymerkle_has_the_same_root_at_every_size(told: dict[str, Any]) -> None:
    assert told["roots"] == [tree.root(size, node).hex() for size in range(LARGEST + 1)]


def test_pymerkle_s_roots_are_those_of_the_kit_s_verifier(told: dict[str, Any]) -> None:
    for size in range(1, LARGEST + 1):
        walked = Tree(size, None, lambda *_tile: None, Findings())
        for base in range(0, size, 256):
            walked.take(base // 256, [*LEAVES[base : min(base + 256, size)]])
        assert (walked.root_at(size) or b"").hex() == told["roots"][size]


def test_pymerkle_has_the_same_inclusion_proofs(told: dict[str, Any]) -> None:
    """Its path begins with the leaf itself."""
    assert len(told["inclusion"]) > 5 * LARGEST
    for place, (leaf, *path) in told["inclusion"].items():
        index, size = map(int, place.split())
        assert leaf == LEAVES[index].hex()
        assert path == [one.hex() for one in tree.inclusion_proof(index, size, node)]
        siblings, root = [bytes.fromhex(one) for one in path], bytes.fromhex(told["roots"][size])
        assert tree.verify_inclusion(LEAVES[index], index, size, siblings, root)


def test_pymerkle_has_the_same_consistency_proofs(told: dict[str, Any]) -> None:
    """It verified each of its own under the roots told; put together as RFC 9162 has it, they are ours."""
    assert len(told["consistency"]) > 5 * LARGEST
    for place, (subset, path) in told["consistency"].items():
        old, new = map(int, place.split())
        ours = tree.consistency_proof(old, new, node)
        assert tree.verify_consistency(old, root_of(told, old), new, root_of(told, new), ours)
        assert as_rfc_9162(subset, [bytes.fromhex(one) for one in path]) == ours


def root_of(told: dict[str, Any], size: int) -> bytes:
    return bytes.fromhex(told["roots"][size])


def as_rfc_9162(subset: list[int], path: list[bytes]) -> list[bytes]:
    """Pymerkle's path is that of the first leaf that is new; the RFC begins where the older tree ends.

    The subset marks what lies left of that leaf, in the older tree. The older tree's last subtree is left out
    where it is the whole of it.
    """
    if 0 not in subset:  # equal sizes
        return []
    first = subset.index(1)
    new = path[0]
    for right in path[1:first]:
        new = sha256(b"\x01" + new + right).digest()
    return ([path[first]] if 1 in subset[first + 1 :] else []) + [new, *path[first + 1 :]]
