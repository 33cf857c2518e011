"""Alembic's entry: runs the migrations on the connection that hub.database.provision hands over.

Everything happens in one transaction: a migration that dies leaves the database as it was.
"""

from alembic import context

from hub.database.models import Base

SCHEMAS = ("hub", "ledger")


def included(name: str | None, kind: str, _parents: object) -> bool:
    """Look only at the hub's own schemas when models and database are compared."""
    return kind != "schema" or name in SCHEMAS


def run() -> None:
    """Bring the connected database to the target revision."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table_schema=SCHEMAS[0],
        include_schemas=True,
        include_name=included,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
