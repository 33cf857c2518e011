"""Alembic's entry: runs the migrations on the connection that hub.database.provision hands over.

Everything happens in one transaction: a migration that dies leaves the database as it was.
"""

from alembic import context

from hub.database.migrations import OPTIONS
from hub.database.models import Base


def run() -> None:
    """Bring the connected database to the target revision."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        **OPTIONS,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
