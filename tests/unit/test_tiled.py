"""Roots from tiles: the verifier's own code held against the writer's, and against tiles that lie."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.ledger import tree
from hub.ledger.evidence import Unsound
from hub.ledger.tiled import Tiles, roots
from hub.ledger.tiles import Tile, of_size, parse

LARGEST = 70_000
LEAVES = b"".join(sha256(number.to_bytes(4, "big")).digest() for number in range(LARGEST))
LAYERS = {
    layer.level: layer.hashes
    for layer in tree.grow(0, LEAVES, lambda *_place: b"")  # from nothing, nothing is asked for
}


def node(level: int, index: int) -> bytes:
    return LAYERS[level][index * 32 : index * 32 + 32]


def served(size: int) -> dict[str, bytes]:
    """The tiles of a size, made of the writer's nodes."""
    return {
        tile.path: LAYERS[8 * tile.level][tile.index * 8192 :][: tile.width * 32] for tile in of_size(size)
    }


def fetch_from(files: dict[str, bytes]) -> Callable[[str, int], bytes | None]:
    def fetch(path: str, largest: int) -> bytes | None:
        content = files.get(path)
        assert content is None or len(content) <= largest
        return content

    return fetch


def naive(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word by word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    split = max(2**power for power in range(20) if 2**power < len(leaves))
    return sha256(b"\x01" + naive(leaves[:split]) + naive(leaves[split:])).digest()


def test_both_roots_are_those_of_the_naive_tree_for_every_pair_of_sizes() -> None:
    sizes = [*range(18), 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 258, 300, 511, 512, 513, 600]
    expected = {size: naive([LEAVES[at * 32 : at * 32 + 32] for at in range(size)]) for size in sizes}
    for new in sizes:
        files = served(new)
        for old in (size for size in sizes if size <= new):
            assert roots(Tiles(fetch_from(files), new), old) == (expected[old], expected[new]), (old, new)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), new=st.integers(0, LARGEST))
def test_both_roots_are_the_writer_s_for_large_trees(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(0, new))
    tiles = Tiles(fetch_from(served(new)), new)
    assert roots(tiles, old) == (tree.root(old, node), tree.root(new, node))
    assert len(tiles.used) <= 8, "a handful of tiles, whatever the size"


def test_a_full_tile_stands_in_for_a_partial_one_that_was_deleted() -> None:
    files = served(600)
    del files["tile/0/002.p/88"], files["tile/1/000.p/2"]
    files |= {"tile/0/002": LEAVES[512 * 32 : 768 * 32], "tile/1/000": LAYERS[8][: 256 * 32]}
    assert roots(Tiles(fetch_from(files), 600), 300) == (tree.root(300, node), tree.root(600, node))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), new=st.integers(2, 2_000))
def test_tiles_that_lie_make_another_root_than_the_signed_one(data: st.DataObject, new: int) -> None:
    """Whatever is flipped in what is looked at, the root that was signed does not come out."""
    old, files = data.draw(st.integers(1, new)), served(new)
    honest = Tiles(fetch_from(files), new)
    signed = roots(honest, old)
    path = data.draw(st.sampled_from(sorted(honest.used)))
    at = data.draw(st.integers(0, len(files[path]) - 1))
    files[path] = files[path][:at] + bytes([files[path][at] ^ 1]) + files[path][at + 1 :]
    before, after = roots(Tiles(fetch_from(files), new), old)
    assert after != signed[1] or (before, after) == signed, "a root that is signed vouches for the older one"


@pytest.mark.parametrize(("size", "flaw"), [(0, "tile"), (31, "tile"), (8191, "tile"), (None, "absent")])
def test_a_tile_of_another_size_or_none_is_not_looked_at(size: int | None, flaw: str) -> None:
    files = served(300)
    if size is None:
        del files["tile/0/000"]
    else:
        files["tile/0/000"] = files["tile/0/000"][:size]
    with pytest.raises(Unsound, match=flaw):
        roots(Tiles(fetch_from(files), 300), 100)


def test_the_empty_tree_needs_no_tiles_and_no_tree_begins_with_more_than_it_holds() -> None:
    assert roots(Tiles(fetch_from({}), 0), 0) == (tree.EMPTY_ROOT, tree.EMPTY_ROOT)
    for old in (-1, 4):
        with pytest.raises(ValueError, match="no tree of size 3"):
            roots(Tiles(fetch_from({}), 3), old)


def test_paths_of_a_million_tiles_are_those_that_the_log_writes() -> None:
    asked: list[str] = []

    def fetch(path: str, largest: int) -> bytes:
        asked.append(path)
        return bytes(largest)

    size = 1234067 * 256 + 200
    roots(Tiles(fetch, size), size - 1)
    assert "tile/0/x001/x234/067.p/200" in asked
    read = [parse(path) for path in asked]
    assert None not in read
    partial = {Tile(level, size >> 8 * level + 8, (size >> 8 * level) % 256) for level in range(4)}
    assert {tile for tile in read if tile and not tile.is_full} == partial
