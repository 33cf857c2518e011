"""What the transfer log records: a closed catalogue of events in one shape, as canonical JSON (RFC 8785).

An entry says who did what with which submission, on which legal basis and with which counts. It holds no
value of a row and nothing that stands for a person: no name, no number, no pseudonym, no hash of one.
"""

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from hub.errors import Corrupt

Kind = Literal[
    "submission",  # a file has come in
    "decision",  # what became of its rows, and why
    "intent",  # a parcel is about to be sent
    "outcome",  # what became of the submission
    "receipt",  # a signed receipt was issued to the sender
    "collected",  # the recipient took a parcel
    "consent",  # consents were imported or withdrawn
    "agreement",  # an agreement changed its state or version
    "key",  # a key was created or rotated
    "reidentification",
    "review",  # people decided on something held back
    "report",  # a person's report was issued
    "log_read",  # somebody read the log
    "retention",  # bodies or payloads were deleted at the end of their period
    "restore",  # the hub came back from a backup
    "alarm",
]

# What must be filled for a kind to mean anything. An intent is the whole answer to "who sent what to whom on
# which ground", because after it the data leave. What a person or the hub's own keeping did needs its reason.
REQUIRED: Mapping[Kind, tuple[str, ...]] = {
    "submission": ("submission",),
    "decision": ("submission", "counts"),
    "intent": (
        *("submission", "agreement", "agreement_version", "agreement_digest", "sender", "recipient"),
        *("purpose", "legal_basis", "counts", "columns", "parcel", "attempt", "commitment"),
    ),
    "outcome": ("submission",),
    "receipt": ("submission", "receipt"),
    "collected": ("submission", "parcel"),
    "consent": ("reason", "counts"),
    "agreement": ("agreement", "agreement_version", "agreement_digest"),
    "key": ("reason", "details"),
    "reidentification": ("reason",),
    "review": ("submission", "reason", "details"),
    "report": ("reason",),
    "log_read": ("reason",),
    "retention": ("reason",),
    "restore": ("reason",),
    "alarm": ("reason",),
}

# Fields that mean something in these kinds only.
RESERVED: Mapping[str, tuple[Kind, ...]] = {
    "commitment": ("intent",),
    "consent_policy_digest": ("decision", "intent"),
    "disclosure": ("decision", "intent"),
    "span": ("retention", "restore"),
}

MOST_BYTES = 65_535
"""The longest entry that a tlog-tiles entry bundle can hold."""

_SAFE = 2**53 - 1  # the integers that every JSON reader takes exactly (RFC 7493, section 2.2)
# The written form of a recipient's pseudonym: it stands for a person, so it has no place here.
_PSEUDONYM = re.compile(r"P[0-9][A-Z2-7]{54}")

Slug = Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9_]{0,63}\z")]
Code = Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9_]*(?:\.[a-z0-9_]+){0,3}\z", max_length=80)]
Digest = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
Text = Annotated[str, StringConstraints(pattern=r"\A[^\x00-\x1f\x7f]+\z", max_length=500)]
Count = Annotated[int, Field(ge=0, le=_SAFE)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class Actor(_Strict):
    """Who acted: a role of the hub's, and an id in it (staff appear under their staff pseudonym)."""

    role: Slug
    id: Text


class Parcel(_Strict):
    """A finished parcel by its name, digest and size in bytes."""

    name: Text
    sha256: Digest
    bytes: Count


class ReceiptDigest(_Strict):
    """A receipt by its kind and the digest of the token as issued."""

    kind: Slug
    sha256: Digest


class Commitment(_Strict):
    """What binds a transfer to its rows (`hub.ledger.commitment`): scheme, Merkle root, how many rows."""

    scheme: Literal["rows-sha256-v1"]
    root: Digest
    rows: Annotated[int, Field(ge=1, le=_SAFE)]


class Span(_Strict):
    """Entries of the log by their indexes, both included."""

    first: Count
    last: Count

    @model_validator(mode="after")
    def _is_forward(self) -> Self:
        if self.first > self.last:
            message = "a span ends where it begins, or later"
            raise ValueError(message)
        return self


class Entry(_Strict):
    """One event. The caller gives the time (UTC); the nonce stops that a guessed body is confirmed."""

    format: Literal[1] = 1
    kind: Kind
    time: AwareDatetime
    nonce: Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{32}\z")] = Field(
        default_factory=lambda: secrets.token_hex(16)
    )
    actor: Actor
    reason: Text | None = None
    submission: Text | None = None
    agreement: Text | None = None
    agreement_version: Text | None = None
    agreement_digest: Digest | None = None
    sender: Text | None = None
    recipient: Text | None = None
    purpose: Text | None = None
    legal_basis: Text | None = None
    counts: dict[Slug, Count] | None = None
    reasons: dict[Code, Count] | None = None
    columns: tuple[Text, ...] | None = None
    parcel: Parcel | None = None
    attempt: Annotated[int, Field(ge=1, le=_SAFE)] | None = None
    receipt: ReceiptDigest | None = None
    key_versions: dict[Slug, Count] | None = None
    commitment: Commitment | None = None
    consent_policy_digest: Digest | None = None
    disclosure: dict[Slug, Text | Annotated[int, Field(ge=-_SAFE, le=_SAFE)]] | None = None
    span: Span | None = None
    details: dict[Slug, Text | Annotated[int, Field(ge=-_SAFE, le=_SAFE)]] | None = None

    @field_validator("time")
    @classmethod
    def _in_utc(cls, time: datetime) -> datetime:
        if time.utcoffset() != timedelta(0):
            message = "the time must be in UTC"
            raise ValueError(message)
        return time.astimezone(UTC)

    @field_serializer("time")
    def _to_microseconds(self, time: datetime) -> str:
        return time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        missing = [name for name in REQUIRED.get(self.kind, ()) if getattr(self, name) is None]
        if missing:
            message = f"an entry of kind {self.kind} needs {', '.join(missing)}"
            raise ValueError(message)
        if (
            self.kind == "intent"
            and str(self.legal_basis).startswith("consent:")
            and not self.consent_policy_digest
        ):
            message = "an intent under consent needs consent_policy_digest"
            raise ValueError(message)
        foreign = [
            name
            for name, kinds in RESERVED.items()
            if self.kind not in kinds and getattr(self, name) is not None
        ]
        if foreign:
            message = f"an entry of kind {self.kind} has no {', '.join(foreign)}"
            raise ValueError(message)
        return self


def canonical(entry: Entry) -> bytes:
    """Write an entry as canonical JSON (RFC 8785), without the fields that are not filled: the log's leaf.

    Raises `Corrupt` when it is too long for the log, or holds what looks like a person's pseudonym.
    """
    # What an entry may hold (names in ASCII, texts, whole numbers) the standard library writes as RFC 8785
    # does, ten times as fast as `rfc8785`; a test holds one against the other.
    said = entry.model_dump(mode="json", exclude_none=True)
    body = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    if len(body) > MOST_BYTES:
        message = f"expected an entry of at most {MOST_BYTES} bytes, got {len(body)}"
        raise Corrupt(code="ledger.entry_size", message=message, remedy="Shorten the details of the event.")
    if _PSEUDONYM.search(body.decode()):
        message = f"an entry of kind {entry.kind} holds what looks like a person's pseudonym"
        raise Corrupt(code="ledger.subject", message=message, remedy="The log names no person: leave it out.")
    return body


def read(body: bytes) -> Entry:
    """Read an entry back from the log. Raises `Corrupt` when these bytes are no entry in canonical form."""
    try:
        entry = Entry.model_validate_json(body)
        found: Any = canonical(entry)
    except (ValidationError, Corrupt):
        found = None
    if found != body:
        message = "expected an entry of the log's catalogue in canonical JSON, found other bytes"
        raise Corrupt(
            code="ledger.entry", message=message, remedy="Run `hub log verify`: it names the place."
        )
    return entry
