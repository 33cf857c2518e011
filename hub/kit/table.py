"""The entries as a table for reading: columns, rows, CSV; Parquet from that.

The columns are described in docs/reference/kit.md. The
verifiers compute the same rows anew from the bodies, by code of their own.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import polars as pl
import rfc8785

# Column: where its value stands in an entry.
PLAIN: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "kind": ("kind",),
        "time": ("time",),
        "actor_role": ("actor", "role"),
        "actor_id": ("actor", "id"),
        **{
            name: (name,)
            for name in (
                *("reason", "submission", "agreement", "agreement_version", "agreement_digest"),
                *("sender", "recipient", "purpose", "legal_basis"),
            )
        },
        **{
            fate: ("counts", fate)
            for fate in ("received", "delivered", "already_delivered", "refused", "withheld", "quarantined")
        },
        "parcel_name": ("parcel", "name"),
        "parcel_sha256": ("parcel", "sha256"),
        "parcel_bytes": ("parcel", "bytes"),
        "attempt": ("attempt",),
        "receipt_kind": ("receipt", "kind"),
        "receipt_sha256": ("receipt", "sha256"),
        "commitment_root": ("commitment", "root"),
        "commitment_rows": ("commitment", "rows"),
        "consent_policy_digest": ("consent_policy_digest",),
        "span_first": ("span", "first"),
        "span_last": ("span", "last"),
    }
)
WHOLE: Final = ("counts", "reasons", "columns", "key_versions", "disclosure", "details")
"""Fields that are told as JSON, exactly as they stand in the entry."""

COLUMNS: Final = ("index", *PLAIN, *WHOLE, "nonce")

_NUMBERS: Final = (
    *("index", "received", "delivered", "already_delivered", "refused", "withheld", "quarantined"),
    *("parcel_bytes", "attempt", "commitment_rows", "span_first", "span_last"),
)


def heading() -> bytes:
    """Write the first line of the CSV."""
    return _csv([list(COLUMNS)])


def lines(entries: Iterable[tuple[int, bytes]]) -> bytes:
    """Write entries (index, body) as lines of the CSV; an erased one (no body) has none."""
    return _csv([_row(index, json.loads(body)) for index, body in entries if body])


def write_parquet(table: Path, target: Path) -> None:
    """Write the CSV as Parquet, in a stream: numbers as integers, the time as an instant, no empty texts."""
    read = pl.scan_csv(table, schema=dict.fromkeys(COLUMNS, pl.String))
    filled = read.with_columns(pl.when(pl.all() != "").then(pl.all()))
    numbers = pl.col(*_NUMBERS).cast(pl.Int64)
    instant = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC")
    filled.with_columns(numbers, instant).sink_parquet(target)


def _row(index: int, entry: dict[str, Any]) -> list[object]:
    values = [_at(entry, path) for path in PLAIN.values()]
    whole = [rfc8785.dumps(entry[name]).decode() if name in entry else None for name in WHOLE]
    return [index, *values, *whole, entry.get("nonce")]


def _at(entry: dict[str, Any], path: tuple[str, ...]) -> object:
    found: Any = entry
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _csv(rows: Iterable[list[object]]) -> bytes:
    sink = io.StringIO()
    csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    return sink.getvalue().encode()
