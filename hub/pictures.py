"""Pictures of the database, as the journal keeps them: entries, submissions at rest, withdrawals.

They are what PostgreSQL itself writes of a row (``to_jsonb``), so that it can read them back, and hold no
value of a person's row: ids, codes, counts, keyed MACs.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import dict_row

from hub.ledger.turn import Floor

AT_ONCE: Final = 200  # checkpoints told in one record at most
_IMAGES: Final = """
SELECT to_jsonb(s) AS submission,
    (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.attempt), '[]') FROM hub.parcel p
        WHERE p.submission = s.id) AS parcels,
    (SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM hub.reason_count r
        WHERE r.submission = s.id) AS reasons,
    (SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.log_index), '[]') FROM hub.receipt t
        WHERE t.submission = s.id) AS receipts,
    (SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.position), '[]') FROM hub.delivered_rows d
        JOIN hub.parcel p ON p.id = d.parcel WHERE p.submission = s.id) AS delivered
FROM hub.submission s WHERE s.id = ANY(%s) ORDER BY s.id
"""

_NOTES: Final = "SELECT size, root, note FROM ledger.checkpoint WHERE size > %s ORDER BY size LIMIT %s"
_ENTRIES: Final = """
SELECT body, leaf_hash, kind, submission, recorded_at::text FROM ledger.entry
WHERE index >= %s AND index < (
    SELECT max(size) FROM (SELECT size FROM ledger.checkpoint WHERE size > %s ORDER BY size LIMIT %s) AS c
) ORDER BY index
"""


def withdrawals(connection: Connection, since: int) -> Iterator[dict[str, Any]]:
    """Name consents withdrawn after a change number: collector, MAC of the reference, when.

    From a negative number on also those that were deleted since; of them it is not known when.
    """
    rows = connection.execute(
        """
        SELECT collector, encode(reference_mac, 'hex'), at::text FROM (
            SELECT collector, reference_mac, withdrawn_at AS at, change FROM hub.consent
            WHERE change > %(since)s AND withdrawn_at IS NOT NULL
            UNION ALL SELECT collector, reference_mac, clock_timestamp(), 0 FROM hub.ended_consent
            WHERE %(since)s < 0
        ) AS withdrawn ORDER BY change
        """,
        {"since": since},
    )
    for collector, reference, at in rows:
        yield {"collector": collector, "reference": reference, "at": at}


def of(connection: Connection, submissions: Sequence[str]) -> list[dict[str, Any]]:
    """Picture submissions with their parcels, reasons and receipts, as the database has them."""
    if not submissions:
        return []
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_IMAGES, [list(submissions)]).fetchall()


def news(connection: Connection, size: int) -> tuple[dict[str, Any], Floor] | None:
    """Read what the log has beyond ``size``: entries, checkpoints, and what came to rest in them."""
    with connection.pipeline():  # one round trip: this is done after every append
        newest = connection.execute(_NOTES, [size, AT_ONCE], prepare=True)
        beyond = connection.execute(_ENTRIES, [size, size, AT_ONCE], prepare=True)
    notes = newest.fetchall()
    if not notes:
        return None
    rows = beyond.fetchall()[: notes[-1][0] - size]
    entries = [
        [body.decode() if body is not None else None, leaf.hex(), kind, submission, at]
        for body, leaf, kind, submission, at in rows
    ]
    rested = sorted({submission for _, _, kind, submission, _ in rows if kind == "outcome" and submission})
    told = {
        "first": size,
        "entries": entries,
        "notes": [[size, note] for size, _, note in notes],
        "images": of(connection, rested),
    }
    return told, Floor(notes[-1][0], notes[-1][1])


def all_sent(connection: Connection) -> list[str]:
    """Name the submissions of which a parcel was sent."""
    rows = connection.execute("SELECT DISTINCT submission FROM hub.parcel WHERE state = 'sent'")
    return [submission for (submission,) in rows]
