"""What is looked up among many is found where it stands, also where half of it is the same."""

import numpy as np

from hub.lookup import ABSENT, Values, places


def values(*pairs: tuple[int, int]) -> Values:
    return np.array(pairs, dtype=np.uint64).reshape(-1, 2).view(np.uint8)


def test_what_is_known_is_found_and_nothing_else() -> None:
    draw = np.random.default_rng(1)
    known = draw.integers(0, 256, (5_000, 16), dtype=np.uint8)
    chosen = draw.integers(0, 5_000, 3_000)
    strange = draw.integers(0, 256, (100, 16), dtype=np.uint8)
    assert np.array_equal(places(known, known[chosen]), chosen)
    assert (places(known, strange) == ABSENT).all()


def test_values_that_share_their_first_half_are_told_apart() -> None:
    known = values((7, 3), (7, 1), (5, 1), (7, 2), (2**64 - 1, 0))
    asked = values((7, 2), (7, 1), (7, 9), (5, 1), (5, 2), (8, 1), (2**64 - 1, 0), (7, 3), (0, 0), (7, 2))
    assert places(known, asked).tolist() == [3, 1, ABSENT, 2, ABSENT, ABSENT, 4, 0, ABSENT, 3]


def test_of_equal_values_the_first_is_found() -> None:
    assert places(values((1, 1), (2, 2), (1, 1), (2, 2)), values((2, 2), (1, 1))).tolist() == [1, 0]


def test_nothing_is_found_among_nothing() -> None:
    assert places(values(), values((1, 1))).tolist() == [ABSENT]
    assert places(values((1, 1)), values()).tolist() == []
