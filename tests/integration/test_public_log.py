"""The public log on a real PostgreSQL: tiles as they are stored, and laid out for everybody."""

from collections.abc import Iterator
from hashlib import sha256

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from hub.database.session import Database
from hub.errors import Corrupt
from hub.ledger import tiles
from hub.ledger.tiles import Tile, of_size

GROW = """
    WITH below AS (
        SELECT index, leaf_hash AS hash FROM ledger.entry WHERE :level = 1
        UNION ALL SELECT index, hash FROM ledger.node WHERE level = :level - 1
    )
    INSERT INTO ledger.node (level, index, hash)
    SELECT :level, l.index / 2, sha256(decode('01', 'hex') || l.hash || r.hash)
    FROM below AS l JOIN below AS r ON r.index = l.index + 1 WHERE l.index % 2 = 0
    ON CONFLICT DO NOTHING
"""


def fill(database: Database, first: int, end: int) -> None:
    """Make the server itself grow the log: leaves by number, nodes by its own SHA-256."""
    with Session(database.owner) as session, session.begin():
        session.execute(
            text(
                "INSERT INTO ledger.entry (index, body, leaf_hash, kind)"
                " SELECT i, '{}', sha256(int8send(i)), 'alarm'"
                " FROM generate_series(CAST(:first AS bigint), :last) AS i"
            ),
            {"first": first, "last": end - 1},
        )
        for level in range(1, end.bit_length()):
            session.execute(text(GROW), {"level": level})


def naive(tile: Tile) -> bytes:
    """The hashes of a tile by its definition, from the leaves up."""
    span = 256**tile.level
    first = tile.index * 256 * span
    leaves = [sha256(i.to_bytes(8, "big")).digest() for i in range(first, first + tile.width * span)]
    hashes = []
    for at in range(0, len(leaves), span):
        level = leaves[at : at + span]
        while len(level) > 1:
            level = [sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]
        hashes += level
    return b"".join(hashes)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with Session(database.app) as opened:
        yield opened


def test_stored_nodes_are_read_as_the_tiles_of_every_size(database: Database, session: Session) -> None:
    fill(database, 0, 70_000)
    expected = {tile.path: naive(tile) for tile in of_size(70_000)}
    assert dict(tiles.of(session, 70_000)) == expected
    assert len(expected) == 277
    for size in (0, 1, 255, 256, 257, 513, 65_535, 65_536, 65_537):
        assert dict(tiles.of(session, size)) == {tile.path: naive(tile) for tile in of_size(size)}
    since = {tile.path: naive(tile) for tile in of_size(69_000, since=66_000)}
    assert dict(tiles.of(session, 69_000, since=66_000)) == since
    assert len(since) == 14


def test_a_tile_of_which_a_node_is_gone_is_not_made(database: Database, session: Session) -> None:
    fill(database, 0, 600)
    with pytest.raises(Corrupt, match=r"ledger\.node: .* tile/0/002\.p/89"):
        list(tiles.of(session, 601))
    with database.owner.begin() as connection:
        connection.execute(text("ALTER TABLE ledger.node DISABLE TRIGGER USER"))
        connection.execute(text("DELETE FROM ledger.node WHERE level = 8 AND index = 0"))
    with pytest.raises(Corrupt, match=r"tile/1/000\.p/2"):
        list(tiles.of(session, 600))
