"""Whole columns in and out of PostgreSQL: COPY in binary form, laid out by numpy.

Only columns of fixed width without nulls, which is what ids, MACs and codes are. Source of the layout: the
PostgreSQL manual, COPY, "Binary Format".
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


def copy_out(connection: Connection, query: sql.Composable, kinds: list[str]) -> list[NDArray[np.generic]]:
    """Read a query's columns; ``bytea`` comes as uint8 of shape (n, 16). The query must yield no nulls."""
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(query)) as copy,
    ):
        data = b"".join(bytes(block) for block in copy)
    body = data[len(SIGNATURE) : -len(TRAILER)]
    records = np.frombuffer(body, dtype=_layout(kinds))
    columns: list[NDArray[np.generic]] = []
    for number, kind in enumerate(kinds):
        values = records[f"v{number}"]
        if kind == "bytea":
            columns.append(np.frombuffer(values.tobytes(), dtype=np.uint8).reshape(-1, 16))
        else:
            columns.append(values.astype(values.dtype.newbyteorder("=")))
    return columns
