"""What can be done to the log, and what must be found: each attack is one operation at one place."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.e2e.tamper.bed import Bed, Bodies, Outcome

OPERATIONS: Final = (
    *("flip", "drop", "insert", "reorder", "duplicate"),
    *("truncate", "fork", "roll back", "back-date", "re-sign"),
)
VERIFIERS: Final = {
    "database": "`hub log verify`",
    "tile": "`hub log witness`",
    "checkpoint": "`hub log witness`",
    "kit": "`pruefen.py`",
    "salt index": "`hub log prove`",
}
SENSELESS: Final = {
    ("re-sign", "tile"): "a hash tile bears no signature",
    ("back-date", "salt index"): "a seed bears no time; that of its intent stands in the log",
}
AT = 40  # an entry in the middle of what the witness has cosigned


@dataclass(frozen=True)
class Attack:
    """Something that is done, and the codes that must be among those told, with exit status 1."""

    operation: str
    place: str
    what: str
    codes: frozenset[str]
    run: Callable[[Bed], Outcome]

    @property
    def name(self) -> str:
        return f"{self.operation}, {self.place}: {self.what}"


ATTACKS: list[Attack] = []


def attack(operation: str, place: str, what: str, *codes: str) -> Callable[[Callable[[Bed], Outcome]], None]:
    """Put a function into the matrix."""

    def put(run: Callable[[Bed], Outcome]) -> None:
        ATTACKS.append(Attack(operation, place, what, frozenset(codes), run))

    return put


def replaced(bodies: Bodies, at: int, old: bytes, new: bytes) -> Bodies:
    changed = bodies[at].replace(old, new, 1)
    assert changed != bodies[at]
    return [*bodies[:at], changed, *bodies[at + 1 :]]


def other_nonce(body: bytes) -> bytes:
    fields = json.loads(body)
    return body.replace(fields["nonce"].encode(), fields["nonce"][::-1].encode())


def digit(bodies: Bodies) -> Bodies:
    """Change a count in the first entry behind the middle that has one."""
    at = next(at for at in range(AT, len(bodies)) if b'"received":' in bodies[at])
    head, _, rest = bodies[at].partition(b'"received":')
    changed = head + b'"received":' + (b"9" if rest[:1] != b"9" else b"8") + rest[1:]
    return [*bodies[:at], changed, *bodies[at + 1 :]]


FORGERIES: Final[dict[str, tuple[str, Callable[[Bodies], Bodies]]]] = {
    "flip": ("one digit of an entry", digit),
    "drop": ("an entry, the later ones moved up", lambda b: [*b[:AT], *b[AT + 1 :]]),
    "insert": ("an invented entry, the later ones moved", lambda b: [*b[:AT], other_nonce(b[AT]), *b[AT:]]),
    "reorder": ("two entries", lambda b: [*b[:AT], b[AT + 1], b[AT], *b[AT + 2 :]]),
    "duplicate": ("an entry twice, the later ones moved", lambda b: [*b[:AT], b[AT], *b[AT:]]),
    "truncate": ("the newest entries", lambda b: b[:-9]),
    "back-date": ("the time of an entry", lambda b: replaced(b, AT, b'"time":"2025-', b'"time":"2024-')),
}
