"""The Merkle tree against public vectors and against a naive recursive tree."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.ledger import tree

# The leaves and figures of the Certificate Transparency reference tree (RFC 6962 test data).
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
_5F = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
_BC = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
_96 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
_6B = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
_CA = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
CT_INCLUSION = [
    (0, 1, []),
    (0, 8, [_96, _5F, _6B]),
    (5, 8, [_BC, _CA, CT_ROOTS[3]]),
    (2, 3, [CT_ROOTS[1]]),
    (1, 5, [CT_ROOTS[0], _5F, _BC]),
]
CT_CONSISTENCY = [
    (1, 1, []),
    (1, 8, [_96, _5F, _6B]),
    (6, 8, ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", _CA, CT_ROOTS[3]]),
    (2, 5, [_5F, _BC]),
]
LARGEST = 300


class Stored:
    """Complete nodes in a dictionary, grown by `tree.grow` in batches of the given sizes."""

    def __init__(self) -> None:
        self.size = 0
        self.hashes: dict[tuple[int, int], bytes] = {}
        self.asked: set[tuple[int, int]] = set()

    def __call__(self, level: int, index: int) -> bytes:
        self.asked.add((level, index))
        return self.hashes[level, index]

    def append(self, leaves: list[bytes]) -> None:
        for level, first, hashes in tree.grow(self.size, b"".join(leaves), self):
            for offset in range(len(hashes) // 32):
                place = (level, first + offset)
                assert place not in self.hashes, "a complete node is written once"
                self.hashes[place] = hashes[offset * 32 : offset * 32 + 32]
        self.size += len(leaves)


def naive_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(old: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if old <= k:
        return [*naive_subproof(old, leaves[:k], whole=whole), naive_root(leaves[k:])]
    return [*naive_subproof(old - k, leaves[k:], whole=False), naive_root(leaves[:k])]


def numbered(count: int) -> list[bytes]:
    return [tree.leaf_hash(str(number).encode()) for number in range(count)]


@pytest.fixture(scope="module")
def large() -> Stored:
    stored = Stored()
    stored.append(numbered(LARGEST))
    return stored


@pytest.fixture(scope="module")
def ct() -> Stored:
    stored = Stored()
    stored.append([tree.leaf_hash(leaf) for leaf in CT_LEAVES])
    return stored


def test_the_roots_of_the_ct_reference_tree_are_reproduced(ct: Stored) -> None:
    assert [tree.root(size, ct).hex() for size in range(1, 9)] == CT_ROOTS
    assert tree.root(0, ct) == tree.EMPTY_ROOT == sha256(b"").digest()


@pytest.mark.parametrize(("index", "size", "expected"), CT_INCLUSION)
def test_the_inclusion_proofs_of_the_ct_reference_tree_are_reproduced(
    ct: Stored, index: int, size: int, expected: list[str]
) -> None:
    proof = tree.inclusion_proof(index, size, ct)
    assert [h.hex() for h in proof] == expected
    assert tree.verify_inclusion(ct.hashes[0, index], index, size, proof, bytes.fromhex(CT_ROOTS[size - 1]))


@pytest.mark.parametrize(("old", "new", "expected"), CT_CONSISTENCY)
def test_the_consistency_proofs_of_the_ct_reference_tree_are_reproduced(
    ct: Stored, old: int, new: int, expected: list[str]
) -> None:
    proof = tree.consistency_proof(old, new, ct)
    assert [h.hex() for h in proof] == expected
    roots = [bytes.fromhex(root) for root in CT_ROOTS]
    assert tree.verify_consistency(old, roots[old - 1], new, roots[new - 1], proof)


def test_every_size_to_300_has_the_naive_root_and_the_naive_inclusion_proofs(large: Stored) -> None:
    leaves = numbered(LARGEST)
    for size in range(1, LARGEST + 1):
        claimed = tree.root(size, large)
        assert claimed == naive_root(leaves[:size])
        for index in {0, size // 3, size // 2, size - 1}:
            proof = tree.inclusion_proof(index, size, large)
            assert proof == naive_path(index, leaves[:size])
            assert tree.verify_inclusion(leaves[index], index, size, proof, claimed)


def test_every_pair_of_sizes_to_300_is_proved_consistent(large: Stored) -> None:
    roots = [tree.root(size, large) for size in range(LARGEST + 1)]
    for new in range(1, LARGEST + 1):
        for old in range(new + 1):
            proof = tree.consistency_proof(old, new, large)
            assert tree.verify_consistency(old, roots[old], new, roots[new], proof)


@settings(deadline=None)
@given(st.integers(1, LARGEST), st.data())
def test_consistency_proofs_equal_the_naive_ones(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    stored = Stored()
    stored.append(numbered(new))
    assert tree.consistency_proof(old, new, stored) == naive_subproof(old, numbered(new), whole=True)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=12))
def test_growing_in_batches_equals_growing_at_once_and_asks_for_the_frontier_only(batches: list[int]) -> None:
    leaves = numbered(sum(batches))
    at_once, by_batch = Stored(), Stored()
    at_once.append(leaves)
    for batch in batches:
        before = set(tree.frontier(by_batch.size))
        by_batch.asked.clear()
        by_batch.append(leaves[by_batch.size : by_batch.size + batch])
        assert by_batch.asked <= before
    assert by_batch.hashes == at_once.hashes
    assert all(place in at_once.hashes for place in tree.frontier(at_once.size))


@settings(deadline=None)
@given(st.integers(2, 80), st.data())
def test_a_changed_cut_or_lengthened_proof_is_rejected(size: int, data: st.DataObject) -> None:
    stored = Stored()
    stored.append(numbered(size))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size - 1))
    leaf, claimed, old_root = stored(0, index), tree.root(size, stored), tree.root(old, stored)
    path, proof = tree.inclusion_proof(index, size, stored), tree.consistency_proof(old, size, stored)
    for wrong in spoiled(path, data):
        assert not tree.verify_inclusion(leaf, index, size, wrong, claimed)
    for wrong in spoiled(proof, data):
        assert not tree.verify_consistency(old, old_root, size, claimed, wrong)
    assert not tree.verify_inclusion(leaf, (index + 1) % size, size, path, claimed)
    assert not tree.verify_inclusion(tree.leaf_hash(b"another"), index, size, path, claimed)
    assert not tree.verify_consistency(old, claimed, size, claimed, proof)
    assert not tree.verify_consistency(old, old_root, size, old_root, proof)


def test_no_proof_proves_nothing_between_two_sizes(large: Stored) -> None:
    for old in (4, 5):
        assert not tree.verify_consistency(old, tree.root(old, large), 7, tree.root(7, large), [])


def spoiled(proof: list[bytes], data: st.DataObject) -> list[list[bytes]]:
    wrong = [[*proof, b"\x00" * 32], [b"\x00" * 32, *proof], [*proof, b""], [*proof, tree.EMPTY_ROOT]]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        flipped = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        wrong += [proof[:-1], proof[1:]]
        wrong += [[*proof[:at], other, *proof[at + 1 :]] for other in (flipped, b"")]
        wrong += [[h[:31] for h in proof]]
    return wrong


def test_from_the_empty_tree_only_an_empty_proof_is_accepted(large: Stored) -> None:
    new_root = tree.root(7, large)
    assert tree.verify_consistency(0, tree.EMPTY_ROOT, 7, new_root, [])
    assert tree.verify_consistency(0, tree.EMPTY_ROOT, 0, tree.EMPTY_ROOT, [])
    assert not tree.verify_consistency(0, tree.EMPTY_ROOT, 7, new_root, [new_root])
    assert not tree.verify_consistency(0, tree.EMPTY_ROOT, 7, new_root, [b""])
    assert not tree.verify_consistency(0, new_root, 7, new_root, [])
    assert not tree.verify_consistency(0, b"", 7, new_root, [])


def test_an_empty_root_is_rejected_wherever_something_is_claimed(large: Stored) -> None:
    for empty in (b"", tree.EMPTY_ROOT):
        assert not tree.verify_consistency(5, empty, 5, empty, [])
        assert not tree.verify_consistency(0, tree.EMPTY_ROOT, 5, empty, [])
        assert not tree.verify_consistency(4, empty, 5, tree.root(5, large), [])
        assert not tree.verify_inclusion(empty, 0, 1, [], empty)
        assert not tree.verify_inclusion(large(0, 0), 0, 0, [], empty)


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_no_inclusion_is_proved_outside_the_tree(large: Stored, index: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not in a tree"):
        tree.inclusion_proof(index, size, large)
    assert not tree.verify_inclusion(large(0, 0), index, size, [], tree.root(4, large))


def test_no_consistency_is_proved_backwards(large: Stored) -> None:
    with pytest.raises(ValueError, match="grows into"):
        tree.consistency_proof(5, 4, large)
    assert not tree.verify_consistency(5, tree.root(5, large), 4, tree.root(4, large), [])
    assert not tree.verify_consistency(-1, tree.EMPTY_ROOT, 4, tree.root(4, large), [])
