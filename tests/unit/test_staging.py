"""What is sealed comes back as it was, or not at all; what is published is there whole, or not at all."""

import errno
import io
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub import sealed
from hub.errors import Corrupt, Transient
from hub.staging import (
    SealedReader,
    SealedWriter,
    discard,
    make_folder,
    publish,
    read_bytes,
    read_frame,
    write_bytes,
    write_frame,
    write_once,
)

KEY = bytes(range(32))
SMALL = 16  # a chunk in the tests that walk through many of them
SEALED_CHUNK = SMALL + sealed.TAG


@pytest.fixture
def small_chunks() -> Iterator[None]:
    with patch.object(sealed, "CHUNK", SMALL):
        yield


def seal_small(path: Path, data: bytes) -> bytes:
    write_bytes(path, KEY, data)
    return path.read_bytes()


def assert_damaged(path: Path, content: bytes, key: bytes = KEY) -> None:
    path.write_bytes(content)
    with pytest.raises(Corrupt) as caught:
        read_bytes(path, key)
    assert caught.value.code == "staging.damaged"


@settings(deadline=None)
@given(data=st.data())
def test_any_pieces_written_are_read_back_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("sealed") / "rows"
    pieces = data.draw(st.lists(st.binary(max_size=40), max_size=8))
    whole = b"".join(pieces)
    with patch.object(sealed, "CHUNK", SMALL):
        with SealedWriter(path, KEY) as sink:
            for piece in pieces:
                assert sink.write(piece) == len(piece)
            assert sink.tell() == len(whole)
        with SealedReader(path, KEY) as source:
            assert source.size == len(whole)
            assert source.read() == whole
            plain = io.BytesIO(whole)
            for move, size in data.draw(
                st.lists(st.tuples(st.integers(0, 130), st.integers(-1, 60)), max_size=8)
            ):
                assert source.seek(move) == plain.seek(move)
                assert source.read(size) == plain.read(size)
                assert source.tell() == plain.tell()
            source.seek(0)
            assert b"".join(source) == whole  # line by line


@pytest.mark.usefixtures("small_chunks")
def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    content = seal_small(path, b"x" * 40)
    for place in range(len(content)):
        assert_damaged(path, content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


@pytest.mark.usefixtures("small_chunks")
def test_every_cut_is_noticed_also_between_two_chunks(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    content = seal_small(path, b"x" * (3 * SMALL))
    for length in range(len(content)):
        assert_damaged(path, content[:length])


@pytest.mark.usefixtures("small_chunks")
def test_swapped_repeated_and_appended_chunks_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    content = seal_small(path, bytes(range(3 * SMALL)))
    header, body = content[: sealed.HEADER], content[sealed.HEADER :]
    one, two, three = (body[start : start + SEALED_CHUNK] for start in range(0, len(body), SEALED_CHUNK))
    for chunks in (
        [two, one, three],
        [one, one, three],
        [one, three],
        [one, two, three, three],
        [one, three, two],
    ):
        assert_damaged(path, header + b"".join(chunks))
    for more in (b"\0", bytes(sealed.TAG), bytes(SEALED_CHUNK)):
        assert_damaged(path, content + more)


@pytest.mark.usefixtures("small_chunks")
def test_a_chunk_of_another_file_under_the_same_key_is_noticed(tmp_path: Path) -> None:
    ours, theirs = (seal_small(tmp_path / name, b"x" * 2 * SMALL) for name in ("ours", "theirs"))
    border = sealed.HEADER + SEALED_CHUNK
    assert_damaged(tmp_path / "ours", ours[:border] + theirs[border:])


@pytest.mark.usefixtures("small_chunks")
def test_no_byte_of_a_cut_file_is_handed_out(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(seal_small(path, b"x" * 3 * SMALL)[: sealed.HEADER + 2 * SEALED_CHUNK])
    with pytest.raises(Corrupt):
        SealedReader(path, KEY)


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    assert_damaged(path, seal_small(path, b"content"), key=bytes(32))


def test_an_empty_file_is_one_empty_last_chunk(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    assert len(seal_small(path, b"")) == sealed.HEADER + sealed.TAG
    assert read_bytes(path, KEY) == b""


def test_several_real_chunks_are_sealed_and_hold_no_plain_content(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    data = b"Erika Mustermann;" * 150_000
    content = seal_small(path, data)
    assert b"Erika" not in content
    assert read_bytes(path, KEY) == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_zip_archive_can_be_written_into_and_read_from_sealed_files(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    with SealedWriter(path, KEY) as sink, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sheet.xml", "<row/>" * 1000)
    with SealedReader(path, KEY) as source, zipfile.ZipFile(source) as archive:
        assert archive.read("sheet.xml") == b"<row/>" * 1000


def test_buffers_are_filled_and_seeking_follows_the_rules_of_files(tmp_path: Path) -> None:
    write_bytes(tmp_path / "rows", KEY, b"abcdef")
    with SealedReader(tmp_path / "rows", KEY) as source:
        room = bytearray(4)
        assert source.readinto(room) == 4
        assert (bytes(room), source.read1(), source.peek()) == (b"abcd", b"ef", b"")
        assert source.seek(-2, os.SEEK_END) == 4
        assert source.seek(-1, os.SEEK_CUR) == 3
        assert source.peek() == b"def"
        with pytest.raises(ValueError, match="before the start"):
            source.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        source.read()


def test_a_failing_block_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with SealedWriter(tmp_path / "rows", KEY) as sink:
            sink.write(b"x" * 3_000_000)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_closing_inside_the_block_is_not_an_end(tmp_path: Path) -> None:
    sink = SealedWriter(tmp_path / "rows", KEY)

    def close_early() -> None:
        with sink:
            sink.write(b"half")
            sink.close()

    with pytest.raises(ValueError, match="closed before"):
        close_early()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        sink.write(b"more")


def test_a_failing_attempt_leaves_the_file_of_its_successor_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows"

    def orphan() -> None:
        with SealedWriter(path, KEY):
            discard(path)
            write_bytes(path, KEY, b"the retry's")
            raise LookupError

    with pytest.raises(LookupError):
        orphan()
    assert read_bytes(path, KEY) == b"the retry's"


def test_an_existing_file_or_link_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("rows", "link"):
        with pytest.raises(Transient) as caught:
            SealedWriter(tmp_path / name, KEY)
        assert caught.value.code == "staging.exists"
    assert (tmp_path / "rows").read_bytes() == b"kept"
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_is_not_followed_and_a_lost_file_is_named(tmp_path: Path) -> None:
    write_bytes(tmp_path / "rows", KEY, b"x")
    (tmp_path / "link").symlink_to(tmp_path / "rows")
    with pytest.raises(Transient) as link:
        SealedReader(tmp_path / "link", KEY)
    assert link.value.code == "disk.read"
    with pytest.raises(Corrupt) as lost:
        SealedReader(tmp_path / "none", KEY)
    assert lost.value.code == "staging.missing"


def test_a_key_has_32_bytes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SealedWriter(tmp_path / "rows", b"short")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk.full"), (errno.EDQUOT, "disk.full"), (errno.EIO, "disk.write")]
)
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_refusing_disk_is_transient_and_leaves_nothing(
    tmp_path: Path, call: str, number: int, code: str
) -> None:
    with (
        patch.object(os, call, side_effect=OSError(number, "as the system says")),
        pytest.raises(Transient) as caught,
    ):
        write_bytes(tmp_path / "rows", KEY, b"Erika")
    assert caught.value.code == code
    assert "Erika" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert list(tmp_path.iterdir()) == []


FRAMES = st.lists(st.tuples(st.none() | st.text(max_size=5), st.none() | st.integers(0, 9)), max_size=5)


@settings(deadline=None)
@given(rows=FRAMES)
def test_rows_come_back_equal_in_values_order_and_types(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str | None, int | None]]
) -> None:
    path = tmp_path_factory.mktemp("sealed") / "rows"
    frame = pl.DataFrame(rows, schema={"name": pl.String, "place": pl.UInt32}, orient="row")
    write_frame(path, KEY, frame)
    back = read_frame(path, KEY)
    assert back.schema == frame.schema
    assert back.equals(frame)


def test_content_that_is_no_rows_is_named_without_being_shown(tmp_path: Path) -> None:
    write_bytes(tmp_path / "rows", KEY, b"Erika Mustermann")
    with pytest.raises(Corrupt) as caught:
        read_frame(tmp_path / "rows", KEY)
    assert caught.value.code == "staging.frame"
    assert "Erika" not in str(caught.value)
    with pytest.raises(Corrupt) as unwritable:
        write_frame(tmp_path / "other", KEY, pl.DataFrame({"a": [object()]}, schema={"a": pl.Object}))
    assert unwritable.value.code == "staging.frame"
    assert not (tmp_path / "other").exists()


def test_publishing_flushes_the_file_before_the_name_and_the_name_before_returning(tmp_path: Path) -> None:
    old, new = tmp_path / "staging", tmp_path / "outbox"
    make_folder(old)
    make_folder(new)
    (old / "temp").write_bytes(b"new")
    (new / "final").write_bytes(b"old")
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def traced_fsync(handle: int) -> None:
        calls.append("fsync " + Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    def traced_replace(*args: Any, **kwargs: Any) -> None:
        calls.append("replace")
        replace(*args, **kwargs)

    with patch.object(os, "fsync", traced_fsync), patch.object(os, "replace", traced_replace):
        publish(old / "temp", new / "final")
    assert calls == ["fsync temp", "replace", "fsync outbox", "fsync staging"]
    assert (new / "final").read_bytes() == b"new"
    with pytest.raises(Transient):
        publish(old / "temp", new / "final")


def test_folders_are_made_closed_and_existing_ones_left_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        make_folder(tmp_path / "data" / "inbox")
        make_folder(tmp_path / "data" / "inbox")
    finally:
        os.umask(before)
    modes = [
        stat.S_IMODE(folder.stat().st_mode)
        for folder in (tmp_path, tmp_path / "data", tmp_path / "data/inbox")
    ]
    assert modes == [0o755, 0o700, 0o700]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Transient):
        make_folder(tmp_path / "file")


def test_discarding_takes_files_links_and_trees_and_minds_nothing_missing(tmp_path: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file").write_bytes(b"x")
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("tree", "link", "tree", "none", "none/deeper"):
        discard(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_tree_that_goes_while_it_is_discarded_is_gone(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()

    def taken_by_another(tree: Path) -> None:
        tree.rmdir()
        raise FileNotFoundError

    with patch.object(shutil, "rmtree", taken_by_another):
        discard(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_chunks")
def test_a_file_cut_while_it_is_read_and_a_folder_in_its_place_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    content = seal_small(path, b"x" * 3 * SMALL)
    with SealedReader(path, KEY) as source:
        os.truncate(path, len(content) // 2)
        with pytest.raises(Corrupt):
            source.read()
    with pytest.raises(Corrupt):
        SealedReader(tmp_path, KEY)


def test_a_small_file_is_written_once_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "setting"
    assert write_once(path, b"first")
    assert not write_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [left.name for left in tmp_path.iterdir()] == ["setting"]
