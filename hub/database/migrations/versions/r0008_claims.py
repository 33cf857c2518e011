"""When a run last claimed a submission for its lot: whoever calls for runs need not call twice.

Revision 0008, after 0007.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE hub.submission ADD COLUMN claimed_at timestamptz")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE hub.submission DROP COLUMN claimed_at")
