"""The consent register: what a person has agreed to, towards whom, for what, and until when.

Every change of consents happens under one lock and carries the next number of one sequence, so that a
delivery can ask "has anything changed since I decided?" without trusting a clock (GDPR Art. 7(3),
SGB X §67b(2)).
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from psycopg import Connection, sql
from schemas.agreement import Agreement, ConsentBasis

from hub.aes_columns import cmac_texts
from hub.database.bulk import copy_in, copy_out
from hub.errors import Refused
from hub.keys import KeyRing
from hub.persons import Ids, ask, number_macs, register

LOCK = 0x636F6E73656E74  # "consent"
CODES = (
    None,  # a valid consent covers the row
    "consent.withdrawn",
    "consent.expired",
    "consent.not_yet_valid",
    "consent.fields",
    "consent.template",
    "consent.missing",
)
VALID, MISSING = 0, len(CODES) - 1


@dataclass(frozen=True)
class Imported:
    """What an import of consents did."""

    rows: int
    new: int
    withdrawn: int


def forbid_changes(connection: Connection) -> None:
    """Keep consents as they are until this transaction ends (taken at the moment of sending)."""
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", [LOCK])


def allow_change(connection: Connection) -> None:
    """Wait until nobody is sending, then be the only one who changes consents in this transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def watermark(connection: Connection) -> int:
    """Tell the number of the newest change of any consent."""
    row = connection.execute("SELECT coalesce(max(change), 0) FROM hub.consent").fetchone()
    return int(row[0]) if row else 0


def decide(connection: Connection, agreement: Agreement, ids: Ids, at: datetime) -> NDArray[np.int32]:
    """Decide for each person whether a consent valid at an instant covers the agreement's released fields.

    Returns:
        Positions in CODES, shape (n,); 0 where a valid consent covers the row. Of several consents of a
        person the one that allows most counts.
    """
    verdicts = np.full(len(ids), MISSING, dtype=np.int32)
    scopes = _scopes(connection, agreement)
    if not len(ids) or not scopes:
        return verdicts
    ask(connection, ids)
    rank = sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN {}").format(sql.Literal(scope), sql.Literal(code))
        for scope, code in scopes.items()
    )
    query = sql.SQL(
        """
        SELECT a.n, min(CASE
            WHEN (CASE c.scope_id {rank} END) > 0 THEN (CASE c.scope_id {rank} END)
            WHEN c.withdrawn_at IS NOT NULL THEN 1
            WHEN c.valid_until <= {at} THEN 2
            WHEN c.given_at > {at} THEN 3
            ELSE 0 END)::int4
        FROM asked a JOIN hub.consent c ON c.person_id = a.mac AND c.scope_id = ANY({scopes})
        GROUP BY a.n
        """
    ).format(rank=rank, at=sql.Literal(at), scopes=sql.Literal(list(scopes)))
    places, codes = copy_out(connection, query, ["int4", "int4"])
    verdicts[places] = codes
    return verdicts


def changed_since(connection: Connection, agreement: Agreement, mark: int, decided_at: datetime) -> Ids:
    """Name the persons whose consents towards this agreement changed or ran out since a decision; (n, 16)."""
    scopes = _scopes(connection, agreement)
    query = sql.SQL(
        """
        SELECT DISTINCT person_id FROM hub.consent WHERE scope_id = ANY({scopes})
        AND (change > {mark} OR (valid_until > {then} AND valid_until <= clock_timestamp()))
        """
    ).format(scopes=sql.Literal(list(scopes)), mark=sql.Literal(mark), then=sql.Literal(decided_at))
    return copy_out(connection, query, ["bytea"])[0].astype(np.uint8)


def _scopes(connection: Connection, agreement: Agreement) -> dict[int, int]:
    """Map the scopes towards this recipient and purpose to 0 (covers), or the code why they do not cover."""
    basis = agreement.legal_basis
    if not isinstance(basis, ConsentBasis):
        return {}
    needed = {field.name for field in agreement.released}
    rows = connection.execute(
        "SELECT id, template, fields FROM hub.consent_scope WHERE recipient = %s AND purpose = %s",
        [agreement.recipient.id, agreement.purpose],
    )
    return {
        scope: CODES.index("consent.template")
        if template not in basis.templates
        else (0 if needed <= set(fields) else CODES.index("consent.fields"))
        for scope, template, fields in rows
    }


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
        CREATE TEMP TABLE given (n int4, reference bytea, person bytea, scope int4, manner int4, evidence bytea,
            given_at float8, valid_until float8, withdrawn_at float8) ON COMMIT DROP
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


def _merge(connection: Connection, collector: str) -> Imported:
    taken = connection.execute(
        """
        INSERT INTO hub.consent (collector, reference_mac, person_id, scope_id, language, form, evidence_mac,
            given_at, valid_until, withdrawn_at)
        SELECT DISTINCT ON (reference) %s, reference, person, scope, m.language, m.form, evidence,
            to_timestamp(given_at), to_timestamp(nullif(valid_until, 'NaN')),
            to_timestamp(nullif(withdrawn_at, 'NaN'))
        FROM given g JOIN manner m ON m.id = g.manner ORDER BY reference, n DESC
        ON CONFLICT (collector, reference_mac) DO NOTHING
        """,
        [collector],
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
