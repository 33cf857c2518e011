"""Hash tiles of the log: their paths and which there are, by the text of C2SP tlog-tiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.ledger.tiles import WIDTH, Tile, of_size, parse

SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_000, 16_777_216, 16_777_217]


def naive(size: int) -> set[Tile]:
    """The specification's own words: floor(size / 256**level) nodes, cut into tiles of 256."""
    tiles, level = set(), 0
    while size // 256**level:
        full, rest = divmod(size // 256**level, 256)
        tiles |= {Tile(level, index) for index in range(full)}
        tiles |= {Tile(level, full, rest)} if rest else set()
        level += 1
    return tiles


def test_the_paths_are_those_of_the_specification() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(0, 67).path == "tile/0/067"
    assert Tile(63, 1000, 255).path == "tile/63/x001/000.p/255"


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    tiles = list(of_size(70_000))
    assert len([tile for tile in tiles if (tile.level, tile.width) == (0, WIDTH)]) == 273
    assert [tile for tile in tiles if not tile.is_full] == [
        Tile(0, 273, 112),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
    ]
    assert [tile for tile in tiles if tile.level == 1 and tile.is_full] == [Tile(1, 0)]
    assert list(of_size(256)) == [Tile(0, 0), Tile(1, 0, 1)]


@pytest.mark.parametrize("size", [*range(300), *(size for size in SIZES if size < 100_000)])
def test_every_size_has_the_tiles_of_the_definition_once_each(size: int) -> None:
    tiles = list(of_size(size))
    assert set(tiles) == naive(size)
    assert len(tiles) == len(set(tiles))


@given(old=st.integers(0, 70_000), more=st.integers(0, 2_000))
def test_what_is_new_since_an_older_size_is_what_that_size_lacks(old: int, more: int) -> None:
    assert set(of_size(old + more, since=old)) == naive(old + more) - naive(old)


@given(
    tile=st.builds(Tile, st.integers(0, 63), st.integers(0, 10**18), st.integers(1, WIDTH)),
)
def test_a_path_is_read_back_as_the_tile_that_it_names(tile: Tile) -> None:
    assert parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/67",
        "tile/0/0067",
        "tile/00/067",
        "tile/64/067",
        "tile/0/x067",
        "tile/0/x000/067",
        "tile/0/001/067",
        "tile/0/x001/067/",
        "/tile/0/067",
        "tile/0/067.p/0",
        "tile/0/067.p/256",
        "tile/0/067.p/01",
        "tile/0/067.p/",
        "tile/0/067.p",
        "tile/entries/067",
        "tile/0/../../keys",
        "tile/0/٠٦٧",
        "tile/0/067\n",
        "tile/0/" + "x001/" * 7 + "001",
        "tile/-1/001",
    ],
)
def test_a_path_in_any_other_spelling_names_no_tile(path: str) -> None:
    assert parse(path) is None
