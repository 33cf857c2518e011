"""The steps by which the hub's database came to its present shape (Alembic)."""

from typing import Any

SCHEMAS = ("hub", "ledger")


def included(name: str | None, kind: str, _parents: object) -> bool:
    """Look only at the hub's own schemas when models and database are compared."""
    return kind != "schema" or name in SCHEMAS


OPTIONS: dict[str, Any] = {
    "version_table_schema": SCHEMAS[0],
    "include_schemas": True,
    "include_name": included,
    "compare_server_default": True,
}
