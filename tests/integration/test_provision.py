"""Roles, rights and databases, on the embedded server and on one given by URL."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, create_engine, inspect, text
from sqlalchemy.orm import Session

from hub.database.embedded import EmbeddedPostgres
from hub.database.models import Base
from hub.database.privileges import APPLICATION, AUDITED, GRANTS, ROLES
from hub.database.provision import provision, role_urls
from hub.database.session import Database, address, translated
from hub.errors import Corrupt, Refused, Transient
from tests.integration.conftest import Passwords, superuser

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
TABLES = sorted(table.fullname for table in Base.metadata.sorted_tables)


def granted(connection: psycopg.Connection, role: str) -> dict[str, set[str]]:
    """Ask the server what a role may do with each table, or with any column of it."""
    found: dict[str, set[str]] = {}
    for table in TABLES:
        for right in RIGHTS:
            of_table = (
                "has_table_privilege"
                if right in {"DELETE", "TRUNCATE", "TRIGGER"}
                else "has_any_column_privilege"
            )
            query = sql.SQL("SELECT {}(%s, %s, %s)").format(sql.Identifier(of_table))
            row = connection.execute(query, [role, table, right]).fetchone()
            if row and row[0]:
                found.setdefault(table, set()).add(right)
    return found


def expected(role: str) -> dict[str, set[str]]:
    return {
        table: {right if isinstance(right, str) else right[0] for right in rights}
        for table, rights in GRANTS[role].items()
    }


def test_each_role_may_do_what_is_written_and_nothing_else(
    server: URL, database_urls: dict[str, URL]
) -> None:
    name = database_urls["owner"].database
    assert name is not None
    with superuser(server, name) as connection:
        for role in GRANTS:
            assert granted(connection, role) == expected(role), role
        assert granted(connection, ROLES["airflow"]) == {}
        row = connection.execute(
            "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'hub_%%' AND"
            " (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)"
        ).fetchone()
        assert row == (0,)


def test_every_table_is_somebodys() -> None:
    assert set(APPLICATION) == set(TABLES)
    assert set(AUDITED) <= set(TABLES)


def test_an_auditor_sees_no_key_and_no_person() -> None:
    hidden = {"payload_key", "delivered_rows", "person", "person_number", "consent", "partner_key"}
    assert not {table.split(".")[1] for table in AUDITED} & hidden


@pytest.mark.parametrize(
    "table", ["ledger.entry", "ledger.node", "ledger.checkpoint", "hub.submission_history"]
)
@pytest.mark.parametrize(
    "attempt", ["DELETE FROM {}", "TRUNCATE {}", "ALTER TABLE {} DISABLE TRIGGER ALL", "DROP TABLE {}"]
)
def test_the_application_can_only_add_to_the_log(database: Database, table: str, attempt: str) -> None:
    with pytest.raises(Corrupt) as caught, database.transaction() as session:
        session.execute(text(attempt.format(table)))
    assert "42501" in caught.value.message  # insufficient privilege


def test_the_application_cannot_update_the_log(database: Database) -> None:
    for change in (
        "ledger.entry SET kind = 'x'",
        "ledger.node SET hash = 'x'",
        "ledger.checkpoint SET note = 'x'",
    ):
        with pytest.raises(Corrupt) as caught, database.transaction() as session:
            session.execute(text("UPDATE " + change))
        assert "42501" in caught.value.message


def test_the_auditor_writes_nothing(database: Database) -> None:
    for statement in (
        "INSERT INTO ledger.entry (index, body, leaf_hash, kind) VALUES (0, 'b', 'h', 'k')",
        "INSERT INTO hub.partner VALUES ('x', 'X')",
        "CREATE TABLE public.mine (n int)",
        "CREATE TABLE hub.mine (n int)",
        "CREATE TEMP TABLE mine (n int)",
        "SELECT * FROM hub.payload_key",
        "SELECT * FROM hub.person_number",
    ):
        with (
            pytest.raises(Corrupt) as caught,
            translated(),
            Session(database.auditor) as session,
            session.begin(),
        ):
            session.execute(text(statement))
        assert "42501" in caught.value.message, statement
    with pytest.raises(Corrupt), database.audit() as session:
        session.execute(text("SELECT nextval('hub.consent_change_seq')"))


@pytest.mark.parametrize("role", ["application", "auditor", "airflow"])
def test_a_role_reaches_its_own_database_only(database_urls: dict[str, URL], role: str) -> None:
    own = database_urls[role]
    psycopg.connect(address(own)).close()
    foreign = database_urls["owner" if role == "airflow" else "airflow"].database
    for name in (foreign, "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(address(own.set(database=name)))


def test_running_it_again_changes_nothing(server: URL, passwords: Passwords) -> None:
    def facts(urls: Mapping[str, URL]) -> Sequence[object]:
        with superuser(server, str(urls["owner"].database)) as connection:
            return connection.execute(
                "SELECT relname, relacl::text FROM pg_class"
                " WHERE relnamespace = 'hub'::regnamespace ORDER BY relname"
            ).fetchall()

    names = {"database": "hub_again", "airflow_database": "airflow_again"}
    first = provision(server, passwords, **names)
    before = facts(first)
    assert provision(server, passwords, **names) == first == role_urls(server, passwords, **names)
    assert facts(first) == before


def test_a_new_password_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    old, new = Passwords(), Passwords()
    embedded = EmbeddedPostgres(tmp_path / "postgres", tmp_path / "run", "secret")
    with embedded.serving() as url:
        first = provision(url, old)
        second = provision(url, new)
        for role in ROLES:
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(address(first[role]))
            psycopg.connect(address(second[role])).close()


def test_airflow_gets_a_database_of_its_own_to_fill(database_urls: dict[str, URL]) -> None:
    with psycopg.connect(address(database_urls["airflow"])) as connection:
        connection.execute("CREATE TABLE dag (id int)")
        connection.rollback()


@pytest.fixture
def external(tmp_path: Path, free_port: int) -> Iterator[URL]:
    """A second PostgreSQL, reached by TCP, as its superuser."""
    elsewhere = EmbeddedPostgres(tmp_path / "postgres", tmp_path / "run", "secret", port=free_port)
    with elsewhere.serving():
        hba = elsewhere.data / "pg_hba.conf"
        hba.write_text(
            "host all all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\n", encoding="ascii"
        )
        with psycopg.connect(address(elsewhere.url())) as connection:
            connection.execute("SELECT pg_reload_conf()")
        yield elsewhere.url(tcp=True)


def test_an_external_server_works_the_same(external: URL, passwords: Passwords) -> None:
    database = Database(provision(external, passwords))
    with database.transaction() as session:
        assert session.execute(text("SELECT current_user")).scalar() == "hub_application"
        session.execute(text("INSERT INTO hub.partner VALUES ('x', 'X')"))
    with database.audit() as session:
        assert session.execute(text("SELECT count(*) FROM ledger.entry")).scalar() == 0
    expected = {table.name for table in Base.metadata.tables.values() if table.schema == "hub"}
    assert set(inspect(database.owner).get_table_names("hub")) == expected | {"alembic_version"}
    database.close()


def test_an_external_login_need_not_be_superuser(external: URL, passwords: Passwords) -> None:
    with psycopg.connect(address(external), autocommit=True) as connection:
        connection.execute("CREATE ROLE district LOGIN CREATEROLE CREATEDB PASSWORD 'allotment'")
    login = external.set(username="district", password="allotment")
    assert provision(login, passwords) == provision(login, passwords)


def test_a_login_without_rights_is_told(external: URL, passwords: Passwords) -> None:
    with psycopg.connect(address(external), autocommit=True) as connection:
        connection.execute("CREATE ROLE district LOGIN PASSWORD 'allotment'")
    with pytest.raises(Refused) as caught:
        provision(external.set(username="district", password="allotment"), passwords)
    assert caught.value.code == "database.rights"


def test_a_wrong_login_is_told_without_its_password(external: URL, passwords: Passwords) -> None:
    for wrong in (external.set(password="Kanarienvogel"), external.set(database="nowhere")):
        with pytest.raises(Refused) as caught:
            provision(wrong, passwords)
        assert caught.value.code == "database.login"
        assert "Kanarienvogel" not in str(caught.value)


def test_a_server_that_is_away_is_worth_another_try(passwords: Passwords, free_port: int) -> None:
    away = URL.create("postgresql+psycopg", "u", "p", "127.0.0.1", free_port, "postgres")
    with pytest.raises(Transient) as caught:
        provision(away, passwords)
    assert caught.value.code == "database.away"
    assert caught.value.__context__ is None
    with pytest.raises(Transient), Database({"application": away}).transaction() as session:
        session.execute(text("SELECT 1"))


def test_no_password_of_a_role_reaches_the_server_in_the_clear(tmp_path: Path, passwords: Passwords) -> None:
    embedded = EmbeddedPostgres(tmp_path / "postgres", tmp_path / "run", "secret")
    with embedded.serving() as url:
        with psycopg.connect(address(url), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            connection.execute("SELECT pg_reload_conf()")
        provision(url, passwords)
    log = embedded.log.read_text(encoding="utf-8")
    assert "CREATE ROLE" in log
    for role in ROLES:
        assert passwords.database_secret(role) not in log
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if passwords.database_secret("owner").encode() in file.read_bytes()]


def test_a_server_too_old_is_told(server: URL, passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.database.provision.OLDEST_SERVER", 990000)
    with pytest.raises(Refused) as caught:
        provision(server, passwords)
    assert caught.value.code == "database.version"


def test_the_migrations_can_be_taken_back(server: URL, passwords: Passwords) -> None:
    from alembic import command  # noqa: PLC0415 -- only here
    from alembic.config import Config  # noqa: PLC0415

    owner = provision(server, passwords, database="hub_back", airflow_database="airflow_again")["owner"]
    engine = create_engine(owner)
    config = Config()
    config.set_main_option("script_location", "hub.database:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names("hub") == ["alembic_version"]
        command.upgrade(config, "head")
    engine.dispose()
