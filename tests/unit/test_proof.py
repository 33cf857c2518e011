"""Inclusion proofs as texts in C2SP's tlog-proof format."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import Corrupt
from hub.ledger import tree
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint
from hub.ledger.proof import Proof, check_proof, parse_proof

ORIGIN = "hub.example/log"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SIGNER.public_key()
# c2sp.org/tlog-proof, the example's head (its checkpoint is abridged there).
EXAMPLE_HEAD = """c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ=
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
"""


def proved(index: int, size: int, extra: bytes | None = None) -> tuple[bytes, Proof]:
    leaves = [tree.leaf_hash(bytes([number])) for number in range(size)]
    stored: dict[tuple[int, int], bytes] = {}
    for level, first, hashes in tree.grow(0, b"".join(leaves), lambda *place: stored[place]):
        for offset in range(len(hashes) // 32):
            stored[level, first + offset] = hashes[offset * 32 : offset * 32 + 32]

    def nodes(level: int, index: int) -> bytes:
        return stored[level, index]

    note = sign_checkpoint(Checkpoint(ORIGIN, size, tree.root(size, nodes)), SIGNER)
    return leaves[index], Proof(index, tuple(tree.inclusion_proof(index, size, nodes)), note, extra)


@settings(deadline=None)
@given(st.integers(1, 40), st.none() | st.binary(max_size=20), st.data())
def test_a_proof_written_is_read_back_and_holds(size: int, extra: bytes | None, data: st.DataObject) -> None:
    leaf, proof = proved(data.draw(st.integers(0, size - 1)), size, extra)
    assert parse_proof(proof.text) == proof
    assert check_proof(proof, leaf, ORIGIN, PUBLIC).size == size


def test_the_head_has_the_lines_of_the_specification() -> None:
    _, proof = proved(2, 3, b"\x01")
    lines = proof.text.split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra AQ==", "index 2"]
    assert lines[4:7] == ["", ORIGIN, "3"]


def test_the_specification_s_example_is_read_but_for_its_sloppy_base64() -> None:
    head = EXAMPLE_HEAD.replace("kYXJ3aW4tYXJ=", "")
    proof = parse_proof(head + "\nexample.com/fancylog\n")
    assert (proof.index, len(proof.path), proof.checkpoint) == (73894, 2, "example.com/fancylog\n")


def test_another_entry_index_log_or_key_is_not_proved() -> None:
    leaf, proof = proved(2, 5)
    wrong = tree.leaf_hash(b"other")
    elsewhere = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    for given_leaf, given_proof, origin, key in (
        (wrong, proof, ORIGIN, PUBLIC),
        (leaf, Proof(3, proof.path, proof.checkpoint), ORIGIN, PUBLIC),
        (leaf, Proof(2, proof.path[1:], proof.checkpoint), ORIGIN, PUBLIC),
        (leaf, proof, "other.example/log", PUBLIC),
        (leaf, proof, ORIGIN, elsewhere),
    ):
        with pytest.raises(Corrupt):
            check_proof(given_proof, given_leaf, origin, key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\n\nnote\n",
        "c2sp.org/tlog-proof@v2\nindex 1\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex 01\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex 1\nextra AA==\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex 1\n!\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex 1\n" + ("A" * 43 + "=\n") * 64 + "\nnote\n",
    ],
)
def test_a_malformed_proof_is_rejected(text: str) -> None:
    with pytest.raises(Corrupt):
        parse_proof(text)
