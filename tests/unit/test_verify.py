"""The verifier against a log that its writers made, spoiled in every way that matters."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.ledger import tree
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint, sign_note
from hub.ledger.entry import Actor, Entry, canonical
from hub.ledger.findings import MOST_OF_A_KIND, SENTENCES, Findings
from hub.ledger.replay import Node, Row
from hub.ledger.verify import Note, verify
from hub.receipts import Place, issue

ORIGIN = "hub.example/log"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
THIEF = Ed25519PrivateKey.from_private_bytes(bytes(32))
RECEIPTS = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
NOON = datetime(2025, 3, 4, 12, tzinfo=UTC)


@dataclass
class Log:
    """A whole log in memory, as the tables hold it."""

    rows: list[Row] = field(default_factory=list)
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def append(
        self, bodies: list[tuple[bytes, str, str | None]], signer: Ed25519PrivateKey = SIGNER
    ) -> "Log":
        first = len(self.rows)
        leaves = [tree.leaf_hash(body) for body, _, _ in bodies]
        for level, at, hashes in tree.grow(first, b"".join(leaves), self.node):
            for offset in range(len(hashes) // 32 if level else 0):
                self.nodes[level, at + offset] = hashes[offset * 32 : offset * 32 + 32]
        for offset, (body, kind, submission) in enumerate(bodies):
            self.rows.append((first + offset, body, leaves[offset], kind, submission))
        self.sign(signer)
        return self

    def node(self, level: int, index: int) -> bytes:
        return self.nodes[level, index] if level else self.rows[index][2]

    def sign(self, signer: Ed25519PrivateKey = SIGNER) -> None:
        size = len(self.rows)
        root = tree.root(size, self.node)
        self.notes.append((size, root, sign_checkpoint(Checkpoint(ORIGIN, size, root), signer)))

    def in_order(self) -> list[Node]:
        placed = sorted(self.nodes.items(), key=lambda item: ((item[0][1] + 1) << item[0][0], item[0][0]))
        return [(level, index, node) for (level, index), node in placed]

    def findings(self, **evidence: Any) -> Findings:
        return verify(
            iter(self.rows),
            iter(self.in_order()),
            iter(self.notes),
            log_key=SIGNER.public_key(),
            receipt_key=evidence.pop("receipt_key", RECEIPTS.public_key()),
            origin=ORIGIN,
            **evidence,
        )

    def rewrite(self, index: int, body: bytes) -> None:
        """Replace an entry with leaf hash and search columns, as a careful forger would."""
        told = json.loads(body)
        self.rows[index] = (index, body, tree.leaf_hash(body), told["kind"], told["submission"])


def event(number: int) -> tuple[bytes, str, str | None]:
    made = Entry(
        kind="submission",
        time=NOON,
        nonce=f"{number:032x}",
        actor=Actor(role="hub", id="exchange"),
        submission=f"S-{number}",
    )
    return canonical(made), made.kind, made.submission


def log_of(size: int, batch: int = 1) -> Log:
    log = Log()
    for first in range(0, size, batch):
        log.append([event(number) for number in range(first, min(first + batch, size))])
    return log


def receipt(of: Log, index: int, note: str | None = None, **changes: Any) -> str:
    facts: dict[str, Any] = {
        "submission": f"S-{index}",
        "log": changes.get("log") or Place(index, of.rows[index][2].hex(), note or of.notes[-1][2]),
    }
    return issue(
        RECEIPTS,
        "receipt-1",
        kind="received",
        issuer="hub.example",
        audience="kvhs",
        agreement_id="E3",
        agreement_version="1.0.0",
        sha256="ab" * 32,
        counts=dict.fromkeys(
            ("received", "delivered", "already_delivered", "refused", "withheld", "quarantined"), 0
        ),
        reasons={},
        issued_at=NOON,
        **(facts | changes),
    )


def codes(found: Findings) -> list[str]:
    return [finding.code for finding in found.findings]


def places(found: Findings, code: str) -> list[str]:
    return [finding.place for finding in found.findings if finding.code == code]


@settings(deadline=None, max_examples=35)
@given(st.integers(0, 70), st.integers(1, 9))
def test_an_untouched_log_raises_no_alarm(size: int, batch: int) -> None:
    log = log_of(size, batch)
    kept = [note for _, _, note in log.notes[::3]]
    found = log.findings(kept=kept, receipts=[receipt(log, index) for index in range(0, size, 7)])
    assert (found.ok, found.size, found.findings) == (True, size, ())
    assert found.root == tree.root(size, log.node).hex()


@settings(deadline=None, max_examples=35)
@given(st.data())
def test_any_flipped_bit_of_a_body_is_named_by_its_index(data: st.DataObject) -> None:
    log = log_of(11, 3)
    index = data.draw(st.integers(0, 10))
    body = bytearray(log.rows[index][1] or b"")
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    log.rows[index] = (index, bytes(body), *log.rows[index][2:])
    found = log.findings()
    assert not found.ok
    assert places(found, "entry.hash") == [str(index)]
    assert set(codes(found)) <= {"entry.hash", "entry.canonical", "entry.column"}


@settings(deadline=None, max_examples=35)
@given(st.integers(1, 40), st.integers(1, 5), st.data())
def test_an_entry_rewritten_with_its_leaf_hash_is_narrowed_down(
    size: int, batch: int, data: st.DataObject
) -> None:
    log = log_of(size, batch)
    index = data.draw(st.integers(0, size - 1))
    log.rewrite(index, event(999)[0])
    found = log.findings()
    assert not found.ok
    (root,) = places(found, "checkpoint.root")
    first, _, last = root.partition("-")
    assert int(first) <= index <= int(last or first)
    for node in places(found, "node.hash"):
        assert node == f"{index & ~1}-{index | 1}"


@settings(deadline=None, max_examples=35)
@given(st.integers(2, 40), st.data())
def test_a_deleted_row_is_named_and_the_rest_is_still_proved(size: int, data: st.DataObject) -> None:
    log = log_of(size, 4)
    index = data.draw(st.integers(0, size - 2))
    del log.rows[index]
    found = log.findings()
    assert places(found, "entry.missing") == [str(index)]
    assert set(codes(found)) == {"entry.missing"}
    assert found.size == size


def test_many_deleted_rows_are_one_finding_with_their_span() -> None:
    log = log_of(40, 4)
    del log.rows[5:33]
    found = log.findings()
    assert [(f.code, f.place) for f in found.findings] == [("entry.missing", "5-32")]


def test_a_deleted_row_hides_no_second_forgery() -> None:
    log = log_of(40, 4)
    log.rewrite(30, event(999)[0])
    del log.rows[5]
    found = log.findings()
    assert {"entry.missing", "node.hash", "checkpoint.root"} <= set(codes(found))
    assert places(found, "node.hash") == ["30-31"]


def test_a_deleted_row_with_the_node_over_it_leaves_the_root_unknown_not_wrong() -> None:
    log = log_of(16, 4)
    del log.rows[5]
    del log.nodes[1, 2]
    del log.nodes[2, 1]
    del log.nodes[3, 0]
    del log.nodes[4, 0]
    found = log.findings()
    assert (set(codes(found)), found.root) == ({"entry.missing"}, "")


@settings(deadline=None, max_examples=35)
@given(st.integers(3, 30), st.integers(1, 6), st.data())
def test_two_swapped_rows_are_found(size: int, batch: int, data: st.DataObject) -> None:
    log = log_of(size, batch)
    one, two = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True))
    first, second = log.rows[one], log.rows[two]
    log.rows[one], log.rows[two] = (one, *second[1:]), (two, *first[1:])
    found = log.findings()
    assert not found.ok
    (root,) = places(found, "checkpoint.root")
    begin, _, end = root.partition("-")
    assert int(begin) <= min(one, two) <= int(end or begin)


def test_rows_read_in_another_order_or_twice_are_found() -> None:
    log = log_of(6)
    log.rows[2], log.rows[3] = log.rows[3], log.rows[2]
    assert {"entry.missing", "entry.order"} <= set(codes(log.findings()))
    twice = log_of(6)
    twice.rows.insert(3, twice.rows[2])
    found = twice.findings()
    assert [(f.code, f.place) for f in found.findings] == [("entry.order", "2")]


def test_a_row_with_an_index_beyond_all_reason_is_a_gap_not_an_endless_loop() -> None:
    log = log_of(3)
    log.rows.append((2**62, *log.rows[2][1:]))
    assert places(log.findings(), "entry.missing") == [f"3-{2**62 - 1}"]


@pytest.mark.parametrize("spoil", [lambda b: b.replace(b",", b", "), lambda _: b"[1]", lambda _: b"\xff"])
def test_a_body_that_is_not_canonical_json_is_found_though_all_hashes_fit(
    spoil: Callable[[bytes], bytes],
) -> None:
    log = Log().append([event(0), (spoil(event(1)[0]), "submission", "S-1")])
    assert [(f.code, f.place) for f in log.findings().findings] == [("entry.canonical", "1")]


def test_search_columns_that_differ_from_the_body_are_found() -> None:
    log = log_of(4)
    log.rows[1] = (*log.rows[1][:3], "alarm", "S-1")
    log.rows[2] = (*log.rows[2][:4], None)
    assert places(log.findings(), "entry.column") == ["1", "2"]


@settings(deadline=None, max_examples=35)
@given(st.integers(2, 40), st.data())
def test_a_wrong_missing_or_needless_node_is_found(size: int, data: st.DataObject) -> None:
    log = log_of(size, 3)
    level, index = data.draw(st.sampled_from(sorted(log.nodes)))
    below = f"{index << level}-{((index + 1) << level) - 1}"
    wrong = Log(log.rows, log.nodes | {(level, index): bytes(32)}, log.notes)
    assert [(f.code, f.place) for f in wrong.findings().findings] == [("node.hash", below)]
    less = Log(log.rows, {place: n for place, n in log.nodes.items() if place != (level, index)}, log.notes)
    assert [(f.code, f.place) for f in less.findings().findings] == [("node.missing", below)]
    more = Log(log.rows, log.nodes | {(level, size + 7): bytes(32)}, log.notes)
    assert [(f.code, f.place) for f in more.findings().findings] == [
        ("node.unexpected", f"{level}/{size + 7}")
    ]


def test_a_node_that_comes_twice_is_found() -> None:
    log = log_of(4)
    nodes = log.in_order()
    found = verify(log.rows, [nodes[0], *nodes], log.notes, log_key=SIGNER.public_key(), origin=ORIGIN)
    assert [(f.code, f.place) for f in found.findings] == [("node.unexpected", "1/0")]


@pytest.mark.parametrize("place", [(0, 1), (-1, 1), (63, 0), (1, -1)])
def test_a_node_of_an_impossible_place_is_found(place: tuple[int, int]) -> None:
    log = log_of(4)
    nodes = [*log.in_order(), (*place, bytes(32))]
    found = verify(log.rows, nodes, log.notes, log_key=SIGNER.public_key(), origin=ORIGIN)
    assert [(f.code, f.place) for f in found.findings] == [("node.unexpected", f"{place[0]}/{place[1]}")]


def test_a_cut_tail_is_found_by_the_newest_checkpoint_that_was_left() -> None:
    log = log_of(10, 2)
    del log.rows[7:]
    for place in [place for place in log.nodes if (place[1] + 1) << place[0] > 7]:
        del log.nodes[place]
    assert [(f.code, f.place) for f in log.findings().findings] == [("log.cut", "7-9")]


def test_a_log_cut_with_its_checkpoints_is_found_only_by_what_was_kept() -> None:
    log, cut = log_of(10, 2), log_of(6, 2)
    assert cut.findings().ok
    for evidence in ({"kept": [log.notes[-1][2]]}, {"receipts": [receipt(log, 3)]}):
        assert [(f.code, f.place) for f in cut.findings(**evidence).findings] == [("log.cut", "6-9")]
    missing = cut.findings(receipts=[receipt(log, 8)])
    assert codes(missing) == ["log.cut", "receipt.missing"]


def test_a_log_gone_entirely_is_found_by_a_kept_checkpoint() -> None:
    assert Log().findings().ok
    found = Log().findings(kept=[log_of(3).notes[-1][2]])
    assert [(f.code, f.place) for f in found.findings] == [("log.cut", "0-2")]


def test_a_log_rewritten_and_signed_again_is_a_fork_from_what_was_kept() -> None:
    log, other = log_of(10, 2), log_of(4, 2)
    for first in range(4, 12, 2):
        other.append([event(100 + first), event(101 + first)])
    assert other.findings().ok
    kept = [log.notes[1][2], log.notes[3][2]]
    found = other.findings(kept=kept)
    assert [(f.code, f.place) for f in found.findings] == [("log.forked", "kept checkpoint 2, size 8")]
    assert "mitgebrachter Prüfpunkt 2, Größe 8" in found.findings[0].de
    by_receipt = other.findings(receipts=[receipt(log, 6)])
    assert codes(by_receipt) == ["log.forked", "receipt.leaf"] or codes(by_receipt) == [
        "receipt.leaf",
        "log.forked",
    ]


def test_entries_after_the_newest_checkpoint_are_found() -> None:
    log = log_of(10, 2)
    del log.notes[3:]
    assert [(f.code, f.place) for f in log.findings().findings] == [("log.unsigned", "6-9")]
    log.notes.clear()
    assert [(f.code, f.place) for f in log.findings().findings] == [("log.unsigned", "0-9")]


def test_a_log_signed_again_with_another_key_is_found() -> None:
    log = Log()
    for number in range(3):
        log.append([event(number)], THIEF)
    found = log.findings()
    assert places(found, "checkpoint.signature") == ["1", "2", "3"]
    assert places(found, "log.unsigned") == ["0-2"]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda note: note.replace("\n6\n", "\n7\n"), "checkpoint.signature"),
        (lambda note: note.replace("—", "-"), "checkpoint.signature"),
        (lambda note: note.replace("\n\n", "\n"), "checkpoint.malformed"),
        (lambda _: "", "checkpoint.malformed"),
        (lambda _: "\udcff\n\n", "checkpoint.malformed"),
        (lambda note: note.rstrip("\n"), "checkpoint.malformed"),
        (lambda note: note[:-4] + "!!!\n", "checkpoint.malformed"),
        (lambda _: sign_note("other.example/log\n6\nAAAA\n", ORIGIN, SIGNER), "checkpoint.malformed"),
        (lambda _: sign_note(f"{ORIGIN}\n06\nAAAA\n", ORIGIN, SIGNER), "checkpoint.malformed"),
        (lambda _: sign_note(f"{ORIGIN}\n6\nAAAA\n", ORIGIN, SIGNER), "checkpoint.malformed"),
        (lambda _: sign_note(f"{ORIGIN}\n", ORIGIN, SIGNER), "checkpoint.malformed"),
    ],
)
def test_a_spoiled_checkpoint_is_found(spoil: Callable[[str], str], code: str) -> None:
    log = log_of(10, 2)
    size, root, note = log.notes[2]
    log.notes[2] = (size, root, spoil(note))
    assert [(f.code, f.place) for f in log.findings().findings] == [(code, "6")]


def test_a_rightly_signed_checkpoint_over_another_tree_is_found_at_its_size_alone() -> None:
    log, other = log_of(10, 2), log_of(2, 2)
    other.append([event(50), event(51)])
    log.notes[1] = other.notes[1]
    assert [(f.code, f.place) for f in log.findings().findings] == [("checkpoint.root", "2-3")]


def test_columns_that_differ_from_the_signed_checkpoint_are_found() -> None:
    log = log_of(10, 2)
    log.notes[1] = (4, bytes(32), log.notes[1][2])
    log.notes[2] = (5, *log.notes[2][1:])
    assert [(f.code, f.place) for f in log.findings().findings] == [
        ("checkpoint.columns", "4"),
        ("checkpoint.columns", "5"),
    ]


def test_when_one_entry_was_changed_later_checkpoints_are_told_in_one_sentence() -> None:
    log = log_of(300)
    log.rewrite(6, event(999)[0])
    found = log.findings()
    assert [(f.code, f.place) for f in found.findings] == [
        ("checkpoint.root", "6"),
        ("node.hash", "6-7"),
        ("checkpoint.later", "8-300"),
    ]


def test_a_kept_checkpoint_that_proves_nothing_is_told() -> None:
    log = log_of(4)
    foreign = sign_checkpoint(Checkpoint(ORIGIN, 4, log.notes[-1][1]), THIEF)
    elsewhere = sign_checkpoint(Checkpoint("other.example/log", 4, log.notes[-1][1]), SIGNER)
    found = log.findings(kept=[log.notes[0][2], "nonsense", foreign, elsewhere])
    assert [(f.code, f.place) for f in found.findings] == [
        ("kept.malformed", "2"),
        ("kept.signature", "3"),
        ("kept.signature", "4"),
    ]


def test_an_extension_line_and_a_witness_s_signature_leave_a_checkpoint_valid() -> None:
    log = log_of(4)
    witnessed = log.notes[-1][2] + "— witness.example/w " + "A" * 96 + "\n"
    extended = sign_checkpoint(Checkpoint(ORIGIN, 4, log.notes[-1][1], ("extension",)), SIGNER)
    assert log.findings(kept=[witnessed, extended]).ok


@pytest.mark.parametrize(
    ("index", "change", "code"),
    [
        (2, {"log": Place(2, "cd" * 32, "")}, "receipt.leaf"),
        (2, {"submission": "S-3"}, "receipt.submission"),
        (2, {"log": Place(77, "cd" * 32, "")}, "receipt.missing"),
    ],
)
def test_a_receipt_that_the_log_does_not_bear_out_is_found(
    index: int, change: dict[str, Any], code: str
) -> None:
    log = log_of(5)
    note = log.notes[-1][2]
    if "log" in change:
        change = {"log": replace(change["log"], checkpoint=note)}
    found = log.findings(receipts=[receipt(log, 1), receipt(log, index, **change)])
    assert (code, "2") in [(f.code, f.place) for f in found.findings]
    assert {f.place for f in found.findings} == {"2"}


def test_a_receipt_whose_checkpoint_does_not_cover_its_entry_is_found() -> None:
    log = log_of(5)
    for note in (log.notes[1][2], "nonsense"):
        assert codes(log.findings(receipts=[receipt(log, 3, note)])) == ["receipt.checkpoint"]


def forged(header: dict[str, Any], claims: Any, signer: Ed25519PrivateKey = RECEIPTS) -> str:
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = signer.sign(b".".join(parts))
    return b".".join([*parts, urlsafe_b64encode(signature).rstrip(b"=")]).decode()


HEADER = {"alg": "EdDSA", "typ": "secevent+jwt", "kid": "receipt-1"}


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", "receipt.malformed"),
        ("a.b", "receipt.malformed"),
        ("a.b.c", "receipt.malformed"),
        ("e30.bm90.c2ln", "receipt.malformed"),
        ("ä.b.c", "receipt.malformed"),
        (forged(HEADER, []), "receipt.malformed"),
        (forged(HEADER, {}), "receipt.malformed"),
        (forged(HEADER, {"events": {"urn:x": {}}}), "receipt.malformed"),
        (forged(HEADER, {"events": {"urn:landkreis-peine:hub:receipt:x": {"log": 1}}}), "receipt.malformed"),
        (forged(HEADER, {"events": {"urn:landkreis-peine:hub:receipt:x": {"log": {}}}}), "receipt.malformed"),
        (forged(HEADER | {"typ": "JWT"}, {}), "receipt.malformed"),
        (forged(HEADER | {"alg": "none"}, {}), "receipt.malformed"),
        (forged(HEADER | {"crit": ["x"]}, {}), "receipt.malformed"),
        (forged(HEADER, {}, THIEF), "receipt.signature"),
    ],
)
def test_a_token_that_is_no_receipt_of_ours_is_told(token: str, code: str) -> None:
    found = log_of(3).findings(receipts=[token])
    assert [(f.code, f.place) for f in found.findings] == [(code, "1")]


def test_without_the_key_of_receipts_a_receipt_proves_nothing() -> None:
    log = log_of(3)
    assert codes(log.findings(receipts=[receipt(log, 1)], receipt_key=None)) == ["receipt.signature"]


def test_a_million_broken_entries_stay_readable() -> None:
    log = log_of(200, 200)
    log.rows = [(index, b"{}", leaf, kind, sub) for index, _, leaf, kind, sub in log.rows]
    found = log.findings()
    assert len(places(found, "entry.hash")) == MOST_OF_A_KIND + 1
    assert places(found, "entry.hash")[-1] == "+150"


def test_findings_speak_german_and_english_and_repeat_no_value() -> None:
    log = log_of(5)
    body = rfc8785.dumps({"kind": "submission", "submission": "CANARY"})
    log.rewrite(2, body)
    found = log.findings(kept=["CANARY"], receipts=["CANARY"])
    for finding in found.findings:
        assert finding.de != finding.en
        assert "CANARY" not in f"{finding}"
        assert finding.code in SENTENCES
