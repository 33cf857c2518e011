"""The consent register: what a person has agreed to, towards whom, for what, and until when.

Every change of consents happens under one lock and carries the next number of one sequence, so that a
delivery can ask "has anything changed since I decided?" without trusting a clock (GDPR Art. 7(3),
SGB X §67b(2)).
"""

import hashlib
from datetime import datetime
from typing import Any

import numpy as np
import rfc8785
from numpy.typing import NDArray
from psycopg import Connection, sql

from hub import lookup
from hub.database.bulk import fetch_columns
from hub.persons import Ids, ask, is_cheaper_whole
from schemas.agreement import Agreement, ConsentBasis

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

_BYTES_EACH = 400  # of the table for each person asked for: about twice as many consents


POLICY = 1
"""The version of the rules by which consents are judged (`decide`, `_scopes`); raised when they change."""


def policy_digest(agreement: Agreement) -> str | None:
    """Give the digest (SHA-256, hex) of what a consent must cover under an agreement; None under a statute.

    It is over canonical JSON (RFC 8785) of the rules' version, codes by rising weight, templates, recipient,
    purpose and the fields that are released.
    """
    basis = agreement.legal_basis
    if not isinstance(basis, ConsentBasis):
        return None
    policy: dict[str, Any] = {
        "rules": POLICY,
        "codes": [code for code in CODES if code is not None],
        "templates": sorted(basis.templates),
        "recipient": agreement.recipient.id,
        "purpose": agreement.purpose,
        "fields": sorted(field.name for field in agreement.released),
    }
    return hashlib.sha256(rfc8785.dumps(policy)).hexdigest()


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
    rank = sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN {}").format(sql.Literal(scope), sql.Literal(code))
        for scope, code in scopes.items()
    )
    verdict = sql.SQL(
        """
        (CASE
            WHEN (CASE c.scope_id {rank} END) > 0 THEN (CASE c.scope_id {rank} END)
            WHEN c.withdrawn_at IS NOT NULL THEN 1
            WHEN c.valid_until <= {at} THEN 2
            WHEN c.given_at > {at} THEN 3
            ELSE 0 END)::int4
        """
    ).format(rank=rank, at=sql.Literal(at))
    only = sql.SQL("c.scope_id = ANY({})").format(sql.Literal(list(scopes)))
    if is_cheaper_whole(connection, "hub.consent", _BYTES_EACH * len(ids)):
        query = sql.SQL("SELECT c.person_id, {} FROM hub.consent c WHERE {}").format(verdict, only)
        persons, codes = fetch_columns(connection, query, ["bytea", "int4"])
        best_first = np.argsort(codes.astype(np.int8), kind="stable")
        at_best = lookup.places(persons[best_first].astype(np.uint8, copy=False), ids)
        known = at_best != lookup.ABSENT
        verdicts[known] = codes[best_first[at_best[known]]]
    else:
        ask(connection, ids)
        query = sql.SQL(
            """
            SELECT a.n, min({}) FROM asked a JOIN hub.consent c ON c.person_id = a.mac AND {} GROUP BY a.n
            """
        ).format(verdict, only)
        places, codes = fetch_columns(connection, query, ["int4", "int4"])
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
    return fetch_columns(connection, query, ["bytea"])[0].astype(np.uint8)


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
