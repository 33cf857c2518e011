"""The salts of row commitments, apart from the log itself.

Revision 0004, after 0003.
"""

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet to make."""


def downgrade() -> None:
    """Nothing yet to drop."""
