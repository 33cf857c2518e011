"""Whole columns into PostgreSQL and out of it, in binary form, laid out by numpy.

Only columns of fixed width without nulls, which is what ids, MACs and codes are. Source of the layout on the
way in: the PostgreSQL manual, COPY, "Binary Format".
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, sql

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_WIDTHS = {"bytea": 16, "int4": 4, "int8": 8, "float8": 8}
_TYPES = {"bytea": "V16", "int4": ">i4", "int8": ">i8", "float8": ">f8"}

Columns = Mapping[str, tuple[str, NDArray[np.generic]]]


def _layout(kinds: list[str]) -> np.dtype[np.void]:
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for number, kind in enumerate(kinds):
        fields += [(f"w{number}", ">i4"), (f"v{number}", _TYPES[kind])]
    return np.dtype(fields)


def copy_in(connection: Connection, table: str, columns: Columns) -> None:
    """Fill a table: each column a kind (``bytea`` of 16 bytes, ``int4``, ``int8``, ``float8``) and values.

    ``bytea`` values are uint8 arrays of shape (n, 16).
    """
    kinds = [kind for kind, _ in columns.values()]
    first = next(iter(columns.values()))[1]
    records = np.zeros(len(first), dtype=_layout(kinds))
    records["count"] = len(kinds)
    for number, (kind, values) in enumerate(columns.values()):
        records[f"w{number}"] = _WIDTHS[kind]
        records[f"v{number}"] = (
            np.ascontiguousarray(values).view("V16").reshape(-1) if kind == "bytea" else values
        )
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(*table.split(".")), sql.SQL(", ").join(sql.Identifier(name) for name in columns)
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(SIGNATURE)
        copy.write(records.tobytes())
        copy.write(TRAILER)


def fetch_columns(
    connection: Connection, query: sql.Composable, kinds: list[str]
) -> list[NDArray[np.generic]]:
    """Read a query's columns; ``bytea`` comes as uint8 of shape (n, 16). The query must yield no nulls.

    The server packs all rows into one value (of at most 1 GB): a message for each row would cost more than
    the query. The rows come in no particular order.
    """
    names = [sql.Identifier(f"c{place}") for place in range(len(kinds))]
    packed = sql.SQL(" || ").join(
        name if kind == "bytea" else sql.SQL("{}({})").format(sql.SQL(f"{kind}send"), name)
        for name, kind in zip(names, kinds, strict=True)
    )
    statement = sql.SQL("SELECT string_agg({}, ''::bytea) FROM ({}) AS asked_for ({})").format(
        packed, query, sql.SQL(", ").join(names)
    )
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(statement).fetchone()
    layout = np.dtype([(f"v{place}", _TYPES[kind]) for place, kind in enumerate(kinds)])
    records = np.frombuffer(row[0] if row and row[0] else b"", dtype=layout)
    columns: list[NDArray[np.generic]] = []
    for place, kind in enumerate(kinds):
        values = records[f"v{place}"]
        if kind == "bytea":
            columns.append(np.frombuffer(values.tobytes(), dtype=np.uint8).reshape(-1, 16))
        else:
            columns.append(values.astype(values.dtype.newbyteorder("=")))
    return columns
