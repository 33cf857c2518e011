"""Which journal belongs to this database; written once, so that no other one is taken for it.

Revision 0005, after 0004.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE hub.journal (
    id text PRIMARY KEY,
    log_size bigint NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER journal_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.journal
    FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse('journal_stands');
"""


def upgrade() -> None:
    """Make the table and its rule."""
    op.execute(TABLE)


def downgrade() -> None:
    """Drop both."""
    op.execute("DROP TABLE hub.journal")
