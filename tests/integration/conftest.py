"""A real PostgreSQL for every test that needs one.

One embedded server serves the whole run, in a folder with a space in its path. The migrated database is made
once and copied as a template, so that each test has a fresh one within a fraction of a second.
"""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL

from hub.database.embedded import EmbeddedPostgres
from hub.database.provision import provision, role_urls
from hub.database.session import Database, address
from tests.integration import drop_bed

TEMPLATE = "hub_template"


class Passwords:
    """Passwords of database roles, made up for one run."""

    def __init__(self) -> None:
        self._root = secrets.token_hex(8)

    def database_secret(self, role: str) -> str:
        return f"{self._root}-{role}"


@pytest.fixture(scope="session")
def passwords() -> Passwords:
    return Passwords()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedPostgres:
    home = tmp_path_factory.mktemp("data base")
    return EmbeddedPostgres(home / "postgres", home / "run", secrets.token_hex(16))


@pytest.fixture(scope="session")
def server(postgres: EmbeddedPostgres) -> Iterator[URL]:
    """The running server, as its superuser."""
    with postgres.serving() as url:
        yield url


@pytest.fixture(scope="session")
def template(server: URL, passwords: Passwords) -> str:
    provision(server, passwords, database=TEMPLATE, airflow_database="airflow_template")
    return TEMPLATE


@pytest.fixture
def database_urls(server: URL, passwords: Passwords, template: str) -> Iterator[dict[str, URL]]:
    """Each role's URL of a freshly provisioned database, dropped after the test."""
    with a_database(server, passwords, template) as urls:
        yield urls


@contextmanager
def a_database(server: URL, passwords: Passwords, template: str) -> Iterator[dict[str, URL]]:
    """Copy the template for as long as the block runs; gives each role's URL."""
    name = f"hub_{secrets.token_hex(6)}"
    with superuser(server) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER hub_owner STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        for statement in (
            "REVOKE ALL ON DATABASE {} FROM PUBLIC",
            "GRANT CONNECT, TEMPORARY ON DATABASE {} TO hub_application",
            "GRANT CONNECT ON DATABASE {} TO hub_auditor",
        ):
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
    yield role_urls(server, passwords, database=name, airflow_database="airflow_template")
    with superuser(server) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(database_urls: dict[str, URL]) -> Iterator[Database]:
    """A freshly provisioned database as its roles see it: ``.app``, ``.owner``, ``.auditor``."""
    found = Database(database_urls)
    yield found
    found.close()


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[drop_bed.Bed]:
    """A hub with its drop running."""
    with drop_bed.made(tmp_path_factory.mktemp("drop")) as found:
        yield found


def superuser(server: URL, database: str = "postgres") -> psycopg.Connection:
    """Connect as the superuser; used as a context manager the connection closes at its end."""
    return psycopg.connect(address(server.set(database=database)), autocommit=True)
