"""What may end, and never too early: bodies of the transfer log, and what else has a period.

A body ends in one way only. An entry of kind ``retention`` is appended that names a span and counts its
entries by kind; in the same transaction ``ledger.erase_bodies`` empties exactly these. Whoever does it, the
owner included, a trigger holds the change against that entry: only body and submission become null; leaf
hash, kind and time stay; what explains the log itself stays whole; nothing younger than a year, nothing of a
submission under way, and nothing that does not fit its leaf hash any more is emptied. The application may
not say when an entry was recorded. Everything else that ends may be deleted only once it is a year old.
Revision 0006, after 0005.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What explains the log itself.
BODIES = """
CREATE FUNCTION ledger.is_kept(kind text) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN kind IN ('retention', 'restore', 'key', 'agreement');
ALTER TABLE ledger.entry ALTER COLUMN body DROP NOT NULL;
DROP TRIGGER ledger_is_append_only ON ledger.entry;
CREATE TRIGGER ledger_is_append_only BEFORE DELETE OR TRUNCATE ON ledger.entry
    FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse('ledger_is_append_only');
"""

# The setting only points at the announcement; whatever it points at is proved here.
HOLD_ERASURE = """
CREATE FUNCTION ledger.hold_erasure() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    announced bigint := nullif(current_setting('hub.announced', true), '')::bigint;
    said jsonb;
    lowest bigint;
    highest bigint;
    changed bigint;
    broken text;
BEGIN
    SELECT convert_from(e.body, 'UTF8')::jsonb INTO said FROM ledger.entry e
    WHERE e.index = announced AND e.kind = 'retention' AND e.xmin = pg_current_xact_id()::xid;
    lowest := (said #>> '{span,first}')::bigint;
    highest := (said #>> '{span,last}')::bigint;
    SELECT count(*) INTO changed FROM old_rows;
    IF said ->> 'kind' IS DISTINCT FROM 'retention' OR lowest IS NULL OR highest >= announced OR changed <> (
        SELECT count(*) FROM old_rows o JOIN new_rows n USING (index)
        WHERE o.body IS NOT NULL AND n.body IS NULL AND n.submission IS NULL
        AND (o.leaf_hash, o.kind, o.recorded_at) = (n.leaf_hash, n.kind, n.recorded_at)
    ) THEN
        broken := 'ledger_is_append_only';
    ELSIF EXISTS (
        SELECT FROM old_rows WHERE index < lowest OR index > highest OR ledger.is_kept(kind)
    ) OR changed <> (
        SELECT count(*) FROM ledger.entry WHERE index BETWEEN lowest AND highest AND NOT ledger.is_kept(kind)
    ) OR said -> 'counts' IS DISTINCT FROM (
        SELECT jsonb_object_agg(kind, n) FROM (SELECT kind, count(*) AS n FROM old_rows GROUP BY kind) counted
    ) THEN
        broken := 'erasure_is_announced';
    ELSIF EXISTS (SELECT FROM old_rows WHERE recorded_at > clock_timestamp() - interval '365 days') THEN
        broken := 'erasure_comes_in_time';
    ELSIF EXISTS (
        SELECT FROM old_rows o JOIN hub.submission s ON s.id = o.submission
        WHERE s.state NOT IN ('acknowledged', 'refused', 'withdrawn')
    ) THEN
        broken := 'erasure_waits_for_the_end';
    ELSIF EXISTS (
        SELECT FROM old_rows WHERE sha256('\\x00'::bytea || body) <> leaf_hash
        OR convert_from(body, 'UTF8')::jsonb ->> 'kind' IS DISTINCT FROM kind
    ) THEN
        broken := 'erasure_hides_nothing';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = broken, MESSAGE = broken;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_hold_erasure AFTER UPDATE ON ledger.entry
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.hold_erasure();
"""

ERASE_BODIES = """
CREATE FUNCTION ledger.erase_bodies(announcement bigint, before timestamptz) RETURNS bigint LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said jsonb;
    erased bigint;
BEGIN
    SELECT convert_from(e.body, 'UTF8')::jsonb -> 'span' INTO said FROM ledger.entry e
    WHERE e.index = announcement;
    IF EXISTS (
        SELECT FROM ledger.entry e
        WHERE e.index BETWEEN (said ->> 'first')::bigint AND (said ->> 'last')::bigint
        AND NOT ledger.is_kept(e.kind) AND e.recorded_at >= before
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'erasure_comes_in_time',
            MESSAGE = 'erasure_comes_in_time';
    END IF;
    PERFORM set_config('hub.announced', announcement::text, true);
    UPDATE ledger.entry SET body = NULL, submission = NULL
    WHERE index BETWEEN (said ->> 'first')::bigint AND (said ->> 'last')::bigint AND NOT ledger.is_kept(kind);
    GET DIAGNOSTICS erased = ROW_COUNT;
    PERFORM set_config('hub.announced', '', true);
    RETURN erased;
END $$;
REVOKE ALL ON FUNCTION ledger.erase_bodies(bigint, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION ledger.hold_erasure() FROM PUBLIC;
REVOKE ALL ON FUNCTION ledger.is_kept(text) FROM PUBLIC;
"""

# By table: the rule that forbade its deletion, what else that rule forbids, and when it is too early now.
ENDING = {
    "hub.receipt": (
        "receipt_stands",
        "UPDATE OR TRUNCATE",
        "OLD.issued_at > clock_timestamp() - interval '365 days'",
    ),
    "hub.review_decision": (
        "review_stands",
        "UPDATE OR TRUNCATE",
        "OLD.at > clock_timestamp() - interval '365 days'",
    ),
    "hub.consent": (
        "consent_stands",
        "TRUNCATE",
        """least(OLD.withdrawn_at, OLD.valid_until) IS NULL
            OR least(OLD.withdrawn_at, OLD.valid_until) > clock_timestamp() - interval '365 days'""",
    ),
    "hub.staff": (
        "staff_stands",
        "TRUNCATE",
        "OLD.active OR OLD.ended_at IS NULL OR OLD.ended_at > clock_timestamp() - interval '365 days'",
    ),
}

# Nobody says by hand when a person's rights ended.
STAFF = """
ALTER TABLE hub.staff ADD COLUMN ended_at timestamptz;
UPDATE hub.staff SET ended_at = clock_timestamp() WHERE NOT active;
CREATE FUNCTION hub.note_end() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.ended_at := CASE WHEN NEW.active THEN NULL ELSE coalesce(OLD.ended_at, clock_timestamp()) END;
    RETURN NEW;
END $$;
CREATE TRIGGER note_end BEFORE UPDATE ON hub.staff FOR EACH ROW EXECUTE FUNCTION hub.note_end();
"""

# A withdrawn consent that is forgotten must not come back from an old file: its reference is remembered, and
# nothing of its person.
ENDED = """
CREATE TABLE hub.ended_consent (
    collector text REFERENCES hub.partner (id),
    reference_mac bytea,
    PRIMARY KEY (collector, reference_mac)
);
"""

# A person stays known as long as a consent stands, and what was delivered is remembered for a year at least.
PERSONS = """
CREATE FUNCTION hub.hold_person() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM hub.consent c WHERE c.person_id = OLD.person_id) OR EXISTS (
        SELECT FROM hub.person p
        WHERE p.id = OLD.person_id AND p.created_at > clock_timestamp() - interval '365 days'
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'person_stands',
            MESSAGE = 'person_stands';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER person_stands BEFORE DELETE ON hub.person_number FOR EACH ROW
    EXECUTE FUNCTION hub.hold_person();
CREATE TRIGGER person_stands BEFORE DELETE ON hub.person FOR EACH ROW
    WHEN (OLD.created_at > clock_timestamp() - interval '365 days')
    EXECUTE FUNCTION hub.refuse('person_stands');
CREATE FUNCTION hub.hold_delivered() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM hub.parcel p WHERE p.id = OLD.parcel
        AND (p.sent_at IS NULL OR p.sent_at > clock_timestamp() - interval '365 days')
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'delivered_stands',
            MESSAGE = 'delivered_stands';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER delivered_stands BEFORE DELETE ON hub.delivered_rows FOR EACH ROW
    EXECUTE FUNCTION hub.hold_delivered();
"""

FUNCTIONS = ("hold_person", "hold_delivered", "note_end")


def upgrade() -> None:
    """Open the narrow doors, and nothing beside them."""
    for part in (BODIES, HOLD_ERASURE, ERASE_BODIES, STAFF, ENDED, PERSONS):
        op.execute(part)
    for table, (rule, still, too_early) in ENDING.items():
        op.execute(f"DROP TRIGGER {rule} ON {table}")
        op.execute(
            f"CREATE TRIGGER {rule} BEFORE {still} ON {table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse('{rule}')"
        )
        op.execute(
            f"CREATE TRIGGER {rule}_in_time BEFORE DELETE ON {table} FOR EACH ROW WHEN ({too_early})"
            f" EXECUTE FUNCTION hub.refuse('{rule}')"
        )
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION hub.{function}() FROM PUBLIC")


def downgrade() -> None:
    """Close them; impossible once a body has been erased, which nothing brings back."""
    op.execute("DROP FUNCTION ledger.erase_bodies(bigint, timestamptz)")
    op.execute("DROP FUNCTION ledger.hold_erasure() CASCADE")
    op.execute("DROP FUNCTION ledger.is_kept(text)")
    op.execute("ALTER TABLE ledger.entry ALTER COLUMN body SET NOT NULL")
    op.execute("DROP TRIGGER ledger_is_append_only ON ledger.entry")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION hub.{function}() CASCADE")
    op.execute("DROP TRIGGER person_stands ON hub.person")
    op.execute("DROP TABLE hub.ended_consent")
    op.execute("ALTER TABLE hub.staff DROP COLUMN ended_at CASCADE")
    before = {"hub.staff": "DELETE OR TRUNCATE", "hub.consent": "DELETE OR TRUNCATE"}
    for table, (rule, _, _) in ENDING.items():
        op.execute(f"DROP TRIGGER IF EXISTS {rule}_in_time ON {table}")
        op.execute(f"DROP TRIGGER {rule} ON {table}")
        op.execute(
            f"CREATE TRIGGER {rule} BEFORE {before.get(table, 'UPDATE OR DELETE OR TRUNCATE')} ON {table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse('{rule}')"
        )
    op.execute(
        "CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entry"
        " FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse('ledger_is_append_only')"
    )
