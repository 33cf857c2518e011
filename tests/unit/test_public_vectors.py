"""Every other tree and note reader of the house against the public vectors that the writer's passed.

The writer (`hub.ledger.tree`, `hub.ledger.checkpoint`) is held against them in test_tree and test_checkpoint.
Here are those who believe nothing of it: the database's verifier, a proof's reader, the witness, the row
proof, and the kit's verifier of plain Python; and the naive tree of RFC 9162 for all sizes to 300.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.kit.verifier import ed25519, notes
from hub.kit.verifier.tree import TILE_WIDTH, Tree
from hub.kit.verifier.words import Findings
from hub.ledger import notes as hub_notes
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint, sign_note
from hub.ledger.erasures import Erasures
from hub.ledger.evidence import Promise, Unsound, read_promise
from hub.ledger.findings import Collector
from hub.ledger.inclusion import prove_leaf
from hub.ledger.proof import Proof
from hub.ledger.replay import Replay
from hub.ledger.row_proof import _fold
from hub.ledger.tiled import Tiles, roots
from hub.ledger.tree import EMPTY_ROOT
from tests.unit.test_checkpoint import (
    ENOCH_LINE,
    OGNUNO,
    ORIGIN,
    PETER_LINE,
    PETER_VERIFIER,
    ROOT,
    SIGNER,
    SOFA,
    TEXT,
)
from tests.unit.test_tree import CT_CONSISTENCY, CT_INCLUSION, CT_LEAVES, CT_ROOTS, LARGEST, naive_path

CT = [sha256(b"\x00" + leaf).digest() for leaf in CT_LEAVES]
NUMBERED = [sha256(b"\x00%d" % number).digest() for number in range(LARGEST)]
Leaves = Sequence[bytes]


class Naive:
    """Roots by the very words of RFC 9162, section 2.1.1, each span hashed once."""

    def __init__(self, leaves: Leaves) -> None:
        self._leaves, self._known = leaves, dict[tuple[int, int], bytes]()

    def __call__(self, first: int, end: int) -> bytes:
        if end - first < 2:
            return self._leaves[first] if end > first else sha256().digest()
        if (first, end) not in self._known:
            k = max(2**power for power in range(10) if 2**power < end - first)
            both = self(first, first + k) + self(first + k, end)
            self._known[first, end] = sha256(b"\x01" + both).digest()
        return self._known[first, end]

    def tiles(self, size: int) -> dict[str, bytes]:
        """The tiles of a tree of up to 65,535 leaves, by the words of C2SP tlog-tiles."""
        found = {}
        for level, step in ((0, 1), (1, 256)):
            nodes = [self(at * step, at * step + step) for at in range(size // step)]
            for number in range(0, len(nodes), 256):
                some = nodes[number : number + 256]
                part = "" if len(some) == 256 else f".p/{len(some)}"
                found[f"tile/{level}/{number // 256:03d}{part}"] = b"".join(some)
        return found


def replayed(leaves: Leaves) -> list[bytes]:
    """The roots of all sizes from 0 as the database's verifier computes them."""
    found = Collector()
    replay = Replay(found, [], iter(()), {}, {}, Erasures(found, []))
    reached = [replay._root()]
    for index, leaf in enumerate(leaves):
        replay.take((index, b"", leaf, "", None))
        reached.append(replay._root())
    assert None not in reached
    return [root for root in reached if root is not None]


def walked(leaves: Leaves, stored: Callable[[int, int, int], bytes | None], *, has_entries: bool) -> bytes:
    """The root as the kit's verifier computes it, from the entries' leaves or from the tiles alone."""
    found, size = Findings(), len(leaves)
    tree = Tree(size, None, stored, found)
    for base in range(0, size, TILE_WIDTH):
        some: list[bytes | None] = [*leaves[base : base + TILE_WIDTH]]
        tree.take(base // TILE_WIDTH, some if has_entries else [None] * len(some))
    root = tree.root_at(size)
    assert root is not None
    assert not [one for one in found.findings if one["code"] != "node.missing"]
    return root


def from_tiles(naive: Naive, size: int) -> Callable[[int, int, int], bytes | None]:
    files = naive.tiles(size)
    return lambda level, number, width: files[
        f"tile/{level}/{number:03d}" + ("" if width == 256 else f".p/{width}")
    ]


def witnessed(naive: Naive, old: int, new: int) -> tuple[bytes, bytes]:
    """Both roots as the witness computes them from served tiles."""
    files = naive.tiles(new)
    return roots(Tiles(lambda path, _most: files.get(path), new), old)


def proves(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Tell whether the reader of a tlog-proof finds the leaf proved under a signed root."""
    note = sign_checkpoint(Checkpoint(ORIGIN, size, root), SIGNER)
    try:
        prove_leaf(leaf, Proof(index, tuple(path), note).text, ORIGIN, SIGNER.public_key())
    except Unsound as unsound:
        return unsound.flaw != "path"
    return True


def folds(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Tell whether the reader of a row's proof reaches the committed root."""
    try:
        return _fold(leaf, index, size, list(path)) == root
    except Unsound:
        return False


READERS = [proves, folds]
Reads = Callable[[bytes, int, int, Sequence[bytes], bytes], bool]


def test_the_roots_of_the_ct_reference_tree_are_computed_by_everybody() -> None:
    naive = Naive(CT)
    told = [bytes.fromhex(root) for root in CT_ROOTS]
    assert [naive(0, size) for size in range(1, 9)] == told
    assert replayed(CT) == [EMPTY_ROOT, *told]
    for size, root in enumerate(told, 1):
        assert walked(CT[:size], lambda *_tile: None, has_entries=True) == root
        assert walked(CT[:size], from_tiles(naive, size), has_entries=False) == root
        assert witnessed(naive, size, 8) == (root, told[-1])


@pytest.mark.parametrize(("index", "size", "path"), CT_INCLUSION)
@pytest.mark.parametrize("reads", READERS)
def test_the_inclusion_proofs_of_the_ct_reference_tree_hold(
    reads: Reads, index: int, size: int, path: list[str]
) -> None:
    siblings, root = [bytes.fromhex(one) for one in path], bytes.fromhex(CT_ROOTS[size - 1])
    assert reads(CT[index], index, size, siblings, root)
    for wrong in wrongly(siblings):
        assert not reads(CT[index], index, size, wrong, root)
    assert not reads(CT[(index + 1) % 8], index, size, siblings, root)
    assert not reads(CT[index], index, size, siblings, sha256(root).digest())


@pytest.mark.parametrize(("old", "new", "path"), CT_CONSISTENCY)
def test_the_consistency_proofs_of_the_ct_reference_tree_are_nodes_that_the_witness_hashes(
    old: int, new: int, path: list[str]
) -> None:
    """A witness takes tiles instead of a proof: what the proof tells is what it computes of them."""
    naive = Naive(CT)
    nodes = {naive(first, end).hex() for first in range(8) for end in range(first + 1, 9)}
    assert set(path) <= nodes
    assert witnessed(naive, old, new) == (bytes.fromhex(CT_ROOTS[old - 1]), bytes.fromhex(CT_ROOTS[new - 1]))


def test_every_size_to_300_has_the_naive_root_for_everybody() -> None:
    naive, of_replay = Naive(NUMBERED), replayed(NUMBERED)
    for size in range(LARGEST + 1):
        root = naive(0, size)
        assert of_replay[size] == root
        assert walked(NUMBERED[:size], lambda *_tile: None, has_entries=True) == root
        assert walked(NUMBERED[:size], from_tiles(naive, size), has_entries=False) == root
        for old in {0, 1, size // 2, 2 ** (size.bit_length() - 1) if size else 0, max(0, size - 1), size}:
            if old <= size:
                assert witnessed(naive, old, size) == (naive(0, old), root)


def test_the_kit_s_verifier_knows_every_smaller_size_in_the_tile_at_hand() -> None:
    naive, tree = Naive(NUMBERED), Tree(LARGEST, None, from_tiles(Naive(NUMBERED), LARGEST), Findings())
    for base in (0, 256):
        tree.take(base // 256, list(NUMBERED[base : base + 256]))
        for size in range(base + (base > 0), min(base + 256, LARGEST) + 1):
            assert tree.root_at(size) == naive(0, size)


@pytest.mark.parametrize("reads", READERS)
def test_every_size_to_300_has_inclusion_proofs_that_hold_and_none_of_a_neighbour(reads: Reads) -> None:
    naive = Naive(NUMBERED)
    for size in range(1, LARGEST + 1):
        root = naive(0, size)
        for index in {0, size // 3, size - 1}:
            path = naive_path(index, NUMBERED[:size])
            assert reads(NUMBERED[index], index, size, path, root)
            assert not reads(NUMBERED[(index + 1) % LARGEST], index, size, path, root)
            if size > 1:
                assert not reads(NUMBERED[index], index, size, path[:-1], root)
                assert not reads(NUMBERED[index], (index + 1) % size, size, path, root)


def wrongly(path: list[bytes]) -> list[list[bytes]]:
    wrong = [[*path, bytes(32)], [bytes(32), *path], [*path, EMPTY_ROOT]]
    if path:
        wrong += [path[1:], path[:-1], [bytes([path[0][0] ^ 1]) + path[0][1:], *path[1:]]]
    return wrong


def kit_promise(text: str) -> tuple[int, bytes]:
    read = notes.read_checkpoint(notes.read_note(text).text)
    return read.size, read.root


def hub_promise(text: str) -> tuple[int, bytes]:
    try:
        read = read_promise(text, ORIGIN, SIGNER.public_key())
    except Unsound as unsound:
        raise notes.Malformed(unsound.flaw) from None
    return read.size, read.root


@pytest.mark.parametrize("read", [kit_promise, hub_promise])
def test_an_empty_root_is_believed_at_size_0_only_and_size_0_with_an_empty_root_only(
    read: Callable[[str], tuple[int, bytes]],
) -> None:
    def note(size: int, root: bytes) -> str:
        return sign_note(f"{ORIGIN}\n{size}\n{b64encode(root).decode()}\n", ORIGIN, SIGNER)

    assert read(note(0, EMPTY_ROOT)) == (0, EMPTY_ROOT)
    assert read(note(5, ROOT)) == (5, ROOT)
    for size, root in ((5, EMPTY_ROOT), (0, ROOT), (5, b""), (0, b""), (5, ROOT[:31]), (5, ROOT + b"\0")):
        with pytest.raises(notes.Malformed):
            read(note(size, root))


@pytest.mark.parametrize("reads", READERS)
def test_nothing_is_proved_of_an_empty_tree_and_of_one_leaf_without_a_path_only(reads: Reads) -> None:
    assert not reads(CT[0], 0, 0, [], EMPTY_ROOT)
    assert reads(CT[0], 0, 1, [], CT[0])
    assert not reads(CT[0], 0, 1, [EMPTY_ROOT], CT[0])
    assert not reads(EMPTY_ROOT, 0, 1, [], ROOT)


def test_from_size_0_the_witness_asks_for_no_proof_and_takes_none() -> None:
    naive = Naive(CT)
    files = naive.tiles(8)
    tiles = Tiles(lambda path, _most: files.get(path), 8)
    assert roots(tiles, 0) == (EMPTY_ROOT, bytes.fromhex(CT_ROOTS[7]))
    assert roots(Tiles(lambda _path, _most: b"x" * 32, 0), 0) == (EMPTY_ROOT, EMPTY_ROOT)


PETER = notes.read_log_key(PETER_VERIFIER)
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
GO = TEXT + "\n" + PETER_LINE + ENOCH_LINE


def test_go_s_example_keys_and_note_are_read_by_the_kit_and_by_the_hub() -> None:
    enoch = notes.read_log_key(ENOCH)
    note = notes.read_note(GO)
    assert note.text == TEXT
    for keys in ([PETER], [enoch], [PETER, enoch]):
        assert notes.signed_by(note, keys, ed25519.is_signed)
    for text, key in ((PETER_VERIFIER, PETER), (ENOCH, enoch)):
        ours = hub_notes.read_key(text, hub_notes.LOG)
        assert (ours.name, ours.key_id, ours.raw, ours.text) == (key.name, key.key_id, key.public, text)
        assert Ed25519PublicKey.from_public_bytes(key.public) == ours.public
    text, lines = hub_notes.take_apart(GO)
    assert (text, [line.name for line in lines]) == (TEXT, ["PeterNeumann", "EnochRoot"])
    assert "".join(line.text for line in lines) == PETER_LINE + ENOCH_LINE


@pytest.mark.parametrize(
    "note",
    [
        TEXT + "\n" + ENOCH_LINE,
        TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "CarmenSandiego"),
        TEXT + "\n" + PETER_LINE.replace("NIuGUgYN", "ABCDABCD"),
        TEXT + "\n" + PETER_LINE + PETER_LINE.replace("NIuGUgYN", "ABCDABCD"),
        TEXT.replace("don't", "do not") + "\n" + PETER_LINE,
    ],
)
def test_the_kit_believes_no_note_that_peter_did_not_sign(note: str) -> None:
    assert not notes.signed_by(notes.read_note(note), [PETER], ed25519.is_signed)


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        TEXT + "\n",
        TEXT + "\n\n",
        TEXT + "\n" + PETER_LINE[:-1],
        "\x01" + TEXT + "\n" + PETER_LINE,
        TEXT.replace("\n", "\r\n") + "\n" + PETER_LINE,
        TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter+Neumann"),
        TEXT + "\n" + PETER_LINE.replace("—", "-"),
        TEXT + "\n" + PETER_LINE.replace("AM=", "AN="),
        TEXT + "\n— PeterNeumann x08gow==\n",
        TEXT + "\n" + PETER_LINE + "Unexpected line.\n",
        TEXT + "\n" + PETER_LINE * 101,
    ],
)
def test_a_malformed_note_is_one_for_the_kit(note: str) -> None:
    with pytest.raises(notes.Malformed):
        notes.read_note(note)


def test_c2sp_s_example_note_and_checkpoint_are_read_by_the_kit_and_by_the_hub() -> None:
    note = notes.read_note(OGNUNO)
    assert note.text.endswith("sole:\n\ned è subito sera.\n")
    assert note.signatures[0][1].hex() == "367ba04b"
    assert hub_notes.take_apart(OGNUNO)[0] == note.text
    sofa = notes.read_checkpoint(notes.read_note(SOFA).text)
    assert (sofa.origin, sofa.size) == ("example.com/behind-the-sofa", 20852163)
    assert b64encode(sofa.root).decode() == "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    with pytest.raises(Unsound, match="signature"):  # its key was never published
        read_promise(SOFA, sofa.origin, SIGNER.public_key())


def test_what_the_hub_signs_the_kit_and_the_hub_s_verifier_read_alike() -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 8, bytes.fromhex(CT_ROOTS[7])), SIGNER)
    told = Promise(8, bytes.fromhex("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"))
    assert read_promise(note, ORIGIN, SIGNER.public_key()) == told
    assert kit_promise(note) == (told.size, told.root)
