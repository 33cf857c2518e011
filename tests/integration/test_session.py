"""Transactions: what they keep, what they undo, and what their errors say."""

import pytest
from sqlalchemy import URL, text

from hub.database.models import Partner
from hub.database.session import Database, raw
from hub.errors import Corrupt, Refused, Transient
from tests.integration.conftest import superuser


def test_no_error_quotes_a_value(database: Database) -> None:
    with pytest.raises(Corrupt) as wrong, database.transaction() as session:
        session.execute(text("SELECT CAST(:value AS int)"), {"value": "Kanarienvogel"})
    with pytest.raises(Corrupt) as raw_wrong, database.transaction() as session:
        raw(session).execute("SELECT 'Kanarienvogel'::int")
    for caught in (wrong, raw_wrong):
        assert caught.value.code == "database.statement"
        assert "Kanarienvogel" not in str(caught.value)
        assert caught.value.__context__ is None
    with pytest.raises(Corrupt) as wrong, database.transaction() as session:
        session.execute(text("INSERT INTO hub.partner VALUES ('Kanarienvogel', 'x'), ('Kanarienvogel', 'y')"))
    assert wrong.value.message == "a change would break the rule 'partner_pkey' of the database"


def test_a_lost_connection_is_worth_another_try(database: Database, server: URL) -> None:
    def lose() -> None:
        with database.transaction() as session:
            mine = session.execute(text("SELECT pg_backend_pid()")).scalar()
            with superuser(server) as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", [mine])
            session.execute(text("SELECT 1"))

    with pytest.raises(Transient) as lost:
        lose()
    assert lost.value.code == "database.away"
    with database.transaction() as session:
        assert session.execute(text("SELECT 1")).scalar() == 1


def test_two_writers_that_block_each_other_may_try_again(database: Database) -> None:
    def change(name: str) -> None:
        with database.transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '50ms'"))
            session.execute(text("UPDATE hub.partner SET name = :name"), {"name": name})

    with database.transaction() as session:
        session.execute(text("INSERT INTO hub.partner VALUES ('x', 'X')"))
    with database.transaction() as first:
        first.execute(text("UPDATE hub.partner SET name = 'Y'"))
        with pytest.raises(Transient) as caught:
            change("Z")
    assert caught.value.code == "database.busy"


def test_what_the_block_itself_raises_passes_and_undoes(database: Database) -> None:
    refused = Refused("file.empty", "m", "r")

    def refuse() -> None:
        with database.transaction() as session:
            session.execute(text("INSERT INTO hub.partner VALUES ('x', 'X')"))
            raise refused

    with pytest.raises(Refused) as caught:
        refuse()
    assert caught.value is refused
    with database.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM hub.partner")).scalar() == 0


def test_objects_can_be_read_after_their_transaction(database: Database) -> None:
    with database.transaction() as session:
        session.add(partner := Partner(id="x", name="X"))
    assert (partner.id, partner.name) == ("x", "X")


def test_an_audit_sees_one_moment(database: Database) -> None:
    with database.audit() as auditor:
        before = auditor.execute(text("SELECT count(*) FROM ledger.node")).scalar()
        with database.transaction() as session:
            session.execute(text("INSERT INTO ledger.node (level, index, hash) VALUES (1, 0, 'h')"))
        assert auditor.execute(text("SELECT count(*) FROM ledger.node")).scalar() == before == 0


def test_engines_show_no_password(database: Database, database_urls: dict[str, URL]) -> None:
    secret = str(database_urls["application"].password)
    assert secret not in repr(database) + repr(database.app) + str(database.app.url)
