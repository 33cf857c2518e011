"""The consent register at work: consents brought in by the agencies that collected them, shown, withdrawn.

Every change is made under the lock that sending respects, and is an entry of the transfer log; the entry
names the collector and counts, never a person.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from psycopg import Connection

from hub.aes_columns import cmac_texts
from hub.case import now
from hub.consent import allow_change, watermark
from hub.database.bulk import copy_in
from hub.database.models import Partner
from hub.database.session import raw
from hub.errors import Refused
from hub.keys import KeyRing
from hub.ledger.entry import Actor, Entry
from hub.logbook import append
from hub.office import Office
from hub.persons import number_macs, register
from hub.standing import remember_withdrawals


@dataclass(frozen=True)
class Imported:
    """What an import of consents did."""

    rows: int
    new: int
    withdrawn: int


@dataclass(frozen=True)
class Held:
    """One consent as the register has it."""

    template: str
    recipient: str
    purpose: str
    fields: list[str]
    language: str
    form: str
    given_at: datetime
    valid_until: datetime | None
    withdrawn_at: datetime | None


def bring_in(office: Office, collector: str, consents: pl.DataFrame) -> Imported:
    """Take in the consents of a file, in one transaction, and log how many.

    Raises:
        Refused: ``partner.unknown`` for a collector that is no active partner.
    """
    with office.database.transaction() as session:
        partner = session.get(Partner, collector)
        if partner is None or partner.status != "active":
            raise Refused(
                "partner.unknown", f"no active partner is named {collector!r}", "see: hub partner list"
            )
        allow_change(raw(session))
        mark = watermark(raw(session))
        done = record(raw(session), office.ring, collector, consents)
        remember_withdrawals(session, office, mark)
        counts = {"read": done.rows, "new": done.new, "withdrawn": done.withdrawn}
        actor = Actor(role="collector", id=collector)
        append(
            session,
            office,
            [Entry(kind="consent", time=now(session), actor=actor, reason="imported", counts=counts)],
        )
        return done


def end(office: Office, collector: str, number: str) -> int:
    """Withdraw every running consent of a person, and log that it was done; returns how many."""
    with office.database.transaction() as session:
        allow_change(raw(session))
        mark = watermark(raw(session))
        count = withdraw(raw(session), office.ring, collector, number)
        remember_withdrawals(session, office, mark)
        actor = Actor(role="collector", id=collector)
        append(
            session,
            office,
            [
                Entry(
                    kind="consent",
                    time=now(session),
                    actor=actor,
                    reason="withdrawn",
                    counts={"withdrawn": count},
                )
            ],
        )
        return count


def of_person(office: Office, collector: str, number: str) -> list[Held]:
    """List the consents of the person whom a collector knows by a number."""
    mac = number_macs(office.ring, collector, pl.Series([number])).tobytes()
    with office.database.transaction() as session:
        rows = raw(session).execute(
            """
            SELECT s.template, s.recipient, s.purpose, s.fields, c.language, c.form,
                c.given_at, c.valid_until, c.withdrawn_at
            FROM hub.person_number n JOIN hub.consent c USING (person_id)
            JOIN hub.consent_scope s ON s.id = c.scope_id
            WHERE n.space = %s AND n.mac = %s ORDER BY c.given_at
            """,
            [collector, mac],
        )
        return [Held(*row) for row in rows]


def record(connection: Connection, ring: KeyRing, collector: str, consents: pl.DataFrame) -> Imported:
    """Take in consents that an agency has collected; known references change only by being withdrawn.

    Args:
        connection: an open transaction of the application role.
        ring: the keys under which numbers and references are kept.
        collector: the partner that collected them; persons are looked up in its space.
        consents: number, reference, template, language, form, recipient, purpose, fields (list of text),
            given_at, valid_until, withdrawn_at (instants or null), evidence.
    """
    allow_change(connection)
    persons = register(connection, collector, number_macs(ring, collector, consents["number"]))
    key = ring.row_key(f"consent/{collector}")
    scopes = _record_scopes(connection, consents)
    manners = _record_manners(connection, consents)
    connection.execute(
        """
        CREATE TEMP TABLE given (n int4, reference bytea, person bytea, scope int4, manner int4,
            evidence bytea, given_at float8, valid_until float8, withdrawn_at float8) ON COMMIT DROP
        """
    )
    copy_in(
        connection,
        "given",
        {
            "n": ("int4", np.arange(consents.height)),
            "reference": ("bytea", cmac_texts(key, consents["reference"])),
            "person": ("bytea", persons),
            "scope": ("int4", scopes),
            "manner": ("int4", manners),
            "evidence": ("bytea", cmac_texts(key, consents["evidence"].fill_null(""))),
            **{
                name: ("float8", _epochs(consents[name]))
                for name in ("given_at", "valid_until", "withdrawn_at")
            },
        },
    )
    return _merge(connection, collector)


def _refuse_conflicts(connection: Connection, collector: str) -> None:
    """Refuse a reference that stands for another person or another scope already, or twice in the file."""
    row = connection.execute(
        """
        SELECT (SELECT count(*) FROM given g JOIN hub.consent c
                ON c.collector = %s AND c.reference_mac = g.reference
                WHERE (c.person_id, c.scope_id) <> (g.person, g.scope))
            + (SELECT count(*) FROM (SELECT FROM given GROUP BY reference
                HAVING count(DISTINCT (person, scope)) > 1) AS twice)
        """,
        [collector],
    ).fetchone()
    if row and row[0]:
        raise Refused(
            "consent.conflict",
            f"{row[0]} references stand for another consent already",
            "give every consent a reference of its own; nothing of the file was taken",
        )


def _merge(connection: Connection, collector: str) -> Imported:
    connection.execute("ANALYZE given")
    _refuse_conflicts(connection, collector)
    taken = connection.execute(
        """
        INSERT INTO hub.consent (collector, reference_mac, person_id, scope_id, language, form,
            evidence_mac, given_at, valid_until, withdrawn_at)
        SELECT DISTINCT ON (reference) %s, reference, person, scope, m.language, m.form, evidence,
            to_timestamp(given_at), to_timestamp(nullif(valid_until, 'NaN')),
            to_timestamp(nullif(withdrawn_at, 'NaN'))
        FROM given g JOIN manner m ON m.id = g.manner
        WHERE NOT EXISTS (
            SELECT FROM hub.ended_consent e WHERE e.collector = %s AND e.reference_mac = g.reference
        )
        ORDER BY reference, n DESC
        ON CONFLICT (collector, reference_mac) DO NOTHING
        """,
        [collector, collector],
    ).rowcount
    withdrawn = connection.execute(
        """
        UPDATE hub.consent c SET withdrawn_at = to_timestamp(g.withdrawn_at),
            change = nextval('hub.consent_change_seq')
        FROM given g WHERE c.collector = %s AND c.reference_mac = g.reference
        AND g.withdrawn_at <> 'NaN' AND c.withdrawn_at IS NULL
        """,
        [collector],
    ).rowcount
    row = connection.execute("SELECT count(*) FROM given").fetchone()
    return Imported(rows=int(row[0]) if row else 0, new=taken, withdrawn=withdrawn)


def _record_manners(connection: Connection, consents: pl.DataFrame) -> NDArray[np.int32]:
    """Number the combinations of language and form; few, so they stand beside the rows, not in them."""
    connection.execute("CREATE TEMP TABLE manner (id int4, language text, form text) ON COMMIT DROP")
    manners = consents.select("language", "form")
    distinct = manners.unique(maintain_order=True).with_row_index("manner")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO manner VALUES (%s, %s, %s)", distinct.rows())
    joined = manners.join(distinct, on=["language", "form"], how="left", maintain_order="left")
    return joined["manner"].cast(pl.Int32).to_numpy()


def _record_scopes(connection: Connection, consents: pl.DataFrame) -> NDArray[np.int32]:
    kinds = consents.select("template", "recipient", "purpose", pl.col("fields").list.sort())
    distinct = kinds.unique(maintain_order=True)
    numbers = []
    for template, recipient, purpose, fields in distinct.rows():
        row = connection.execute(
            """
            INSERT INTO hub.consent_scope (template, recipient, purpose, fields) VALUES (%s, %s, %s, %s)
            ON CONFLICT (template, recipient, purpose, fields) DO UPDATE SET template = EXCLUDED.template
            RETURNING id
            """,
            [template, recipient, purpose, fields],
        ).fetchone()
        numbers.append(int(row[0]) if row else 0)
    numbered = distinct.with_columns(scope=pl.Series(numbers, dtype=pl.Int32))
    return kinds.join(numbered, on=kinds.columns, how="left", maintain_order="left")["scope"].to_numpy()


def _epochs(instants: pl.Series) -> NDArray[np.float64]:
    """Turn instants into seconds since 1970, NaN where there is none."""
    return instants.dt.epoch("us").cast(pl.Float64).to_numpy() / 1e6


def withdraw(connection: Connection, ring: KeyRing, collector: str, number: str) -> int:
    """Withdraw every running consent of the person whom a collector knows by a number; returns how many.

    Raises:
        Refused: ``person.unknown`` if the collector has brought no consent of such a person.
    """
    allow_change(connection)
    mac = number_macs(ring, collector, pl.Series([number])).tobytes()
    row = connection.execute(
        "SELECT person_id FROM hub.person_number WHERE space = %s AND mac = %s", [collector, mac]
    ).fetchone()
    if row is None:
        raise Refused(
            "person.unknown",
            f"{collector} has brought no consent of a person with this number",
            "check the number and the collector",
        )
    return connection.execute(
        """
        UPDATE hub.consent SET withdrawn_at = clock_timestamp(), change = nextval('hub.consent_change_seq')
        WHERE person_id = %s AND withdrawn_at IS NULL
        """,
        [row[0]],
    ).rowcount
