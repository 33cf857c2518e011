"""The Merkle tree of the transfer log as pure functions: hashes, growth, roots, proofs (RFC 9162, 2.1).

A node ``(level, index)`` is the root of the perfect subtree over the leaves ``index * 2**level`` up to
``(index + 1) * 2**level``; level 0 are the leaf hashes. Perfect subtrees never change once they are complete,
so a log stores just them, and every root and proof is a handful of look-ups through a ``Nodes`` function.
All hashes are SHA-256, 32 bytes.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
_NODE = b"\x01"

Nodes = Callable[[int, int], bytes]
"""Looks up the hash of the complete node (level, index)."""


class Layer(NamedTuple):
    """Nodes of one level that an append has completed: their hashes in one buffer, the first one's index."""

    level: int
    first: int
    hashes: bytes


def leaf_hash(body: bytes) -> bytes:
    """Hash an entry into a leaf: SHA-256(0x00 || body), RFC 9162 section 2.1.1."""
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children into their parent: SHA-256(0x01 || left || right), RFC 9162 section 2.1.1."""
    return sha256(_NODE + left + right).digest()


def grow(size: int, leaves: bytes, nodes: Nodes) -> list[Layer]:
    """Append leaves to a tree of ``size``: all nodes that become complete, level by level from the leaves up.

    ``leaves`` holds the new leaf hashes one after the other. ``nodes`` is asked for the old tree's `frontier`
    only. The first layer is the leaves themselves.
    """
    layers = [Layer(0, size, leaves)]
    while True:
        level, first, hashes = layers[-1]
        if first & 1 and hashes:  # the new nodes begin with a right child: its left sibling is already stored
            first, hashes = first - 1, nodes(level, first - 1) + hashes
        pairs = len(hashes) // (2 * HASH_BYTES)
        if not pairs:
            return layers
        parents = [sha256(_NODE + hashes[at : at + 64]).digest() for at in range(0, pairs * 64, 64)]
        layers.append(Layer(level + 1, first >> 1, b"".join(parents)))


def frontier(size: int) -> list[tuple[int, int]]:
    """Name the perfect subtrees that make up a tree of ``size``: (level, index), the rightmost first."""
    return [(level, (size >> level) - 1) for level in range(size.bit_length()) if size >> level & 1]


def root(size: int, nodes: Nodes) -> bytes:
    """Compute the root of the first ``size`` leaves; the empty tree's root is SHA-256 of nothing."""
    return _span(0, size, nodes) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """Prove that leaf ``index`` is in the tree of ``size``: siblings from the leaf up (section 2.1.3.1)."""
    if not 0 <= index < size:
        message = f"leaf {index} is not in a tree of size {size}"
        raise ValueError(message)
    proof: list[bytes] = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            proof.append(_span(middle, end, nodes))
            end = middle
        else:
            proof.append(_span(first, middle, nodes))
            first = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """Prove that the tree of size ``old`` is the beginning of the one of size ``new`` (section 2.1.4.1).

    From the empty tree, and between equal sizes, the proof is empty.
    """
    if not 0 <= old <= new:
        message = f"no tree of size {old} grows into one of size {new}"
        raise ValueError(message)
    if old in {0, new}:
        return []
    proof: list[bytes] = []
    first, end = 0, new
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            proof.append(_span(middle, end, nodes))
            end = middle
        else:
            proof.append(_span(first, middle, nodes))
            first = middle
    if first:  # the old tree's last subtree is not the whole old tree: the proof begins with it
        proof.append(_span(first, end, nodes))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], claimed: bytes) -> bool:
    """Check an inclusion proof against the claimed root (section 2.1.3.2)."""
    if not 0 <= index < size or not _wellformed(size, claimed, [leaf, *proof]):
        return False
    node, last, reached = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            reached = node_hash(sibling, reached)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            reached = node_hash(reached, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and reached == claimed


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Check a consistency proof between two claimed roots (section 2.1.4.2).

    Stricter than the RFC's text, which leaves size 0 open: from the empty tree only an empty proof is
    accepted, and the empty tree's root only for size 0.
    """
    if not 0 <= old <= new or not _wellformed(old, old_root, proof) or not _wellformed(new, new_root, proof):
        return False
    if old in {0, new}:
        return not proof and (old == 0 or old_root == new_root)
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_reached = new_reached = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old_reached, new_reached = node_hash(sibling, old_reached), node_hash(sibling, new_reached)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new_reached = node_hash(new_reached, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old_reached == old_root and new_reached == new_root


def _wellformed(size: int, claimed: bytes, hashes: Sequence[bytes]) -> bool:
    return all(len(h) == HASH_BYTES for h in (claimed, *hashes)) and (size == 0) == (claimed == EMPTY_ROOT)


def _split(width: int) -> int:
    """Find the largest power of two below ``width`` (> 1)."""
    return 1 << (width - 1).bit_length() - 1


def _span(first: int, end: int, nodes: Nodes) -> bytes:
    """Hash the leaves [first, end); ``first`` is a multiple of the power of two that covers the span."""
    width = end - first
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return nodes(level, first >> level)
    middle = first + _split(width)
    return node_hash(_span(first, middle, nodes), _span(middle, end, nodes))
