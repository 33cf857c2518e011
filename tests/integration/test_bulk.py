"""Whole columns go into PostgreSQL and come back the same."""

from typing import Any

import numpy as np
from psycopg import sql

from hub.database.bulk import copy_in, fetch_columns
from hub.database.session import Database, raw


def test_columns_come_back_as_they_went_in(database: Database) -> None:
    draw = np.random.default_rng(1)
    numbers = draw.integers(-(2**31), 2**31, 5_000, dtype=np.int64)
    wide = draw.integers(-(2**63), 2**63 - 1, 5_000, dtype=np.int64)
    ids = draw.integers(0, 256, (5_000, 16), dtype=np.uint8)
    ids[0], ids[1] = 0, 255  # zeros at the end must not be taken off
    seconds = draw.normal(size=5_000)
    with database.transaction() as session:
        connection = raw(session)
        connection.execute("CREATE TEMP TABLE t (n int4, m int8, id bytea, s float8) ON COMMIT DROP")
        copy_in(
            connection,
            "t",
            {"n": ("int4", numbers), "m": ("int8", wide), "id": ("bytea", ids), "s": ("float8", seconds)},
        )
        query = sql.SQL("SELECT n, m, id, s FROM t")
        back = fetch_columns(connection, query, ["int4", "int8", "bytea", "float8"])
        nothing = fetch_columns(connection, sql.SQL("SELECT n, id FROM t WHERE false"), ["int4", "bytea"])
    order, by = np.lexsort((back[1], back[0])), np.lexsort((wide, numbers))
    gone_in: list[np.ndarray[Any, Any]] = [numbers, wide, ids, seconds]
    for got, gave in zip(back, gone_in, strict=True):
        assert np.array_equal(got[order], gave[by])
    assert [column.shape for column in nothing] == [(0,), (0, 16)]
