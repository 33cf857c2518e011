"""A pseudonym opens for its own recipient, purpose and epoch, and for nothing else."""

import base64

import numpy as np
import polars as pl
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.aes_columns import Bytes
from hub.keys import KeyRing, create_keys
from hub.pseudonyms import parse, persons, pseudonyms, write

SEALED = st.binary(min_size=32, max_size=32)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
IDS = np.arange(48, dtype=np.uint8).reshape(3, 16)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    folder = tmp_path_factory.mktemp("hub") / "keys"
    create_keys(folder)
    return KeyRing(folder)


def rows(*sealed: bytes) -> Bytes:
    return np.frombuffer(b"".join(sealed), dtype=np.uint8).reshape(-1, 32)


def written(sealed: bytes, version: int = 1) -> str:
    """Write one pseudonym the plain way."""
    digits = base64.b32encode(sealed).decode()[:52]
    check = sum(place * ALPHABET.index(digit) for place, digit in enumerate(digits, 1)) % 1021
    return f"P{version}{digits}{ALPHABET[check // 32]}{ALPHABET[check % 32]}"


@settings(deadline=None)
@given(st.lists(SEALED, max_size=6), st.integers(1, 9))
def test_the_written_form_is_base32_with_two_check_characters(sealed: list[bytes], version: int) -> None:
    texts = write(rows(*sealed), version)
    assert texts.dtype == pl.String
    assert texts.to_list() == [written(one, version) for one in sealed]
    read, good = parse(texts, version)
    assert good.all()
    assert (read == rows(*sealed)).all()


@settings(deadline=None)
@given(SEALED, st.integers(0, 55), st.characters(codec="utf-8"))
def test_one_wrong_character_anywhere_is_noticed(sealed: bytes, place: int, sign: str) -> None:
    right = written(sealed)
    text = right[:place] + sign + right[place + 1 :]
    read, good = parse(pl.Series([text]))
    assert good[0] == (text == right)
    assert good[0] or not read.any()


@settings(deadline=None)
@given(SEALED, st.integers(2, 53), st.integers(2, 53))
def test_two_exchanged_characters_are_noticed(sealed: bytes, one: int, other: int) -> None:
    signs = list(written(sealed))
    signs[one], signs[other] = signs[other], signs[one]
    text = "".join(signs)
    assert parse(pl.Series([text]))[1][0] == (text == written(sealed))


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=60) | SEALED.map(written), max_size=6))
def test_only_the_exact_form_is_read(texts: list[str | None]) -> None:
    read, good = parse(pl.Series(texts, dtype=pl.String))
    again = write(read, 1).to_list()
    assert [(text == back) for text, back in zip(texts, again, strict=True)] == good.tolist()


def test_filling_bits_must_be_zero_even_when_the_check_is_right() -> None:
    digits = base64.b32encode(bytes(32)).decode()[:51] + "B"
    check = 52 % 1021
    text = f"P1{digits}{ALPHABET[check // 32]}{ALPHABET[check % 32]}"
    assert not parse(pl.Series([text]))[1].any()


def test_a_pseudonym_is_aes_siv_of_the_id_in_its_domain(ring: KeyRing) -> None:
    texts = pseudonyms(ring, "integration", "counselling", 3, IDS)
    siv = AESSIV(ring.pseudonym_key("integration", "counselling", 3))
    context = [b"hub pseudonym v1", b"integration", b"counselling", b"3"]
    assert texts.to_list() == [written(siv.encrypt(row.tobytes(), context)) for row in IDS]
    assert texts.to_list() == pseudonyms(ring, "integration", "counselling", 3, IDS).to_list()


def test_persons_are_found_again_in_their_own_domain_only(ring: KeyRing) -> None:
    texts = pseudonyms(ring, "integration", "counselling", 3, IDS)
    ids, known = persons(ring, "integration", "counselling", 3, texts)
    assert known.all()
    assert (ids == IDS).all()
    for domain in (
        ("jobcenter", "counselling", 3),
        ("integration", "other", 3),
        ("integration", "counselling", 4),
    ):
        ids, known = persons(ring, *domain, texts)
        assert not known.any()
        assert not ids.any()


def test_a_forged_pseudonym_with_a_right_check_is_nobody(ring: KeyRing) -> None:
    real = pseudonyms(ring, "r", "p", 1, IDS)
    texts = pl.Series([real[0], written(bytes(32)), None, "P2" + str(real[1])[2:], real[2]])
    ids, known = persons(ring, "r", "p", 1, texts)
    assert known.tolist() == [True, False, False, False, True]
    assert not ids[1:4].any()


def test_no_rows_give_no_rows(ring: KeyRing) -> None:
    none = pseudonyms(ring, "r", "p", 1, IDS[:0])
    assert none.dtype == pl.String
    assert none.is_empty()
    ids, known = persons(ring, "r", "p", 1, none)
    assert ids.shape == (0, 16)
    assert known.shape == (0,)


def test_a_version_of_two_digits_or_other_bytes_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="one digit"):
        write(rows(bytes(32)), 10)
    with pytest.raises(ValueError, match="one digit"):
        write(IDS, 1)
