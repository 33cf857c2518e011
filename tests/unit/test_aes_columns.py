"""AES over columns is AES over each row: held against the RFCs' vectors and against `cryptography`."""

from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from hub import aes_columns
from hub.aes_columns import Bytes, cmac, cmac_texts, row_texts, s2v_chain, siv_decrypt, siv_encrypt

SIV_KEYS = st.binary(min_size=64, max_size=64)
CONTEXTS = st.lists(st.binary(max_size=40), max_size=5)
IDS = st.lists(st.binary(min_size=16, max_size=16), max_size=12)


def column(rows: list[bytes], width: int) -> Bytes:
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, width)


def cmac_rows(key: bytes, messages: list[bytes]) -> list[bytes]:
    offsets = np.cumsum([0, *map(len, messages)], dtype=np.int64)
    return [row.tobytes() for row in cmac(key, np.frombuffer(b"".join(messages), dtype=np.uint8), offsets)]


def cmac_reference(key: bytes, message: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


def test_cmac_gives_the_macs_of_rfc_4493_section_4() -> None:
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    message = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    expected = [
        "bb1d6929e95937287fa37d129b756746",
        "070a16b46b4d4144f79bdd9dd04a287c",
        "dfa66747de9ae63030ca32611497c827",
        "51f0bebf7e3b9d92fc49741779363cfe",
    ]
    macs = cmac_rows(key, [message[:length] for length in (0, 16, 40, 64)])
    assert [mac.hex() for mac in macs] == expected


def test_the_context_is_chained_as_in_rfc_5297_appendix_a_1() -> None:
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0")
    context = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    assert s2v_chain(key, [context]).hex() == "edf09de876c642ee4d78bce4ceedfc4f"


def test_chain_and_mac_give_the_synthetic_iv_of_rfc_5297_appendix_a_2() -> None:
    key = bytes.fromhex("7f7e7d7c7b7a79787776757473727170")
    context = [
        bytes.fromhex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"),
        bytes.fromhex("102030405060708090a0"),
        bytes.fromhex("09f911029d74e35bd84156c5635688c0"),
    ]
    plain = b"this is some plaintext to encrypt using SIV-AES"
    ending = bytes(a ^ b for a, b in zip(plain[-16:], s2v_chain(key, context), strict=True))
    assert cmac_rows(key, [plain[:-16] + ending])[0].hex() == "7bdb6e3b432667eb06f4d14bff2fbd0f"


@settings(deadline=None)
@given(SIV_KEYS, CONTEXTS, IDS, st.integers(1, 5))
def test_a_sealed_column_equals_the_sealed_rows(
    key: bytes, context: list[bytes], ids: list[bytes], piece: int
) -> None:
    with patch.object(aes_columns, "SLICE", piece):
        sealed = siv_encrypt(key, context, column(ids, 16))
        opened, valid = siv_decrypt(key, context, sealed)
    assert [row.tobytes() for row in sealed] == [AESSIV(key).encrypt(one, context) for one in ids]
    assert valid.all()
    assert (opened == column(ids, 16)).all()


@settings(deadline=None)
@given(SIV_KEYS, IDS.filter(bool), st.data())
def test_a_flipped_bit_or_another_context_proves_nothing_and_gives_nothing(
    key: bytes, ids: list[bytes], data: st.DataObject
) -> None:
    sealed = siv_encrypt(key, [b"one"], column(ids, 16))
    row = data.draw(st.integers(0, len(ids) - 1))
    sealed[row, data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
    opened, valid = siv_decrypt(key, [b"one"], sealed)
    assert valid.tolist() == [place != row for place in range(len(ids))]
    assert not opened[row].any()
    opened, valid = siv_decrypt(key, [b"one", b""], sealed)
    assert not valid.any()
    assert not opened.any()


def test_a_column_that_is_not_contiguous_is_sealed_alike() -> None:
    wide = np.arange(64 * 7, dtype=np.uint64).astype(np.uint8).reshape(7, 64)
    key = bytes(range(64))
    assert (siv_encrypt(key, [], wide[:, 8:24]) == siv_encrypt(key, [], wide[:, 8:24].copy())).all()


@settings(deadline=None)
@given(
    st.sampled_from([16, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.lists(st.binary(max_size=70) | st.sampled_from([b"", bytes(16), bytes(32), bytes(48)]), max_size=15),
    st.integers(1, 6),
)
def test_the_macs_of_a_column_equal_the_macs_of_its_rows(
    key: bytes, messages: list[bytes], piece: int
) -> None:
    with patch.object(aes_columns, "SLICE", piece):
        assert cmac_rows(key, messages) == [cmac_reference(key, message) for message in messages]


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=15), st.integers(1, 6))
def test_texts_are_authenticated_as_utf_8(texts: list[str], piece: int) -> None:
    key = bytes(range(32))
    with patch.object(aes_columns, "SLICE", piece):
        macs = cmac_texts(key, pl.Series(texts, dtype=pl.String))
    assert [row.tobytes() for row in macs] == [cmac_reference(key, text.encode()) for text in texts]


def test_messages_may_start_behind_the_beginning_of_the_buffer() -> None:
    buffer = np.frombuffer(b"...abc..", dtype=np.uint8)
    macs = cmac(bytes(32), buffer, np.array([3, 6]))
    assert macs[0].tobytes() == cmac_reference(bytes(32), b"abc")


CELLS = st.none() | st.text(alphabet="0123:,~aä", max_size=6)
ROWS = st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), min_size=2, max_size=6))


@settings(deadline=None)
@given(ROWS)
def test_two_rows_have_one_text_exactly_when_they_are_equal(rows: list[tuple[str | None, ...]]) -> None:
    # A column name that begins with ^ would be read as a pattern if cells were taken by name.
    names = [f"^c{place}.*$" for place in range(len(rows[0]))]
    texts = row_texts(pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")).to_list()
    assert None not in texts
    for one, one_text in zip(rows, texts, strict=True):
        for other, other_text in zip(rows, texts, strict=True):
            assert (one == other) == (one_text == other_text)


def test_a_row_is_written_in_netstrings() -> None:
    frame = pl.DataFrame({"a": ["ä", ""], "b": ["1:", None]}, schema={"a": pl.String, "b": pl.String})
    assert row_texts(frame).to_list() == ["2:ä,2:1:,", "0:,~,"]
    assert row_texts(pl.DataFrame()).to_list() == []


def test_what_has_no_defined_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="text columns only"):
        row_texts(pl.DataFrame({"a": [1.5]}))
    with pytest.raises(ValueError, match="without nulls"):
        cmac_texts(bytes(32), pl.Series(["a", None]))
    with pytest.raises(ValueError, match="must not fall"):
        cmac(bytes(32), np.zeros(4, dtype=np.uint8), np.array([0, 3, 2]))
    with pytest.raises(ValueError, match="within the buffer"):
        cmac(bytes(32), np.zeros(4, dtype=np.uint8), np.array([0, 5]))
    with pytest.raises(ValueError, match="key of 16 or 32"):
        cmac(bytes(24), np.zeros(4, dtype=np.uint8), np.array([0, 4]))
    with pytest.raises(ValueError, match="key of 64"):
        siv_encrypt(bytes(32), [], np.zeros((1, 16), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"shape \(n, 16\)"):
        siv_encrypt(bytes(64), [], np.zeros((1, 17), dtype=np.uint8))
