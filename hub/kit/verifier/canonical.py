"""Canonical JSON (RFC 8785) of the log's value types, and what an entry must hold."""

from __future__ import annotations

import json
import re
from typing import Any

_MOST = 2**53 - 1
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_NONCE = re.compile(r"[0-9a-f]{32}")

Fields = dict[str, Any]

KINDS = (
    *("submission", "decision", "intent", "outcome", "receipt", "collected", "consent", "agreement", "key"),
    *("reidentification", "review", "report", "log_read", "retention", "restore", "alarm"),
)
OF_A_SUBMISSION = ("submission", "decision", "intent", "outcome", "receipt", "collected")


class NotCanonical(Exception):  # noqa: N818 -- the state of an entry, turned into a finding
    """These bytes are not the one canonical spelling of a JSON object."""


def canonical_json(value: object) -> str:
    """Write a value as RFC 8785 has it; fractions do not occur in the log. Raises `NotCanonical`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        if abs(value) > _MOST:
            raise NotCanonical
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical_json, value)) + "]"
    if isinstance(value, dict):
        in_order = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return (
            "{" + ",".join(f"{canonical_json(name)}:{canonical_json(value[name])}" for name in in_order) + "}"
        )
    raise NotCanonical


def read_canonical(body: bytes) -> Fields:
    """Read an object from its canonical bytes. Raises `NotCanonical` for everything else."""
    try:
        fields = json.loads(body.decode("utf-8"))
        spelled = canonical_json(fields).encode("utf-8")
    except (ValueError, RecursionError):
        raise NotCanonical from None
    if not isinstance(fields, dict) or spelled != body:
        raise NotCanonical
    return fields


def is_catalogued(entry: Fields) -> bool:
    """Tell whether an entry is of a kind that the log knows, with what every check stands on."""
    kind, actor = entry.get("kind"), entry.get("actor")
    sound = (
        entry.get("format") is not True
        and entry.get("format") == 1
        and kind in KINDS
        and _matches(_TIME, entry.get("time"))
        and _matches(_NONCE, entry.get("nonce"))
        and isinstance(actor, dict)
        and _has(actor, str, "role", "id")
    )
    if not sound or (kind in OF_A_SUBMISSION and not isinstance(entry.get("submission"), str)):
        return False
    if kind == "intent":
        parcel = entry.get("parcel")
        return (
            isinstance(parcel, dict)
            and _has(parcel, str, "name", "sha256")
            and _is_counts(entry.get("counts"))
        )
    if kind == "receipt":
        receipt = entry.get("receipt")
        return isinstance(receipt, dict) and _has(receipt, str, "kind", "sha256")
    return entry.get("counts") is None or _is_counts(entry["counts"])


def _is_counts(value: object) -> bool:
    return isinstance(value, dict) and all(type(count) is int and count >= 0 for count in value.values())


def _has(fields: Fields, kind: type, *names: str) -> bool:
    return all(isinstance(fields.get(name), kind) for name in names)


def _matches(form: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None
