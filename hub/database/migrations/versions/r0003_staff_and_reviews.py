"""Who works with the hub, and what two of them decide together; written once, as PostgreSQL itself holds it.

Revision 0003, after 0002, whose function says no.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE hub.staff (
    name text PRIMARY KEY,
    alias text NOT NULL,
    role text NOT NULL,
    public_key text,
    fingerprint text,
    active boolean NOT NULL DEFAULT true,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT staff_role CHECK (role IN ('steward', 'auditor', 'data_protection_officer', 'administrator')),
    CONSTRAINT key_and_fingerprint CHECK ((public_key IS NULL) = (fingerprint IS NULL))
);
CREATE UNIQUE INDEX one_alias_each ON hub.staff (alias);
CREATE UNIQUE INDEX one_key_one_person ON hub.staff (fingerprint);
CREATE TABLE hub.review_decision (
    submission text REFERENCES hub.submission (id),
    round smallint,
    approver text REFERENCES hub.staff (name),
    role text NOT NULL,
    verdict text NOT NULL,
    grounds text NOT NULL,
    held_for text NOT NULL,
    matter text NOT NULL,
    method text NOT NULL,
    fingerprint text NOT NULL,
    evidence text NOT NULL,
    log_index bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (submission, round, approver),
    CONSTRAINT review_verdict CHECK (verdict IN ('approve', 'reject')),
    CONSTRAINT review_method CHECK (method IN ('key', 'login'))
);
CREATE UNIQUE INDEX one_word_a_key ON hub.review_decision (submission, round, fingerprint);
"""

# Decisions stand; who a person is never changes, and nobody is called back or vanishes.
RULES = """
CREATE TRIGGER review_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.review_decision
    FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse('review_stands');
CREATE TRIGGER staff_stands BEFORE DELETE OR TRUNCATE ON hub.staff
    FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse('staff_stands');
CREATE TRIGGER staff_is_frozen BEFORE UPDATE ON hub.staff FOR EACH ROW WHEN (
    (NEW.name, NEW.alias, NEW.role, NEW.since) IS DISTINCT FROM (OLD.name, OLD.alias, OLD.role, OLD.since)
    OR (NEW.active AND NOT OLD.active)
    OR (OLD.public_key IS NOT NULL AND
        (NEW.public_key, NEW.fingerprint) IS DISTINCT FROM (OLD.public_key, OLD.fingerprint))
) EXECUTE FUNCTION hub.refuse('staff_is_frozen');
"""


def upgrade() -> None:
    """Make the tables and their rules."""
    op.execute(TABLES)
    op.execute(RULES)


def downgrade() -> None:
    """Drop both."""
    op.execute("DROP TABLE hub.review_decision")
    op.execute("DROP TABLE hub.staff")
