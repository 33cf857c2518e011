"""A sender's word rests sealed, and opens under its submission's key alone."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Corrupt
from hub.staging import open_text, seal_text

KEY = bytes(range(32))


@given(st.text(max_size=40))
def test_a_sealed_text_comes_back_and_is_never_sealed_alike(text: str) -> None:
    one, other = seal_text(KEY, text), seal_text(KEY, text)
    assert open_text(KEY, one) == open_text(KEY, other) == text
    assert one != other


def test_a_sealed_text_opens_under_no_other_key() -> None:
    with pytest.raises(Corrupt, match=r"staging\.damaged"):
        open_text(bytes(32), seal_text(KEY, "Müller"))


@given(st.data())
def test_a_changed_sealed_text_is_noticed_and_no_error_tells_it(data: st.DataObject) -> None:
    blob = bytearray(base64.b64decode(seal_text(KEY, "Müller, Anna")))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Corrupt) as raised:
        open_text(KEY, base64.b64encode(bytes(blob)).decode())
    assert "Müller" not in str(raised.value)


@given(st.text(max_size=30))
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(Corrupt):
        open_text(KEY, text)
