"""What the embedded PostgreSQL is told: lose no commit, log no value, let nobody in without a password."""

from pathlib import Path

SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "off",
    # Messages quote values ("invalid input syntax for type ..."): errors of statements go to the client only.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}

# Who may log in to what; everything else is rejected. The databases of tests are named hub_<something>.
LOGINS = (
    ('"/^hub(_[a-z0-9_]+)?$"', '"/^hub_(owner|application|auditor)$"'),
    ('"/^airflow(_[a-z0-9_]+)?$"', "hub_airflow"),
)


def settings_file(sockets: Path, port: int, name: str, *, tcp: bool) -> str:
    """Write postgresql.conf: listen in a socket folder, and with ``tcp`` on 127.0.0.1 as well."""
    values = SETTINGS | {
        "listen_addresses": "127.0.0.1" if tcp else "",
        "port": str(port),
        "unix_socket_directories": f'"{sockets}"',
        "cluster_name": name,
    }
    lines = ["# Written by the hub at every start; settings of your own belong into postgresql.auto.conf."]
    lines += [f"{name} = '{value}'" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def logins_file(superuser: str, *, tcp: bool) -> str:
    """Write pg_hba.conf: every login by SCRAM, each role to its own database."""
    logins = (*LOGINS, ("all", superuser))
    lines = [f"local {database} {role} scram-sha-256" for database, role in logins]
    if tcp:
        lines += [f"host {database} {role} 127.0.0.1/32 scram-sha-256" for database, role in logins]
    return "\n".join(lines) + "\n"
