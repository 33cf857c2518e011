"""The salt index, and the proofs of rows that are made of it."""

import secrets
from collections.abc import Callable
from typing import Any

import psycopg

from hub.keys import KeyRing, create_keys
from hub.ledger import commitment, tree
from tests.e2e.tamper.attacks import attack
from tests.e2e.tamper.bed import THIEF, Bed, Outcome

Spoil = Callable[[psycopg.Connection, Bed], object]
FLIP = (
    "UPDATE hub.row_seed SET wrapped = set_byte(wrapped, {0}, get_byte(wrapped, {0}) # 1) WHERE parcel = %s"
)
COPIED = (
    "UPDATE hub.row_seed SET wrapped = (SELECT wrapped FROM hub.row_seed WHERE parcel = %s) WHERE parcel = %s"
)


def on_index(operation: str, what: str, code: str, spoil: Spoil) -> None:
    """An attack on the index, noticed where a row is to be proved."""

    def run(bed: Bed) -> Outcome:
        with bed.salts() as database:
            spoil(database, bed)
            return bed.prove_row(bed.parcels[0])

    attack(operation, "salt index", what, code)(run)


def by_sql(*statements: str) -> Spoil:
    return lambda database, bed: [
        database.execute(statement.encode(), [bed.parcels[0].id]) for statement in statements
    ]


def swap(database: psycopg.Connection, bed: Bed) -> None:
    one, other = (
        database.execute("SELECT wrapped FROM hub.row_seed WHERE parcel = %s", [parcel.id]).fetchone()
        for parcel in bed.parcels
    )
    assert one
    assert other
    for parcel, (wrapped,) in zip(bed.parcels, (other, one), strict=True):
        database.execute("UPDATE hub.row_seed SET wrapped = %s WHERE parcel = %s", [wrapped, parcel.id])


def invent(database: psycopg.Connection, bed: Bed, ring: KeyRing | None = None) -> None:
    """Put another seed in the place of the true one, sealed by the hub's own key or another's."""
    parcel = bed.parcels[0].id
    wrapped = (ring or bed.ring).wrap(secrets.token_bytes(32), f"rows/{parcel}")
    database.execute("DELETE FROM hub.row_seed WHERE parcel = %s", [parcel])
    database.execute("INSERT INTO hub.row_seed (parcel, wrapped) VALUES (%s, %s)", [parcel, wrapped])


def by_a_stranger(database: psycopg.Connection, bed: Bed) -> None:
    folder = bed.new("keys")
    create_keys(folder)
    invent(database, bed, KeyRing(folder))


on_index("flip", "a bit of a sealed seed", "keys.wrapped", by_sql(FLIP.format(20)))
on_index("drop", "a seed", "prove.shredded", by_sql("DELETE FROM hub.row_seed WHERE parcel = %s"))
on_index("insert", "an invented seed, sealed by the hub's own key", "prove.commitment", invent)
on_index("reorder", "the seeds of two transfers", "keys.wrapped", swap)
on_index(
    *("duplicate", "another transfer's seed in the place of one", "keys.wrapped"),
    lambda database, bed: database.execute(COPIED, [parcel.id for parcel in reversed(bed.parcels)]),
)
on_index(
    *("truncate", "a sealed seed", "keys.wrapped"),
    by_sql("UPDATE hub.row_seed SET wrapped = substr(wrapped, 1, 40) WHERE parcel = %s"),
)
on_index(
    *("roll back", "the index as it was before the transfer", "prove.shredded"),
    lambda database, _: database.execute("DELETE FROM hub.row_seed"),
)
on_index("re-sign", "a seed, sealed by another hub's key", "keys.wrapped", by_a_stranger)


def on_proof(
    operation: str, what: str, code: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """An attack on a proof of a row that somebody carries."""
    attack(operation, "salt index", f"a row's proof (`--check`): {what}", code)(
        lambda bed: bed.check_row(change(bed.proof))
    )


on_proof(
    "flip",
    "its salt",
    "proof.row",
    lambda p: {"salt": p["salt"][:-1] + ("0" if p["salt"][-1] != "0" else "1")},
)
on_proof("flip", "its row", "proof.row", lambda p: {"row": p["row"][:-3] + "x" + p["row"][-2:]})
on_proof("drop", "a sibling", "proof.row", lambda p: {"path": p["path"][1:]})
on_proof("insert", "a sibling", "proof.row", lambda p: {"path": [*p["path"], "00" * 32]})
on_proof("reorder", "two siblings", "proof.row", lambda p: {"path": p["path"][::-1]})
on_proof("duplicate", "a sibling", "proof.row", lambda p: {"path": [p["path"][0], *p["path"][:-1]]})
on_proof("duplicate", "the row at another place", "proof.row", lambda p: {"index": p["index"] + 1})
on_proof("truncate", "its path", "proof.row", lambda _: {"path": []})


@attack("fork", "salt index", "a row's proof (`--check`): of other rows under other salts", "proof.row")
def _(bed: Bed) -> Outcome:
    texts = [b'["a","b"]', b'["c","d"]', b'["e","f"]']
    made = commitment.prove(secrets.token_bytes(32), texts, 1)
    assert len(made.root) == tree.HASH_BYTES
    return bed.check_row(
        {
            "index": made.index,
            "rows": made.rows,
            "salt": made.salt.hex(),
            "row": made.row.decode(),
            "path": [sibling.hex() for sibling in made.path],
        }
    )


@attack(
    "re-sign", "salt index", "a row's proof (`--check`): its checkpoint, under another key", "proof.signature"
)
def _(bed: Bed) -> Outcome:
    head = bed.proof["proof"].partition("\n\n")[0]
    return bed.check_row({"proof": f"{head}\n\n{bed.log(bed.bodies).note(bed.size, THIEF)}"})
