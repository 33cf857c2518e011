"""The hub closed: after a restored backup, or while the log cannot be written.

Revision 0005, after 0004.
"""

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet to make."""


def downgrade() -> None:
    """Nothing yet to drop."""
