"""How the hub speaks to PostgreSQL: one engine per role, short transactions, errors without values.

The application works as a role that may only insert into the transfer log; auditors read as a role of their
own; the owner appears in migrations only. Errors of SQL quote statements, parameters and rows, so none of
them leaves this module: they come out as the hub's own, naming a constraint or a state (SQLSTATE) at most.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import cast

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from hub.errors import Corrupt, HubError, Transient

OWNER = "owner"
APPLICATION = "application"
AUDITOR = "auditor"

LOCK_WAIT_SECONDS = 60
CONNECT_SECONDS = 10
RESTED_SECONDS = 0.1  # a connection that nobody used for so long is asked whether it still stands
IDLE_SECONDS = 600  # a process that stands still within a transaction loses it, and its locks, after this
# SQLSTATE classes and codes after which the same work may succeed (PostgreSQL manual, appendix A).
_BUSY = frozenset({"40001", "40P01", "55P03", "57014", "25P03", "25P04", "53300"})
_AWAY = ("08", "57P")
_FULL = "53100"
_AFTERWARDS = "afterwards"


class Database:
    """The hub's database as its roles see it: owner, application and auditor, each by its own URL."""

    def __init__(self, urls: Mapping[str, URL]) -> None:
        self._urls = dict(urls)

    def __repr__(self) -> str:
        return f"Database({', '.join(sorted(self._urls))})"

    @cached_property
    def app(self) -> Engine:
        """The engine of the application's role."""
        return self._engine(APPLICATION)

    @cached_property
    def owner(self) -> Engine:
        """The engine of the role that owns the tables."""
        return self._engine(OWNER)

    @cached_property
    def auditor(self) -> Engine:
        """The engine of the role that may read the log and the course of submissions, and write nothing."""
        return self._engine(AUDITOR)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Work as the application in one transaction: committed at the end of the block, undone on an error.

        What was put off by ``afterwards`` is done once it is committed, before the caller goes on.

        Raises:
            Transient: ``database.away``, ``database.busy``, ``database.full``: try again.
            Corrupt: ``database.constraint`` (naming the constraint), ``database.statement``.
        """
        with self._transaction(self.app) as session:
            yield session

    @contextmanager
    def restoring(self) -> Iterator[Session]:
        """Work as the owner of the tables, for the one who puts back what a database has lost."""
        with self._transaction(self.owner) as session:
            yield session

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Session]:
        with translated(), Session(engine, expire_on_commit=False) as session:
            with session.begin():
                yield session
            for act in session.info.get(_AFTERWARDS, {}).values():
                act()

    @contextmanager
    def audit(self) -> Iterator[Session]:
        """Read as the auditor, all from one moment; raises as ``transaction`` does."""
        with (
            translated(),
            self.auditor.connect().execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            ) as connection,
            Session(connection) as session,
        ):
            yield session

    def close(self) -> None:
        """Give all connections back."""
        for name in ("app", "owner", "auditor"):
            if engine := self.__dict__.get(name):
                engine.dispose()

    def _engine(self, role: str) -> Engine:
        engine = create_engine(
            self._urls[role],
            pool_size=2,
            max_overflow=8,
            pool_recycle=1800,
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "application_name": f"hub {role}",
                "options": f"-c timezone=UTC -c lock_timeout={LOCK_WAIT_SECONDS}s"
                f" -c idle_in_transaction_session_timeout={IDLE_SECONDS}s",
            },
        )
        _prove_rested(engine)
        return engine


def afterwards(session: Session, name: str, act: Callable[[], None]) -> None:
    """Put something off until the transaction is committed; of several under one name the last is done."""
    session.info.setdefault(_AFTERWARDS, {})[name] = act


def raw(session: Session) -> psycopg.Connection:
    """Give the psycopg connection under a session, in the session's own transaction (for COPY)."""
    return cast("psycopg.Connection", session.connection().connection.driver_connection)


def address(url: URL) -> str:
    """Write an engine's URL as libpq wants it (it holds the password)."""
    parts = url.translate_connect_args(username="user", database="dbname") | dict(url.query)
    return make_conninfo("", **{name: str(value) for name, value in parts.items()})


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of SQLAlchemy and psycopg into the hub's own, without statement, parameters or rows."""
    try:
        yield
    except HubError:
        raise
    except (SQLAlchemyError, psycopg.Error) as error:
        found = _translate(error)
    else:
        return
    try:
        raise found from None
    finally:
        found.__context__ = None  # "from None" only hides the old error, which quotes values


def _translate(error: Exception) -> HubError:
    origin = error.orig if isinstance(error, DBAPIError) else error
    lost = isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(error, InterfaceError)
    )
    state, constraint = "", None
    if isinstance(origin, psycopg.Error):
        state, constraint = origin.sqlstate or "", origin.diag.constraint_name
        # An error of the connection itself carries no SQLSTATE.
        lost = lost or (isinstance(origin, psycopg.OperationalError) and not state)
    if lost or state.startswith(_AWAY):
        return Transient("database.away", "the database does not answer", "try again; is PostgreSQL running?")
    if state in _BUSY:
        return Transient(
            "database.busy", f"the database could not do this now (SQLSTATE {state})", "try again"
        )
    if state == _FULL:
        return Transient(
            "database.full", "the database has no disk space left", "free some space, then try again"
        )
    if constraint:
        return Corrupt(
            "database.constraint",
            f"a change would break the rule {constraint!r} of the database",
            "report this; nothing was changed",
        )
    kind = f"SQLSTATE {state}" if state else type(error).__name__
    return Corrupt(
        "database.statement", f"the database refused a statement ({kind})", "report this; nothing was changed"
    )


def _prove_rested(engine: Engine) -> None:
    """Ask a connection that has rested whether it still stands; asking each time would double the talk."""

    @event.listens_for(engine, "checkin")
    def rests(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["rested"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def wakes(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        rested = record.info.get("rested")
        if rested is None or time.monotonic() - rested < RESTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg.Error:
            raise DisconnectionError from None  # the pool opens another one
