"""Ed25519 signatures (RFC 8032), verified in plain Python; about half a millisecond each.

Points are in extended coordinates (RFC 8032, section 5.1.4). For the base point and for each key a table of
multiples spares all doublings; nothing here is secret, so nothing needs to take constant time.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha512

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

Point = tuple[int, int, int, int]
_NEUTRAL: Point = (0, 1, 1, 0)


def is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether a key of 32 bytes made this signature of 64 bytes over the message (section 5.1.7)."""
    if len(public) != 32 or len(signature) != 64:
        return False
    table = _table_of(public)
    scalar = int.from_bytes(signature[32:], "little")
    if table is None or scalar >= _L:
        return False
    digest = sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % _L
    # S * B - k * A must be R; the table of the key holds multiples of -A.
    reached = _multiply(table, challenge, _multiply(_table_of_base(), scalar, _NEUTRAL))
    return _encoded(reached) == signature[:32]


def _decoded(text: bytes) -> Point | None:
    """Read a point (section 5.1.3); None where these bytes are none."""
    y = int.from_bytes(text, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P == _P - u and u:
        x = x * _ROOT_OF_MINUS_ONE % _P
    elif v * x * x % _P != u:
        return None
    if not x and sign:
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _encoded(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, _P - 2, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def _added(one: Point, other: Point) -> Point:
    (x1, y1, z1, t1), (x2, y2, z2, t2) = one, other
    a, b = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * _D * t1 * t2 % _P, 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _tabled(point: Point) -> list[list[Point]]:
    """Compute j * 16**i * point for all four-bit digits j at all 64 places i."""
    table = []
    for _ in range(64):
        row = [_NEUTRAL, point]
        for _ in range(14):
            row.append(_added(row[-1], point))
        table.append(row)
        point = _added(row[-1], point)
    return table


def _multiply(table: list[list[Point]], scalar: int, start: Point) -> Point:
    for row in table:
        digit = scalar & 15
        if digit:
            start = _added(start, row[digit])
        scalar >>= 4
    return start


@lru_cache(maxsize=1)
def _table_of_base() -> list[list[Point]]:
    base = _decoded(bytes([0x58]) + bytes([0x66]) * 31)
    if base is None:  # the standard's own point
        raise ArithmeticError
    return _tabled(base)


@lru_cache(maxsize=64)
def _table_of(public: bytes) -> list[list[Point]] | None:
    point = _decoded(public)
    if point is None:
        return None
    x, y, z, t = point
    return _tabled((_P - x, y, z, _P - t))
