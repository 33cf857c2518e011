"""What is written into blocks in any order comes back as a plain file would give it, or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub import blocks
from hub.blocks import HEAD, TAG, BlockReader, Blocks
from hub.errors import Corrupt, Refused

KEY = bytes(range(32))
SMALL = 16  # a block in the tests that walk through many of them
LIMIT = 400
NAME = "0123abcd"

writes = st.tuples(st.just("write"), st.integers(0, LIMIT + 20), st.binary(min_size=0, max_size=70))
steps = st.one_of(
    writes,
    writes,
    writes,
    st.tuples(st.just("truncate"), st.integers(0, LIMIT), st.just(b"")),
    st.tuples(st.just("flush"), st.just(0), st.just(b"")),
    st.tuples(st.just("reopen"), st.just(0), st.just(b"")),
)


@pytest.fixture(autouse=True)
def small_blocks() -> Iterator[None]:
    with (
        patch.object(blocks, "BLOCK", SMALL),
        patch.object(blocks, "SLOT", HEAD + SMALL + TAG),
        patch.object(blocks, "HELD", 2),
    ):
        yield


def read(path: Path, size: int) -> bytes:
    with BlockReader(path, KEY, NAME, size) as source:
        parts = []
        while part := source.read(23):
            parts.append(part)
        return b"".join(parts)


class Model:
    """A plain file that remembers which of its bytes were written."""

    def __init__(self) -> None:
        self.data, self.there = bytearray(), bytearray()

    def write(self, offset: int, piece: bytes) -> None:
        if piece:
            lacking = max(offset + len(piece) - len(self.data), 0)
            self.data += bytes(lacking)
            self.there += bytes(lacking)
            self.data[offset : offset + len(piece)] = piece
            self.there[offset : offset + len(piece)] = b"\1" * len(piece)

    def truncate(self, size: int) -> None:
        del self.data[size:], self.there[size:]
        kept = len(self.there.rstrip(b"\0"))  # a cut never ends in a gap: there is nothing to keep of one
        del self.data[kept:], self.there[kept:]

    @property
    def prefix(self) -> int:
        gap = self.there.find(0)
        return len(self.there) if gap < 0 else gap


@settings(max_examples=400, deadline=None)
@given(todo=st.lists(steps, max_size=25))
def test_any_order_of_writes_gives_what_a_plain_file_would(
    tmp_path_factory: pytest.TempPathFactory, todo: list[tuple[str, int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("u") / "u.blocks"
    model, content = Model(), Blocks.create(path, KEY, NAME, LIMIT)
    for verb, offset, piece in todo:
        if verb == "write" and offset + len(piece) > LIMIT:
            with pytest.raises(Refused, match=r"file\.too_large"):
                content.write(offset, piece)
        elif verb == "write":
            content.write(offset, piece)
            model.write(offset, piece)
        elif verb == "truncate":
            content.truncate(offset)
            model.truncate(offset)
        else:
            content.flush()
            if verb == "reopen":
                content.close()
                content = Blocks.reopen(path, KEY, NAME, LIMIT)
                model.truncate(model.prefix)
        assert (content.size, content.prefix) == (len(model.data), model.prefix)
    if model.prefix < len(model.data):
        with pytest.raises(Refused, match=r"upload\.gap"):
            content.settle()
    else:
        assert content.settle() == len(model.data)
        content.close()
        assert read(path, len(model.data)) == bytes(model.data)
    content.close()


def made(path: Path, plain: bytes) -> None:
    content = Blocks.create(path, KEY, NAME, LIMIT)
    content.write(0, plain)
    assert content.settle() == len(plain)
    content.close()


@given(at=st.integers(0, 5 * (HEAD + SMALL + TAG) - 1), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    path = tmp_path_factory.mktemp("u") / "u.blocks"
    made(path, bytes(range(5 * SMALL)))
    sealed = bytearray(path.read_bytes())
    sealed[at] ^= 1 << bit
    path.write_bytes(sealed)
    with pytest.raises(Corrupt, match=r"upload\.damaged"):
        read(path, 5 * SMALL)


def test_blocks_do_not_stand_for_one_another_and_a_cut_is_found(tmp_path: Path) -> None:
    path, slot = tmp_path / "u.blocks", HEAD + SMALL + TAG
    made(path, bytes(range(3 * SMALL)))
    sealed = path.read_bytes()
    first, second, third = (sealed[at * slot : (at + 1) * slot] for at in range(3))
    for changed in (second + first + third, first + second, first + bytes(slot) + third, sealed[:-1], b""):
        path.write_bytes(changed)
        with pytest.raises(Corrupt, match=r"upload\.damaged"):
            read(path, 3 * SMALL)
    path.write_bytes(sealed)
    with pytest.raises(Corrupt), BlockReader(path, KEY, "another upload", 3 * SMALL) as source:
        source.read()
    for size in (3 * SMALL - 1, 3 * SMALL + 1):
        with pytest.raises(Corrupt):
            read(path, size)


def test_a_torn_block_is_forgotten_with_all_behind_it_when_the_upload_goes_on(tmp_path: Path) -> None:
    path, slot = tmp_path / "u.blocks", HEAD + SMALL + TAG
    made(path, bytes(range(4 * SMALL)))
    with path.open("r+b") as file:
        file.seek(2 * slot + HEAD + 3)
        file.write(os.urandom(4))
    content = Blocks.reopen(path, KEY, NAME, LIMIT)
    assert content.prefix == content.size == 2 * SMALL
    content.write(2 * SMALL, b"and on")
    assert content.settle() == 2 * SMALL + 6
    content.close()
    assert read(path, 2 * SMALL + 6) == bytes(range(2 * SMALL)) + b"and on"


def test_a_block_that_is_damaged_under_an_open_upload_is_never_built_upon(tmp_path: Path) -> None:
    path = tmp_path / "u.blocks"
    content = Blocks.create(path, KEY, NAME, LIMIT)
    content.write(0, bytes(5 * SMALL))
    content.flush()
    with path.open("r+b") as file:
        file.write(os.urandom(40))
    with pytest.raises(Corrupt, match=r"upload\.damaged"):
        content.write(3, b"x")
    content.close()


def test_nothing_plain_and_no_nonce_twice_is_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "u.blocks"
    content = Blocks.create(path, KEY, NAME, LIMIT)
    seen = set()
    for _ in range(20):
        content.write(0, b"Zkanarienvogel!!")
        content.flush()
        sealed = path.read_bytes()
        assert b"kanarien" not in sealed
        seen.add(sealed[:12])
    assert len(seen) == 20
    assert path.stat().st_mode & 0o777 == 0o600
    content.close()


def test_too_many_stretches_are_refused(tmp_path: Path) -> None:
    content = Blocks.create(tmp_path / "u.blocks", KEY, NAME, 1 << 20)
    with patch.object(blocks, "FRAGMENTS", 10):
        for at in range(10):
            content.write(3 * at, b"x")
        with pytest.raises(Refused, match=r"upload\.scattered"):
            content.write(60, b"x")
    content.close()
