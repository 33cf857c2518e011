"""Who may do what to which table, as data; hub.database.provision brings it about, a test reads it back.

A role that is not named for a table can do nothing with it. ``("UPDATE", "status")`` is one column's.
"""

from collections.abc import Mapping

ROLES: Mapping[str, str] = {
    "owner": "hub_owner",
    "application": "hub_application",
    "auditor": "hub_auditor",
    "airflow": "hub_airflow",
}

Right = str | tuple[str, ...]
READ, ADD, CHANGE, REMOVE = "SELECT", "INSERT", "UPDATE", "DELETE"

APPLICATION: Mapping[str, tuple[Right, ...]] = {
    "hub.partner": (READ, ADD, CHANGE),
    "hub.partner_key": (READ, ADD, (CHANGE, "revoked_at")),
    "hub.agreement": (READ, ADD, (CHANGE, "status")),
    "hub.person": (READ, ADD, REMOVE),  # what ends does so in time only: triggers hold that
    "hub.person_number": (READ, ADD, REMOVE),
    "hub.consent_scope": (READ, ADD, (CHANGE, "template")),  # an upsert; a trigger lets nothing change
    "hub.consent": (READ, ADD, REMOVE, (CHANGE, "withdrawn_at", "change")),
    "hub.ended_consent": (READ, ADD),
    "hub.state_rule": (READ,),
    "hub.submission": (READ, ADD, CHANGE),
    "hub.submission_history": (READ,),  # a trigger writes it
    "hub.reason_count": (READ, ADD, CHANGE, REMOVE),
    "hub.step_result": (READ, ADD, CHANGE, REMOVE),
    "hub.payload_key": (READ, ADD, REMOVE),
    "hub.clearance": (READ, ADD),
    "hub.parcel": (READ, ADD, (CHANGE, "state", "attempt", "outcome_index", "sent_at", "collected_at")),
    "hub.delivered_rows": (READ, ADD, REMOVE),
    "hub.receipt": (READ, ADD, REMOVE),
    "hub.staff": (READ, ADD, REMOVE, (CHANGE, "public_key", "fingerprint", "active")),
    "hub.review_decision": (READ, ADD, REMOVE),
    # Never the time of recording: what is to be erased cannot be made old.
    "ledger.entry": (READ, (ADD, "index", "body", "leaf_hash", "kind", "submission")),
    "hub.row_seed": (READ, ADD, REMOVE),  # removed at the end of its retention, never changed
    "hub.log_reading": (READ, ADD, (CHANGE, "readings", "seen", "last_at"), REMOVE),
    "hub.journal": (READ, ADD),
    "ledger.node": (READ, ADD),
    "ledger.checkpoint": (READ, ADD),
    "ledger.cosignature": (READ, ADD),
}

# Whatever tells the course of a transfer; nothing that holds a key or a person's MAC.
AUDITED = (
    *("ledger.entry", "ledger.node", "ledger.checkpoint", "ledger.cosignature"),
    *("hub.submission", "hub.submission_history", "hub.reason_count", "hub.state_rule"),
    *("hub.agreement", "hub.clearance", "hub.parcel", "hub.receipt", "hub.staff", "hub.review_decision"),
    "hub.journal",
)
AUDITOR: Mapping[str, tuple[Right, ...]] = dict.fromkeys(AUDITED, (READ,))

# The one way in which the log changes; what it may do, its trigger says (revision 0006).
CALLED: Mapping[str, tuple[str, ...]] = {
    ROLES["application"]: ("ledger.erase_bodies(bigint, timestamptz)",),
}

GRANTS: Mapping[str, Mapping[str, tuple[Right, ...]]] = {
    ROLES["application"]: APPLICATION,
    ROLES["auditor"]: AUDITOR,
}


def statements() -> list[str]:
    """Write the grants as SQL, beginning from nothing; all names are constants of this module."""
    roles = ", ".join(GRANTS)
    lines = [
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA hub, ledger FROM PUBLIC, {roles}",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA hub, ledger FROM PUBLIC, {roles}",
        f"GRANT USAGE ON SCHEMA hub, ledger TO {roles}",
        f"GRANT USAGE ON SEQUENCE hub.consent_change_seq TO {ROLES['application']}",
    ]
    for role, tables in GRANTS.items():
        for table, rights in tables.items():
            given = ", ".join(r if isinstance(r, str) else f"{r[0]} ({', '.join(r[1:])})" for r in rights)
            lines.append(f"GRANT {given} ON TABLE {table} TO {role}")
    lines += [
        f"GRANT EXECUTE ON FUNCTION {name} TO {role}" for role, names in CALLED.items() for name in names
    ]
    return lines
