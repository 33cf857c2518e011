"""The witnesses' cosignatures on checkpoints; written once, and none is taken back.

Revision 0007, after 0006.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE ledger.cosignature (
    size bigint,
    witness text,
    key_id bytea,
    cosigned_at bigint NOT NULL,
    line text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (size, witness, key_id)
);
CREATE TRIGGER cosignature_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.cosignature
    FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse('cosignature_stands');
"""


def upgrade() -> None:
    """Make the table and its rule."""
    op.execute(TABLES)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE ledger.cosignature")
