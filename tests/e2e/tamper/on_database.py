"""The log's tables, by somebody with every right that the database has to give; and its kit alike."""

from collections.abc import Callable

from tests.e2e.tamper.attacks import AT, FORGERIES, attack, other_nonce
from tests.e2e.tamper.bed import THIEF, Bed, Bodies, Outcome


def by_sql(operation: str, what: str, *codes: str, sql: tuple[str, ...]) -> None:
    """An attack on the tables by statements; ``:at`` and ``:last`` stand for indexes."""

    def run(bed: Bed) -> Outcome:
        with bed.database() as database:
            row = database.execute("SELECT max(index)::int FROM ledger.entry").fetchone()
            assert row
            for statement in sql:
                text = statement.replace(":copy", COPY).replace(":newest", NEWEST)
                text = text.replace(":at", str(AT)).replace(":last", str(row[0]))
                assert database.execute(text.encode()).rowcount > 0, text
            return bed.verify_database()

    attack(operation, "database", what, *codes)(run)


_FLIP = "UPDATE ledger.{} = set_byte({}, 9, get_byte({}, 9) # 1) WHERE {}"
NEWEST = "size = (SELECT max(size) FROM ledger.checkpoint)"
COPY = "INSERT INTO ledger.entry (index, body, leaf_hash, kind, submission)"
BACKDATED = (
    "UPDATE ledger.entry SET body ="
    " convert_to(replace(convert_from(body, 'UTF8'), '\"2025-', '\"2024-'), 'UTF8') WHERE index = :at"
)
SWAP = "UPDATE ledger.entry SET index = {} WHERE index = {}"
by_sql(
    "flip",
    "a bit of a body",
    "entry.hash",
    sql=(_FLIP.format("entry SET body", "body", "body", "index = :at"),),
)
by_sql(
    *("flip", "a bit of a tree node", "node.hash"),
    sql=(_FLIP.format("node SET hash", "hash", "hash", "level = 3 AND index = 2"),),
)
by_sql(
    *("flip", "a letter of the newest checkpoint", "checkpoint.signature"),
    sql=("UPDATE ledger.checkpoint SET note = regexp_replace(note, '.(=\\n\\n)', 'A\\1') WHERE :newest",),
)
by_sql("drop", "an entry", "entry.missing", sql=("DELETE FROM ledger.entry WHERE index = :at",))
by_sql("drop", "a tree node", "node.missing", sql=("DELETE FROM ledger.node WHERE level = 2 AND index = 1",))
by_sql("drop", "the newest checkpoint", "log.unsigned", sql=("DELETE FROM ledger.checkpoint WHERE :newest",))
by_sql(
    *("drop", "a body, as if it had been erased", "entry.erased"),
    sql=("UPDATE ledger.entry SET body = NULL, submission = NULL WHERE index = :at",),
)
by_sql(
    *("insert", "an entry at the end", "log.unsigned"),
    sql=(":copy SELECT :last + 1, '{}', sha256('\\x007b7d'), 'alarm', NULL",),
)
by_sql(
    "insert", "a tree node", "node.unexpected", sql=("INSERT INTO ledger.node VALUES (20, 0, sha256(''))",)
)
by_sql(
    *("reorder", "two entries", "checkpoint.root"),
    sql=(SWAP.format(-1, ":at"), SWAP.format(":at", ":at + 1"), SWAP.format(":at + 1", -1)),
)
by_sql(
    *("duplicate", "an entry at the end", "log.unsigned"),
    sql=(":copy SELECT :last + 1, body, leaf_hash, kind, submission FROM ledger.entry WHERE index = :at",),
)
by_sql(
    *("duplicate", "a checkpoint in the place of the newest", "checkpoint.columns"),
    sql=("UPDATE ledger.checkpoint SET note = (SELECT min(note) FROM ledger.checkpoint) WHERE :newest",),
)
by_sql("truncate", "the newest entries", "log.cut", sql=("DELETE FROM ledger.entry WHERE index > :last - 5",))
by_sql(
    *("back-date", "the time of an entry", "entry.hash"),
    sql=(BACKDATED,),
)


def relaid(operation: str, *, place: str, code: str) -> None:
    """An attack by somebody who computes all hashes anew, but has no key."""
    what, forge = FORGERIES[operation]

    def in_database(bed: Bed) -> Outcome:
        with bed.database() as database:
            bed.relay(database, forge(bed.bodies))
            return bed.verify_database()

    def in_kit(bed: Bed) -> Outcome:
        return bed.kit(bed.remade(forge(bed.bodies)))

    attack(operation, place, f"{what}; all hashes made anew", code)(
        in_database if place == "database" else in_kit
    )


def signed_anew(operation: str, place: str, what: str, forge: Callable[[Bodies], Bodies], code: str) -> None:
    """An attack by the hub's own operator, who has every key; found by what others kept."""

    def in_database(bed: Bed) -> Outcome:
        with bed.database() as database:
            bed.relay(database, forge(bed.bodies), bed.ring.log_signer())
            assert bed.verify_database() == Outcome(0, frozenset()), "that is why others keep checkpoints"
            return bed.verify_database(kept=True)

    def in_kit(bed: Bed) -> Outcome:
        forged = bed.remade(forge(bed.bodies), bed.ring.log_signer())
        alone = "\n".join(
            line
            for line in (bed.desk / "trust").read_text("utf-8").splitlines()
            if not line.startswith("kept")
        )
        without = bed.kit(forged, alone + "\n")
        assert {one for one in without.codes if not one.startswith("complete.")} == set()
        return bed.kit(forged)

    attack(operation, place, what, code)(in_database if place == "database" else in_kit)


CUT = {"database": "log.cut", "kit": "node.missing"}
for _operation in FORGERIES:
    for _place in ("database", "kit"):
        relaid(_operation, place=_place, code=CUT[_place] if _operation == "truncate" else "checkpoint.root")
for _place in ("database", "kit"):
    signed_anew(
        *(
            "fork",
            _place,
            "other entries from the middle on, signed by the hub itself; a checkpoint was kept",
        ),
        *(lambda b: [*b[:AT], *map(other_nonce, b[AT:])], "log.forked"),
    )
    signed_anew(
        *("roll back", _place, "the log as it was, signed by the hub itself; a checkpoint was kept"),
        *(lambda b: b[:-20], "log.cut"),
    )


@attack("re-sign", "database", "every checkpoint, under another key", "checkpoint.signature", "log.unsigned")
def _(bed: Bed) -> Outcome:
    with bed.database() as database:
        bed.relay(database, bed.bodies, THIEF)
        return bed.verify_database()
