"""The rules that the database itself holds, whoever writes to it.

Each function raises a check violation that bears the rule's name and nothing else, so that no message quotes
a row. Revision 0002, after 0001.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# One function says no; each trigger hands it the name of its rule.
REFUSE = """
CREATE FUNCTION hub.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0], MESSAGE = TG_ARGV[0];
END $$;
"""

# Written once: no change, no deletion, no emptying, not even by the owner.
WRITTEN_ONCE = {
    "ledger.entry": "ledger_is_append_only",
    "ledger.node": "ledger_is_append_only",
    "ledger.checkpoint": "ledger_is_append_only",
    "hub.submission_history": "history_stands",
    "hub.clearance": "clearance_is_frozen",
    "hub.receipt": "receipt_stands",
}
# May change in part, as further triggers and grants say, but never vanish.
NEVER_DELETED = {
    "hub.agreement": "agreement_stands",
    "hub.submission": "submission_stands",
    "hub.consent": "consent_stands",
}

# A trigger per table that compares old and new row, told as a condition on OLD and NEW.
FROZEN = {
    "hub.agreement": (
        "agreement_body_is_frozen",
        """(NEW.id, NEW.version, NEW.digest, NEW.body) IS DISTINCT FROM
           (OLD.id, OLD.version, OLD.digest, OLD.body)""",
    ),
    "hub.consent_scope": ("consent_scope_is_frozen", "NEW IS DISTINCT FROM OLD"),
    "hub.consent": (
        "withdrawal_stands",
        "OLD.withdrawn_at IS NOT NULL AND NEW.withdrawn_at IS DISTINCT FROM OLD.withdrawn_at",
    ),
    "hub.parcel": (
        "parcel_is_frozen",
        """(NEW.id, NEW.submission, NEW.recipient, NEW.name, NEW.sha256, NEW.bytes, NEW.rows) IS DISTINCT FROM
           (OLD.id, OLD.submission, OLD.recipient, OLD.name, OLD.sha256, OLD.bytes, OLD.rows)
           OR NEW.intent_index <> OLD.intent_index OR (OLD.state <> 'intended' AND NEW.state <> OLD.state)""",
    ),
}

# (a) and (e): a state changes along the transition table only, a fence only rises, a final state is final.
COURSE = """
CREATE FUNCTION hub.hold_course() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'received' THEN
            broken := 'submission_begins_received';
        END IF;
    ELSE
        IF NEW.fence < OLD.fence THEN
            broken := 'fence_only_rises';
        ELSIF OLD.state IN ('acknowledged', 'refused', 'withdrawn') AND (
            (NEW.received, NEW.delivered, NEW.already_delivered, NEW.refused, NEW.withheld, NEW.quarantined)
            IS DISTINCT FROM
            (OLD.received, OLD.delivered, OLD.already_delivered, OLD.refused, OLD.withheld, OLD.quarantined)
        ) THEN
            broken := 'final_counts_stand';
        ELSIF NEW.state <> OLD.state THEN
            IF NOT EXISTS (
                SELECT FROM hub.state_rule r WHERE r.source = OLD.state AND r.target = NEW.state
            ) THEN
                broken := 'state_rule';
            END IF;
            NEW.changed_at := clock_timestamp();
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = broken, MESSAGE = broken;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hold_course BEFORE INSERT OR UPDATE ON hub.submission
    FOR EACH ROW EXECUTE FUNCTION hub.hold_course();
"""

# (b): the history writes itself, as the owner, so that the application needs no right to write it.
HISTORY = """
CREATE FUNCTION hub.write_history() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO hub.submission_history (submission, source, target, fence)
        VALUES (NEW.id, NULL, NEW.state, NEW.fence);
    ELSIF NEW.state <> OLD.state THEN
        INSERT INTO hub.submission_history (submission, source, target, fence)
        VALUES (NEW.id, OLD.state, NEW.state, NEW.fence);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER write_history AFTER INSERT OR UPDATE OF state ON hub.submission
    FOR EACH ROW EXECUTE FUNCTION hub.write_history();
"""

# (c): at the end of the transaction, whatever the order of its statements was.
REASONS = """
CREATE FUNCTION hub.explain_counts() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    concerned text[];
    unexplained boolean;
BEGIN
    IF TG_TABLE_NAME = 'submission' THEN
        concerned := ARRAY[NEW.id];
    ELSIF TG_OP = 'DELETE' THEN
        concerned := ARRAY[OLD.submission];
    ELSIF TG_OP = 'UPDATE' THEN
        concerned := ARRAY[NEW.submission, OLD.submission];
    ELSE
        concerned := ARRAY[NEW.submission];
    END IF;
    SELECT bool_or(coalesce(given.rows, 0) <> counted.rows) INTO unexplained
    FROM hub.submission s
    CROSS JOIN LATERAL (VALUES
        ('refused', s.refused), ('withheld', s.withheld), ('quarantined', s.quarantined),
        ('already_delivered', s.already_delivered)
    ) AS counted (fate, rows)
    LEFT JOIN LATERAL (
        SELECT sum(c.rows) AS rows FROM hub.reason_count c WHERE c.submission = s.id AND c.fate = counted.fate
    ) AS given ON true
    WHERE s.id = ANY (concerned) AND s.state IN ('acknowledged', 'refused');
    IF unexplained THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'every_row_has_a_reason',
            MESSAGE = 'every_row_has_a_reason';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER every_row_has_a_reason
    AFTER INSERT OR UPDATE OF state, refused, withheld, quarantined, already_delivered ON hub.submission
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hub.explain_counts();
CREATE CONSTRAINT TRIGGER every_row_has_a_reason AFTER INSERT OR UPDATE OR DELETE ON hub.reason_count
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hub.explain_counts();
"""

# (f): whoever waits for work hears of it with the commit that makes it; what is missed is found by looking.
WAKE = """
CREATE FUNCTION hub.wake() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('hub_work', NEW.agreement);
    RETURN NULL;
END $$;
CREATE TRIGGER wake_for_new AFTER INSERT ON hub.submission
    FOR EACH ROW EXECUTE FUNCTION hub.wake();
CREATE TRIGGER wake_for_released AFTER UPDATE OF state ON hub.submission
    FOR EACH ROW WHEN (NEW.state = 'validated' AND OLD.state <> 'received') EXECUTE FUNCTION hub.wake();
"""

FUNCTIONS = ("refuse", "hold_course", "write_history", "explain_counts", "wake")


def upgrade() -> None:
    """Set the rules up; their functions are nobody's to call by hand."""
    for part in (REFUSE, COURSE, HISTORY, REASONS, WAKE):
        op.execute(part)
    for events, tables in (
        ("UPDATE OR DELETE OR TRUNCATE", WRITTEN_ONCE),
        ("DELETE OR TRUNCATE", NEVER_DELETED),
    ):
        for table, rule in tables.items():
            op.execute(
                f"CREATE TRIGGER {rule} BEFORE {events} ON {table}"
                f" FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse('{rule}')"
            )
    for table, (rule, condition) in FROZEN.items():
        op.execute(
            f"CREATE TRIGGER {rule} BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({condition})"
            f" EXECUTE FUNCTION hub.refuse('{rule}')"
        )
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION hub.{function}() FROM PUBLIC")


def downgrade() -> None:
    """Let go of the rules."""
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION hub.{function}() CASCADE")
