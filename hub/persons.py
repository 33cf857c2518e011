"""Person spaces: one per controller, each person a random 128-bit id there, found by keyed MACs.

An agency's own number is never stored: it is looked up as AES-CMAC under the space's key. Nothing here joins
two spaces.
"""

import os

import numpy as np
import polars as pl
from numpy.typing import NDArray
from psycopg import Connection, sql

from hub import lookup
from hub.aes_columns import cmac_texts
from hub.database.bulk import copy_in, fetch_columns
from hub.keys import KeyRing

Ids = NDArray[np.uint8]  # shape (n, 16)

_BYTES_EACH = 200  # of the table for each person asked for: at most twice as many persons as are asked for


def number_macs(ring: KeyRing, space: str, numbers: pl.Series) -> Ids:
    """Turn an agency's own numbers (text) into MACs of shape (n, 16) under the space's key."""
    return cmac_texts(ring.number_key(space), numbers)


def ask(connection: Connection, macs: Ids) -> None:
    """Lay numbered 16-byte values into the transaction's temporary table ``asked``.

    A million of them are joined with a million persons in memory, which takes about 100 MB of the server's.
    """
    connection.execute("SET LOCAL work_mem = '128MB'")
    connection.execute("SET LOCAL jit = off")
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS asked (n int4, mac bytea) ON COMMIT DROP")
    connection.execute("TRUNCATE asked")
    copy_in(connection, "asked", {"n": ("int4", np.arange(len(macs))), "mac": ("bytea", macs)})
    connection.execute("ANALYZE asked")


def is_cheaper_whole(connection: Connection, table: str, size: int) -> bool:
    """Tell whether a table is at most so many bytes large.

    To read a person from a table as it comes costs an eighth of finding one by a question; whoever asks for
    most of a table does better to read it whole and look things up in memory.
    """
    row = connection.execute("SELECT pg_relation_size(%s::regclass) <= %s", [table, size]).fetchone()
    return bool(row and row[0])


def find(connection: Connection, space: str, macs: Ids) -> tuple[Ids, NDArray[np.bool_]]:
    """Find the persons behind number MACs.

    Returns:
        Ids of shape (n, 16), zero where unknown, and a mask of shape (n,) that is true where known.
    """
    ids = np.zeros((len(macs), 16), dtype=np.uint8)
    known = np.zeros(len(macs), dtype=np.bool_)
    if not len(macs):
        return ids, known
    only = sql.SQL("WHERE p.space = {}").format(sql.Literal(space))
    if is_cheaper_whole(connection, "hub.person_number", _BYTES_EACH * len(macs)):
        query = sql.SQL("SELECT p.mac, p.person_id FROM hub.person_number p ") + only
        numbers, persons = fetch_columns(connection, query, ["bytea", "bytea"])
        at = lookup.places(numbers.astype(np.uint8, copy=False), macs)
        known = at != lookup.ABSENT
        ids[known] = persons[at[known]]
    else:
        ask(connection, macs)
        query = sql.SQL("SELECT a.n, p.person_id FROM asked a JOIN hub.person_number p USING (mac) ") + only
        places, found = fetch_columns(connection, query, ["int4", "bytea"])
        ids[places] = found
        known[places] = True
    return ids, known


def register(connection: Connection, space: str, macs: Ids) -> Ids:
    """Find the persons behind number MACs and give every unknown one a new random id; shape (n, 16)."""
    ask(connection, macs)
    fresh = np.frombuffer(os.urandom(16 * len(macs)), dtype=np.uint8).reshape(-1, 16)
    connection.execute("CREATE TEMP TABLE fresh (n int4, person bytea) ON COMMIT DROP")
    copy_in(connection, "fresh", {"n": ("int4", np.arange(len(macs))), "person": ("bytea", fresh)})
    connection.execute(
        """
        CREATE TEMP TABLE unknown ON COMMIT DROP AS
        SELECT DISTINCT ON (a.mac) a.mac, f.person FROM asked a JOIN fresh f USING (n)
        WHERE NOT EXISTS (SELECT FROM hub.person_number p WHERE p.space = %(space)s AND p.mac = a.mac)
        """,
        {"space": space},
    )
    connection.execute("INSERT INTO hub.person (id, space) SELECT person, %s FROM unknown", [space])
    connection.execute(
        "INSERT INTO hub.person_number (space, mac, person_id) SELECT %s, mac, person FROM unknown", [space]
    )
    connection.execute("DROP TABLE fresh, unknown")
    return find(connection, space, macs)[0]
