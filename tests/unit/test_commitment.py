"""The commitment to rows: held against a naive tree, against RFC 8785, and against whoever guesses."""

import json
import secrets
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import polars as pl
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.ledger import commitment, tree
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint
from hub.ledger.entry import Actor, Entry, Parcel, canonical
from hub.ledger.evidence import Unsound
from hub.ledger.proof import Proof
from hub.ledger.row_proof import check

SEED = bytes(range(32))
ORIGIN = "hub.example/log"
SIGNER = Ed25519PrivateKey.generate()
DIGEST = "ab" * 32

cells = st.text(st.characters(codec="utf-8"), max_size=12)
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=20)
)


def frame(rows: list[list[str]]) -> pl.DataFrame:
    schema = {f"c{place}": pl.String for place in range(len(rows[0]))}
    return pl.DataFrame(rows, schema=schema, orient="row")


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, word by word."""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while 2 * middle < len(leaves):
        middle *= 2
    return sha256(b"\x01" + naive_root(leaves[:middle]) + naive_root(leaves[middle:])).digest()


def naive_leaf(seed: bytes, index: int, row: list[str]) -> bytes:
    """One block of AES in counter mode is AES of the counter itself (NIST SP 800-38A, 6.5)."""
    block = Cipher(algorithms.AES256(seed), modes.ECB()).encryptor()  # noqa: S305 -- one block of the counter
    salt = block.update(index.to_bytes(16, "big"))
    return sha256(b"\x00" + salt + rfc8785.dumps(row)).digest()


def committed(rows: list[list[str]], seed: bytes = SEED, batch: int = 7) -> commitment.Rows:
    taken, whole = commitment.Rows(seed), frame(rows)
    for first in range(0, whole.height, batch):
        taken.add(whole[first : first + batch])
    return taken


def proof_file(rows: list[list[str]], index: int, **changed: Any) -> dict[str, Any]:
    """A proof file as the hub writes it, of a log that holds three entries, the intent in the middle."""
    intent = Entry(
        kind="intent",
        time=datetime(2026, 11, 22, tzinfo=UTC),
        actor=Actor(role="hub", id="exchange"),
        submission="S-1",
        agreement="E2",
        agreement_version="1.0.0",
        agreement_digest=DIGEST,
        sender="a",
        recipient="b",
        purpose="p",
        legal_basis="statute: IntV §8(3)",
        counts={"delivered": len(rows)},
        columns=tuple(f"c{place}" for place in range(len(rows[0]))),
        parcel=Parcel(name="p", sha256=DIGEST, bytes=1),
        attempt=1,
        commitment=committed(rows).commitment(),
    )
    leaves = [tree.leaf_hash(body) for body in (b"one", canonical(intent), b"three")]
    nodes = {(0, place): leaf for place, leaf in enumerate(leaves)} | {(1, 0): tree.node_hash(*leaves[:2])}
    look_up = lambda level, place: nodes[level, place]  # noqa: E731
    note = sign_checkpoint(Checkpoint(ORIGIN, 3, tree.root(3, look_up)), SIGNER)
    made = commitment.prove(SEED, commitment.row_texts(frame(rows)), index)
    return {
        "format": 1,
        "entry": canonical(intent).decode(),
        "proof": Proof(1, tuple(tree.inclusion_proof(1, 3, look_up)), note).text,
        "scheme": commitment.SCHEME,
        "index": made.index,
        "rows": made.rows,
        "salt": made.salt.hex(),
        "row": made.row.decode(),
        "path": [sibling.hex() for sibling in made.path],
    } | changed


def flaw(file: dict[str, Any] | str) -> str:
    with pytest.raises(Unsound) as caught:
        check(file if isinstance(file, str) else json.dumps(file), ORIGIN, SIGNER.public_key())
    return caught.value.flaw


@settings(deadline=None, max_examples=60)
@given(tables)
def test_a_row_is_written_as_canonical_json_whatever_it_holds(rows: list[list[str]]) -> None:
    assert commitment.row_texts(frame(rows)) == [rfc8785.dumps(row) for row in rows]


def test_a_cell_without_text_is_an_empty_one() -> None:
    given = pl.DataFrame({"a": ["x", None], "b": ["", None]}, schema={"a": pl.String, "b": pl.String})
    assert commitment.row_texts(given) == [b'["x",""]', b'["",""]']
    assert commitment.row_texts(given.clear()) == []


@settings(deadline=None, max_examples=60)
@given(tables, st.binary(min_size=32, max_size=32), st.integers(1, 9))
def test_the_root_is_that_of_a_naive_tree_however_the_rows_arrive(
    rows: list[list[str]], seed: bytes, batch: int
) -> None:
    said = committed(rows, seed, batch).commitment()
    leaves = [naive_leaf(seed, place, row) for place, row in enumerate(rows)]
    assert (said.scheme, said.rows) == ("rows-sha256-v1", len(rows))
    assert said.root == naive_root(leaves).hex()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 64, 65, 100])
def test_every_row_is_proved_by_the_verifiers_own_code(size: int) -> None:
    rows = [[f"{place}", "x"] for place in range(size)]
    for index in range(size):
        shown = check(json.dumps(proof_file(rows, index)), ORIGIN, SIGNER.public_key())
        assert (shown.place, shown.rows, shown.cells) == (index + 1, size, (f"{index}", "x"))
        assert shown.entry["submission"] == "S-1"
        assert shown.proved.index == 1


ROWS = [[f"{place}", f"text {place}"] for place in range(11)]


@pytest.mark.parametrize("index", [0, 3, 8, 10])
def test_nothing_of_a_rows_proof_can_be_changed(index: int) -> None:
    whole, other = proof_file(ROWS, index), proof_file(ROWS, (index + 5) % 11)
    again = proof_file([*ROWS[:index], ["9", "other"], *ROWS[index + 1 :]], index)
    assert flaw(whole | {"salt": other["salt"]}) == "row"
    assert flaw(whole | {"row": other["row"]}) == "row"
    assert flaw(whole | {"row": whole["row"].replace("text", "Text")}) == "row"
    assert flaw(whole | {"path": other["path"]}) == "row"
    assert flaw(whole | {"path": whole["path"][::-1]}) == "row"
    assert flaw(whole | {"path": whole["path"][:-1]}) == "row"
    assert flaw(whole | {"path": [*whole["path"], DIGEST]}) == "row"
    assert flaw(whole | {"index": other["index"]}) == "row"
    assert flaw(whole | {"rows": 10 if index < 10 else 12}) == "row"
    assert flaw(whole | {name: again[name] for name in ("salt", "row", "path")}) == "row"
    assert flaw(whole | {"entry": again["entry"]}) == "path"
    assert flaw(whole | {"entry": again["entry"], "proof": again["proof"]}) == "row"


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"scheme": "rows-md5"},
        {"index": True},
        {"index": -1},
        {"index": 11},
        {"rows": 11.0},
        {"rows": 2**60},
        {"salt": "AB" * 16},
        {"salt": 5},
        {"row": ["9", "text 9"]},
        {"row": "\ud800"},
        {"path": "ab"},
        {"path": ["ab"]},
        {"entry": 5},
        {"proof": None},
        {"proof": "c2sp.org/tlog-proof@v1\n"},
    ],
)
def test_what_is_no_proof_file_proves_nothing(change: dict[str, Any]) -> None:
    assert flaw(proof_file(ROWS, 9) | change) == "malformed"


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', "[" * 100_000])
def test_what_is_no_json_object_proves_nothing(text: str) -> None:
    assert flaw(text) == "malformed"


def test_a_proof_under_another_key_is_none() -> None:
    with pytest.raises(Unsound, match="signature"):
        check(json.dumps(proof_file(ROWS, 1)), ORIGIN, Ed25519PrivateKey.generate().public_key())


def test_an_entry_is_proved_without_any_row_and_goes_on_being_so_once_the_salts_are_gone() -> None:
    file = proof_file(ROWS, 1)
    of_entry = {name: file[name] for name in ("format", "entry", "proof")}
    shown = check(json.dumps(of_entry), ORIGIN, SIGNER.public_key())
    assert (shown.place, shown.cells, shown.entry["commitment"]["rows"]) == (None, None, 11)


def test_who_guesses_a_whole_row_learns_nothing_without_its_salt() -> None:
    """The same rows under two seeds have nothing in common, and no leaf is the hash of a row alone."""
    texts = commitment.row_texts(frame(ROWS))
    one, two = (committed(ROWS, secrets.token_bytes(32)).commitment().root for _ in range(2))
    assert one != two
    bare = {sha256(b"\x00" + text).digest() for text in texts}
    proof = commitment.prove(SEED, texts, 4)
    assert not bare & {*proof.path, naive_leaf(SEED, 4, ROWS[4])}
    assert len({commitment.salt(SEED, index) for index in range(1000)}) == 1000


def test_a_commitment_in_hand_shows_nothing_of_its_seed() -> None:
    taken = committed(ROWS)
    assert taken.seed.hex() not in repr(taken)
    assert str(taken.seed) not in repr(taken)
    assert commitment.Rows().seed != commitment.Rows().seed
