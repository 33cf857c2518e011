"""The entry's shape: closed, strict, canonical, and blind to persons."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hub.errors import Corrupt
from hub.ledger import entry
from hub.ledger.entry import Actor, Commitment, Entry, Kind, Parcel, ReceiptDigest, Span

NOON = datetime(2025, 3, 4, 12, 0, 0, 5, tzinfo=UTC)
HUB = Actor(role="hub", id="exchange")
DIGEST = "ab" * 32

slugs = st.from_regex(r"\A[a-z][a-z0-9_]{0,20}\Z")
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=60)
counts = st.integers(0, 2**53 - 1)
codes = st.from_regex(r"\A[a-z][a-z0-9_]{0,8}(\.[a-z0-9_]{1,8}){0,2}\Z")


@st.composite
def events(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from(get_args(Kind)))
    own: dict[str, st.SearchStrategy[Any]] = {
        "commitment": st.builds(
            Commitment, scheme=st.just("rows-sha256-v1"), root=st.just(DIGEST), rows=st.integers(1, 2**53 - 1)
        ),
        "consent_policy_digest": st.just(DIGEST),
        "disclosure": st.dictionaries(slugs, texts | st.integers(-5, 5), max_size=2),
        "span": counts.map(lambda first: Span(first=first, last=2**53 - 1)),
    }
    return Entry(
        kind=kind,
        time=draw(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))),  # noqa: DTZ001
        actor=Actor(role=draw(slugs), id=draw(texts)),
        reason=draw(texts),
        submission=draw(texts),
        agreement=draw(texts),
        agreement_version="1.0.0",
        agreement_digest=DIGEST,
        sender=draw(texts),
        recipient=draw(texts),
        purpose=draw(texts),
        legal_basis=draw(texts),
        counts=draw(st.dictionaries(slugs, counts, max_size=4)),
        reasons=draw(st.none() | st.dictionaries(codes, counts, max_size=4)),
        columns=tuple(draw(st.lists(texts, max_size=4))),
        parcel=Parcel(name=draw(texts), sha256=DIGEST, bytes=draw(counts)),
        attempt=draw(st.integers(1, 99)),
        receipt=ReceiptDigest(kind="received", sha256=DIGEST),
        key_versions=draw(st.none() | st.dictionaries(slugs, counts, max_size=2)),
        details=draw(st.dictionaries(slugs, texts | st.integers(-5, 5), max_size=4)),
        **{name: draw(values) for name, values in own.items() if kind in entry.RESERVED[name]},
    )


def simple(**fields: Any) -> Entry:
    given: dict[str, Any] = {"kind": "alarm", "time": NOON, "nonce": "0" * 32, "actor": HUB, "reason": "test"}
    return Entry(**given | fields)


@settings(deadline=None, max_examples=100)
@given(events())
def test_the_standard_library_writes_entries_as_rfc_8785_asks(event: Entry) -> None:
    assert entry.canonical(event) == rfc8785.dumps(event.model_dump(mode="json", exclude_none=True))


@settings(deadline=None, max_examples=50)
@given(events())
def test_what_is_written_is_read_back_the_same(event: Entry) -> None:
    body = entry.canonical(event)
    assert entry.read(body) == event
    assert entry.canonical(entry.read(body)) == body


@settings(deadline=None, max_examples=50)
@given(events())
def test_the_body_is_json_with_sorted_keys_no_blanks_and_no_empty_fields(event: Entry) -> None:
    body = json.loads(entry.canonical(event))
    assert list(body) == sorted(body)
    assert None not in body.values()
    assert body["format"] == 1


def test_an_entry_is_written_exactly_so() -> None:
    event = simple(details={"b": 1, "a": "ä"}, reasons={"value.format": 2})
    assert entry.canonical(event).decode() == (
        '{"actor":{"id":"exchange","role":"hub"},"details":{"a":"ä","b":1},"format":1,"kind":"alarm",'
        '"nonce":"00000000000000000000000000000000","reason":"test","reasons":{"value.format":2},'
        '"time":"2025-03-04T12:00:00.000005Z"}'
    )


def test_each_entry_has_a_nonce_of_128_bits_of_its_own() -> None:
    nonces = {Entry(kind="alarm", time=NOON, actor=HUB, reason="test").nonce for _ in range(100)}
    assert len(nonces) == 100
    assert {len(bytes.fromhex(nonce)) for nonce in nonces} == {16}


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "gossip"},
        {"subject": "somebody"},
        {"time": datetime(2025, 3, 4, 12)},  # noqa: DTZ001 -- the naive time is the case
        {"time": NOON.astimezone(timezone(timedelta(hours=1)))},
        {"time": "2025-03-04T12:00:00Z"},
        {"nonce": "0" * 31},
        {"nonce": "G" * 32},
        {"nonce": "0" * 32 + "\n"},
        {"counts": {"delivered": -1}},
        {"counts": {"delivered": 2**53}},
        {"counts": {"delivered": 1.5}},
        {"counts": {"delivered": True}},
        {"counts": {"Delivered": 1}},
        {"reasons": {"value.format\n": 1}},
        {"details": {"a": 1.5}},
        {"details": {"a": None}},
        {"details": {"a": {"b": 1}}},
        {"details": {"a": "two\nlines"}},
        {"reason": ""},
        {"reason": "x" * 501},
        {"columns": "name"},
        {"attempt": 0},
        {"agreement_digest": DIGEST.upper()},
        {"format": 2},
    ],
)
def test_what_the_catalogue_does_not_know_is_no_entry(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        simple(**fields)


def test_an_entry_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        simple().kind = "key"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in entry.REQUIRED.items() for name in names]
)
def test_a_kind_without_what_gives_it_meaning_is_no_entry(kind: Kind, name: str) -> None:
    full: dict[str, Any] = {
        "submission": "S-1",
        "agreement": "E3",
        "agreement_version": "1.0.0",
        "agreement_digest": DIGEST,
        "sender": "kvhs",
        "recipient": "jobcenter",
        "purpose": "https://w3id.org/dpv#ServiceProvision",
        "legal_basis": "consent",
        "counts": {"delivered": 3},
        "columns": ("a",),
        "parcel": Parcel(name="p", sha256=DIGEST, bytes=1),
        "attempt": 1,
        "receipt": ReceiptDigest(kind="received", sha256=DIGEST),
        "details": {"a": 1},
        "commitment": Commitment(scheme="rows-sha256-v1", root=DIGEST, rows=1) if kind == "intent" else None,
    }
    assert simple(kind=kind, **full).kind == kind
    with pytest.raises(ValidationError, match=f"needs {name}"):
        simple(kind=kind, **full | {name: None})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("commitment", Commitment(scheme="rows-sha256-v1", root=DIGEST, rows=1)),
        ("consent_policy_digest", DIGEST),
        ("disclosure", {"k": 5}),
        ("span", Span(first=0, last=0)),
    ],
)
def test_what_belongs_to_one_kind_stands_in_no_other(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=f"has no {name}"):
        simple(**{name: value})


@pytest.mark.parametrize("fields", [{"first": 2, "last": 1}, {"first": -1, "last": 1}, {"first": 1}])
def test_a_span_runs_forward(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Span(**fields)


def test_a_commitment_is_over_some_rows_and_of_the_known_scheme() -> None:
    for other in ({"rows": 0}, {"scheme": "rows-md5"}, {"root": "ab"}):
        fields: dict[str, Any] = {"scheme": "rows-sha256-v1", "root": DIGEST, "rows": 1}
        with pytest.raises(ValidationError):
            Commitment(**fields | other)


def test_an_intent_under_consent_names_the_consent_policy() -> None:
    full = {
        "submission": "S-1",
        "agreement": "E3",
        "agreement_version": "1.0.0",
        "agreement_digest": DIGEST,
        "sender": "kvhs",
        "recipient": "jobcenter",
        "purpose": "https://w3id.org/dpv#ServiceProvision",
        "legal_basis": "consent: language-progress@1",
        "counts": {"delivered": 3},
        "columns": ("a",),
        "parcel": Parcel(name="p", sha256=DIGEST, bytes=1),
        "attempt": 1,
        "commitment": Commitment(scheme="rows-sha256-v1", root=DIGEST, rows=3),
    }
    assert simple(kind="intent", **full, consent_policy_digest=DIGEST).kind == "intent"
    with pytest.raises(ValidationError, match="consent_policy_digest"):
        simple(kind="intent", **full)
    assert simple(kind="intent", **full | {"legal_basis": "statute: IntV §8(3)"}).kind == "intent"


def test_a_pseudonym_has_no_place_in_the_log() -> None:
    pseudonym = "P1" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 2 + "22"
    for fields in ({"details": {"row": f"of {pseudonym}"}}, {"reason": pseudonym}, {"columns": (pseudonym,)}):
        with pytest.raises(Corrupt) as caught:
            entry.canonical(simple(**fields))
        assert caught.value.code == "ledger.subject"
        assert pseudonym not in str(caught.value)


def test_an_entry_longer_than_a_tile_holds_is_refused() -> None:
    fitting = simple(columns=("x" * 400,) * 100)
    assert len(entry.canonical(fitting)) < entry.MOST_BYTES
    with pytest.raises(Corrupt) as caught:
        entry.canonical(simple(columns=("x" * 400,) * 200))
    assert caught.value.code == "ledger.entry_size"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body[:0],
        lambda body: b"[" + body + b"]",
        lambda body: body + b"\n",
        lambda body: body.replace(b",", b", "),
        lambda body: body.replace(b'"format":1,', b""),
        lambda body: body.replace(b"alarm", b"gossip"),
        lambda body: body[:-1] + b',"x":1}',
        lambda body: body.replace(b"000005Z", b"000005+00:00"),
        lambda body: body.replace(b'{"actor"', b'{"format":1,"actor"'),
        lambda body: b"\xff" + body,
    ],
)
def test_other_bytes_than_the_canonical_ones_are_not_read(spoil: Any) -> None:
    with pytest.raises(Corrupt) as caught:
        entry.read(spoil(entry.canonical(simple())))
    assert caught.value.code == "ledger.entry"
    assert caught.value.__cause__ is None


def test_an_error_over_an_entry_does_not_repeat_what_was_given() -> None:
    with pytest.raises(ValidationError) as caught:
        simple(details={"a": "CANARY\n"})
    assert "CANARY" not in str(caught.value)
