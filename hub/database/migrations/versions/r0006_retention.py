"""What is deleted at the end of its period.

Revision 0006, after 0005.
"""

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet to make."""


def downgrade() -> None:
    """Nothing yet to drop."""
