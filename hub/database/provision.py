"""From an empty PostgreSQL to the hub's database: roles, databases, tables, rights; again and again the same.

It works alike for the embedded server and for one given by URL, whose login must be a superuser or may create
roles and databases. Passwords go to the server as SCRAM verifiers only (RFC 5803), so that neither its log
nor its statistics can hold one.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import URL, create_engine
from sqlalchemy.pool import NullPool

from hub.database.privileges import ROLES, statements
from hub.database.session import CONNECT_SECONDS, address, translated
from hub.errors import Refused

DATABASE = "hub"
AIRFLOW_DATABASE = "airflow"
OLDEST_SERVER = 160000
LOCK = 0x687562  # "hub": one process provisions at a time


class Secrets(Protocol):
    """Where the passwords of database roles come from (hub.keys.KeyRing)."""

    def database_secret(self, role: str) -> str:
        """Give the password of owner, application, auditor or airflow."""


def role_urls(
    server: URL, secrets: Secrets, *, database: str = DATABASE, airflow_database: str = AIRFLOW_DATABASE
) -> dict[str, URL]:
    """Name each role's way to its database (owner, application, auditor, airflow) on a server."""
    return {
        role: server.set(
            drivername="postgresql+psycopg",
            username=name,
            password=secrets.database_secret(role),
            database=airflow_database if role == "airflow" else database,
        )
        for role, name in ROLES.items()
    }


def provision(
    server: URL, secrets: Secrets, *, database: str = DATABASE, airflow_database: str = AIRFLOW_DATABASE
) -> dict[str, URL]:
    """Bring roles, both databases, all tables and rights to their present shape; returns each role's URL.

    Args:
        server: a login that may create roles and databases; the database it names need only exist.
        secrets: gives each role its password; an existing role gets it as well.
        database: the hub's database.
        airflow_database: the database of Airflow's metadata.

    Raises:
        Refused: ``database.rights``, ``database.version``, ``database.login``.
        Corrupt, Transient: as hub.database.session tells.
    """
    with translated(), _connected(server) as connection:
        _require_version(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        try:
            for role, name in ROLES.items():
                _role(connection, name, secrets.database_secret(role))
            # Whole columns are compared in temporary tables.
            guests = {ROLES["application"]: "CONNECT, TEMPORARY", ROLES["auditor"]: "CONNECT"}
            _database(connection, database, ROLES["owner"], guests)
            _database(connection, airflow_database, ROLES["airflow"], {})
        except psycopg.errors.InsufficientPrivilege:
            raise Refused(
                "database.rights",
                "the login of HUB_DATABASE_URL may not create or change the hub's roles and databases",
                "give it CREATEROLE, CREATEDB and ADMIN OPTION on roles that exist already",
            ) from None
        urls = role_urls(server, secrets, database=database, airflow_database=airflow_database)
        migrate(urls["owner"])
    return urls


def migrate(owner: URL) -> None:
    """Bring the tables to the newest revision and grant the rights, as the owner, in one transaction."""
    config = Config()
    config.set_main_option("script_location", "hub.database:migrations")
    engine = create_engine(
        owner, poolclass=NullPool, hide_parameters=True, connect_args={"connect_timeout": CONNECT_SECONDS}
    )
    with translated(), engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS hub")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        for statement in statements():
            connection.exec_driver_sql(statement)


@contextmanager
def _connected(server: URL) -> Iterator[psycopg.Connection]:
    try:
        connection = psycopg.connect(address(server), autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        if "authentication failed" not in str(error) and "does not exist" not in str(error):
            raise
        raise Refused(
            "database.login",
            "PostgreSQL knows no such user, password or database",
            "check HUB_DATABASE_URL; its database must exist (usually: postgres)",
        ) from None
    with connection:
        yield connection


def _require_version(connection: psycopg.Connection) -> None:
    found = connection.info.server_version
    if found < OLDEST_SERVER:
        raise Refused(
            "database.version",
            f"expected PostgreSQL {OLDEST_SERVER // 10000} or newer, found {found // 10000}",
            "give a newer server, or leave HUB_DATABASE_URL empty for the embedded one",
        )


def _role(connection: psycopg.Connection, name: str, password: str) -> None:
    """Make or correct one login: nothing but a login, with this password."""
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).rowcount
    statement = "ALTER ROLE {} LOGIN PASSWORD {}" if known else "CREATE ROLE {} LOGIN PASSWORD {}"
    connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(verifier)))


def _database(connection: psycopg.Connection, name: str, owner: str, guests: Mapping[str, str]) -> None:
    """Make one database of one owner, open to nobody but these guests."""
    row = connection.execute(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [name]
    ).fetchone()
    database, role = sql.Identifier(name), sql.Identifier(owner)
    superuser = connection.info.parameter_status("is_superuser") == "on"
    if not superuser and (row is None or row[0] != owner):
        # To hand a database to a role one must be able to become it; who made the role may grant that.
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
    if row is None:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'").format(
                database, role
            )
        )
    elif row[0] != owner:
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, role))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    for guest, rights in guests.items():
        statement = "GRANT " + rights + " ON DATABASE {} TO {}"
        connection.execute(sql.SQL(statement).format(database, sql.Identifier(guest)))
