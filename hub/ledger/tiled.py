"""Roots computed from hash tiles that somebody serves, believed only as far as they make a signed root.

Tiles are C2SP tlog-tiles, the tree is that of RFC 9162 section 2.1. Nothing here is shared with the modules
that write the log (import-linter holds that).
"""

from collections.abc import Callable
from hashlib import sha256

from hub.ledger.evidence import Unsound

Fetch = Callable[[str, int], bytes | None]
"""Fetches what lies at a path below the log's address, of so many bytes at most; None where nothing lies."""

_HASH = 32
_WIDTH = 256
_STEP = 8  # levels of the tree in a level of tiles


class Tiles:
    """The tiles of a tree of ``size``, each fetched once; ``used`` holds what was fetched, by its path."""

    def __init__(self, fetch: Fetch, size: int) -> None:
        self.size = size
        self.used: dict[str, bytes] = {}
        self._fetch = fetch
        self._tiles: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        """Compute the root of the leaves ``index * 2**level`` to ``(index + 1) * 2**level``, all of the tree.

        Raises `Unsound`: ``absent`` when a tile is not served, ``tile`` when it has another size.
        """
        height = level % _STEP
        first = index << height
        tile = self._tile(level // _STEP, first // _WIDTH)
        at = first % _WIDTH * _HASH
        hashes = [tile[place : place + _HASH] for place in range(at, at + (_HASH << height), _HASH)]
        while len(hashes) > 1:
            hashes = [_parent(hashes[left], hashes[left + 1]) for left in range(0, len(hashes), 2)]
        return hashes[0]

    def _tile(self, level: int, index: int) -> bytes:
        known = self._tiles.get((level, index))
        if known is not None:
            return known
        width = min(_WIDTH, (self.size >> _STEP * level) - index * _WIDTH)
        whole = f"tile/{level}/{_path(index)}"
        path = whole if width == _WIDTH else f"{whole}.p/{width}"
        content, expected = self._fetch(path, width * _HASH), width * _HASH
        if content is None and width < _WIDTH:  # a log may delete a partial tile once the full one is there
            path, expected = whole, _WIDTH * _HASH
            content = self._fetch(path, expected)
        if content is None:
            raise Unsound(flaw="absent")
        if len(content) != expected:
            raise Unsound(flaw="tile")
        self.used[path] = content
        self._tiles[level, index] = content[: width * _HASH]
        return self._tiles[level, index]


def roots(tiles: Tiles, old: int) -> tuple[bytes, bytes]:
    """Compute the root of the first ``old`` leaves and that of all, from the very same hashes.

    Where the second is the root that was signed, the first is what the log began with: so both together say
    whether the log only grew. Raises as `Tiles.node`.
    """
    if not 0 <= old <= tiles.size:
        message = f"no tree of size {tiles.size} begins with {old} leaves"
        raise ValueError(message)
    if tiles.size == 0:
        return sha256().digest(), sha256().digest()
    before, after = _both(tiles, old, 0, tiles.size)
    return before or sha256().digest(), after


def _both(tiles: Tiles, old: int, first: int, end: int) -> tuple[bytes | None, bytes]:
    """Hash the leaves [first, end), and those of them below ``old``, None where there are none.

    The largest power of two below the width parts both trees alike, or the older one lies in the left part
    alone (RFC 9162, section 2.1.4.1).
    """
    width = end - first
    aligned = width & (width - 1) == 0
    if aligned and (old >= end or old <= first):
        whole = tiles.node(width.bit_length() - 1, first >> (width.bit_length() - 1))
        return (whole if old >= end else None), whole
    middle = first + (1 << (width - 1).bit_length() - 1)
    left_before, left = _both(tiles, old, first, middle)
    right_before, right = _both(tiles, old, middle, end)
    whole = _parent(left, right)
    if left_before is None or right_before is None:
        return left_before, whole
    return _parent(left_before, right_before), whole


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _path(index: int) -> str:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
