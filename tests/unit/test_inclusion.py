"""The auditor's check of one entry, against public vectors and against every way to bend a proof."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.ledger import tree
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint
from hub.ledger.evidence import Unsound
from hub.ledger.inclusion import prove
from hub.ledger.proof import Proof
from tests.unit.test_tree import CT_INCLUSION, CT_LEAVES, CT_ROOTS, Stored

ORIGIN = "log.example/transfers"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = SIGNER.public_key()


def note(size: int, root: bytes) -> str:
    return sign_checkpoint(Checkpoint(ORIGIN, size, root), SIGNER)


def made(bodies: list[bytes], index: int) -> str:
    """The proof of an entry as the log's own code hands it out."""
    stored = Stored()
    stored.append([tree.leaf_hash(body) for body in bodies])
    size = len(bodies)
    path = tuple(tree.inclusion_proof(index, size, stored))
    return Proof(index, path, note(size, tree.root(size, stored))).text


def flaw(body: bytes, text: str) -> str:
    with pytest.raises(Unsound) as unsound:
        prove(body, text, ORIGIN, KEY)
    return unsound.value.flaw


@pytest.mark.parametrize(("index", "size", "path"), CT_INCLUSION)
def test_public_vectors_are_proved(index: int, size: int, path: list[str]) -> None:
    proof = Proof(index, tuple(map(bytes.fromhex, path)), note(size, bytes.fromhex(CT_ROOTS[size - 1])))
    proved = prove(CT_LEAVES[index], proof.text, ORIGIN, KEY)
    assert (proved.index, proved.promise.size, len(proved.steps)) == (index, size, len(path))


@given(size=st.integers(1, 130), data=st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_the_log_proves_the_auditor_finds_proved_and_no_other_entry(
    size: int, data: st.DataObject
) -> None:
    bodies = [b"%d" % number for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    text = made(bodies, index)
    proved = prove(bodies[index], text, ORIGIN, KEY)
    assert proved.leaf_hash == tree.leaf_hash(bodies[index])
    assert (proved.steps[-1].reached if proved.steps else proved.leaf_hash) == proved.promise.root
    assert flaw(bodies[index] + b" ", text) == "path"
    elsewhere = data.draw(st.integers(0, size + 3).filter(lambda other: other != index))
    assert flaw(bodies[index], text.replace(f"\nindex {index}\n", f"\nindex {elsewhere}\n")) == "path"


def test_a_path_that_is_too_short_or_too_long_proves_nothing() -> None:
    bodies = [b"%d" % number for number in range(11)]
    text = made(bodies, 4)
    head, _, below = text.partition("\n\n")
    shorter = head.rpartition("\n")[0] + "\n\n" + below
    longer = head + "\n" + b64encode(bytes(32)).decode() + "\n\n" + below
    assert [flaw(b"4", bent) for bent in (shorter, longer)] == ["path", "path"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("tlog-proof@v1", "tlog-proof@v2", "malformed"),
        ("index 4", "index 04", "malformed"),
        ("index 4\n", "", "malformed"),
        ("\n\n", "\n", "malformed"),
        ("\n\n", "\nAAAA\n\n", "malformed"),
        ("\n\n", "\nÄÄÄÄ\n\n", "malformed"),
        (f"{ORIGIN}\n11\n", f"{ORIGIN}\n12\n", "signature"),
        (f"{ORIGIN}\n11\n", "log.example/another\n11\n", "signature"),
    ],
)
def test_a_bent_proof_proves_nothing(old: str, new: str, expected: str) -> None:
    text = made([b"%d" % number for number in range(11)], 4)
    assert text.count(old) >= 1
    assert flaw(b"4", text.replace(old, new, 1)) == expected


def test_an_extra_line_changes_nothing_of_the_proof() -> None:
    text = made([b"0", b"1", b"2"], 2).replace("\nindex", "\nextra AAAA\nindex", 1)
    assert prove(b"2", text, ORIGIN, KEY).promise.size == 3
