"""The kit's verifier, part by part: published vectors, and what its quick ways must not let through."""

import ast
import hashlib
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import get_args

import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.synthetic_log import entries
from hub.kit import table
from hub.kit.program import PARTS, build_program, sentences
from hub.kit.verifier.canonical import KINDS, NotCanonical, canonical_json, read_canonical
from hub.kit.verifier.checking import Brought, check
from hub.kit.verifier.ed25519 import is_signed
from hub.kit.verifier.members import tile_name
from hub.kit.verifier.notes import Malformed, read_checkpoint, read_note
from hub.kit.verifier.shapes import FOLLOWED, Reader, heading
from hub.kit.verifier.tree import EMPTY_ROOT, Tree, tiles_of
from hub.kit.verifier.trust import Trust, read_trust
from hub.kit.verifier.words import Findings
from hub.ledger import tree as writer
from hub.ledger.entry import Kind, canonical
from hub.ledger.findings import SENTENCES

# RFC 8032, section 7.1: public key, message, signature.
RFC_8032 = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
)
# The test tree of Certificate Transparency: eight leaves, and the roots of their beginnings.
CT_LEAVES = tuple(
    map(
        bytes.fromhex,
        ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"),
    )
)
CT_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_the_signatures_of_rfc_8032_verify_and_no_change_of_them_does(
    public: str, message: str, signature: str
) -> None:
    key, text, signed = (bytes.fromhex(part) for part in (public, message, signature))
    assert is_signed(key, signed, text)
    for at in range(0, 64, 7):
        flipped = signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
        assert not is_signed(key, flipped, text)
    assert not is_signed(key, signed, text + b"x")
    assert not is_signed(key[::-1], signed, text)


def test_a_signature_has_one_spelling_only() -> None:
    key, text, signed = (bytes.fromhex(part) for part in RFC_8032[1])
    scalar = int.from_bytes(signed[32:], "little")
    assert not is_signed(key, signed[:32] + (scalar + ORDER).to_bytes(32, "little"), text)
    assert not is_signed(key, signed + b"\0", text)
    assert not is_signed(key[:-1], signed, text)
    prime = 2**255 - 19
    for y in (prime, prime + 1, 2**255 - 1):
        assert not is_signed(y.to_bytes(32, "little"), signed, text)


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.integers(0, 511))
def test_signatures_are_judged_as_openssl_judges_them(seed: bytes, text: bytes, bit: int) -> None:
    signer = Ed25519PrivateKey.from_private_bytes(seed)
    public, signed = signer.public_key().public_bytes_raw(), signer.sign(text)
    assert is_signed(public, signed, text)
    spoiled = bytearray(signed)
    spoiled[bit // 8] ^= 1 << bit % 8
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(bytes(spoiled), text)
        expected = True
    except InvalidSignature:
        expected = False
    assert is_signed(public, bytes(spoiled), text) == expected


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=5), below, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_canonical_json_is_written_as_the_log_writes_it(value: object) -> None:
    assert canonical_json(value).encode() == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        '{"a":1,"a":1}', '{"b":1,"a":1}', '{"a": 1}', '{"a":1}\n', '{"a":1.5}', '{"a":1e3}', '{"a":-0}',
        '{"a":9007199254740992}', '{"a":NaN}', '{"a":"\\u0041"}', '{"a":"\\ud800"}', '{"a":"\\/"}',
        "[1]", "1", "", "{",
        '{"a":"\t"}', '{"a":01}', '{"\U0001f600":1,"\uff5e":1}'.replace("\U0001f600", "\uffee\uffee"),
        "[" * 100_000, '{"a":' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_what_is_spelled_otherwise_is_not_canonical(body: str) -> None:
    with pytest.raises(NotCanonical):
        read_canonical(body.encode())


def test_keys_are_sorted_as_rfc_8785_sorts_them() -> None:
    in_order = ["\r", "1", "\x80", "ö", "€", "😀", "דּ"]  # section 3.2.3
    assert list(read_canonical(rfc8785.dumps(dict.fromkeys(reversed(in_order), 0)))) == in_order


def test_every_entry_of_a_log_is_read_by_its_shape_as_in_full() -> None:
    quick = Reader()
    bodies = [canonical(entry) for entry in entries(400)]
    for index, body in enumerate(bodies + bodies):
        in_full, by_shape = (
            reader.read(index, body, is_plain=plain) for reader, plain in ((Reader(), False), (quick, True))
        )
        assert in_full is not None
        assert by_shape is not None
        kind, asked, row = in_full
        assert (kind, row) == (read_canonical(body)["kind"].encode(), table.lines([(index, body)]))
        assert (by_shape[0], by_shape[2]) == (kind, row)
        assert by_shape[1] == asked if kind in FOLLOWED else by_shape[1][0] == asked[0]
    assert table.heading() == heading()


BODY = canonical(next(entry for entry in entries(40) if entry.kind == "outcome"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"counts":{"already_delivered":', b'"counts":{"already_delivered":0'),
        (b'"format":1', b'"format":1.0'),
        (b'"format":1', b'"format":2'),
        (b'"kind":"outcome"', b'"kind":"outcame"'),
        (b'"kind":"outcome",', b'"kind":"outcome","kind":"outcome",'),
        (b'"time":"2025-', b'"time":"2025 '),
        (b'"nonce":"', b'"nonce":"G'),
        (b'"sender":"', b'"sender": "'),
        (b'"actor":{"id":"exchange","role":"hub"}', b'"actor":{"role":"hub","id":"exchange"}'),
        (b'"submission":"S', b'"submision":"S'),
        (b'"reasons":{"', b'"reasons":{"value.zzz":1,"'),
        (b'"delivered":', b'"delivered":-'),
        (b'"delivered":', b'"delivered":9'),
    ],
)
def test_the_quick_way_lets_nothing_through_that_the_full_way_stops(old: bytes, new: bytes) -> None:
    changed = BODY.replace(old, new, 1)
    assert changed != BODY

    def judged(reader: Reader, *, is_plain: bool) -> object:
        try:
            return reader.read(7, changed, is_plain=is_plain)
        except NotCanonical:
            return "not canonical"

    trained = Reader()
    for index, entry in enumerate(entries(300)):
        trained.read(index, canonical(entry), is_plain=True)
    assert judged(trained, is_plain=True) == judged(Reader(), is_plain=False)


def tree_of(leaves: list[bytes], claimed: bytes | None = None) -> Tree:
    """A tree over leaf hashes whose tiles are whole."""
    nodes = {(0, index): leaf for index, leaf in enumerate(leaves)}
    for layer in writer.grow(0, b"".join(leaves), lambda *place: nodes[place])[1:]:
        for at in range(len(layer.hashes) // 32):
            nodes[layer.level, layer.first + at] = layer.hashes[at * 32 : at * 32 + 32]

    def tile(level: int, number: int, width: int) -> bytes:
        return b"".join(nodes[level * 8, number * 256 + at] for at in range(width))

    return Tree(len(leaves), claimed, tile, Findings())


def test_the_tree_of_certificate_transparency_has_its_published_roots() -> None:
    leaves = [writer.leaf_hash(leaf) for leaf in CT_LEAVES]
    tree = tree_of(leaves)
    tree.take(0, list(leaves))
    assert [(tree.root_at(size) or b"").hex() for size in range(1, 9)] == list(CT_ROOTS)
    assert tree.root_at(0) == EMPTY_ROOT


def test_every_root_up_to_600_is_the_one_that_the_log_signs() -> None:
    leaves = [writer.leaf_hash(str(index).encode()) for index in range(600)]
    tree = tree_of(leaves)
    known = {(0, index): leaf for index, leaf in enumerate(leaves)}
    for layer in writer.grow(0, b"".join(leaves), lambda *place: known[place])[1:]:
        for at in range(len(layer.hashes) // 32):
            known[layer.level, layer.first + at] = layer.hashes[at * 32 : at * 32 + 32]
    for number in range(3):
        tree.take(number, list(leaves[number * 256 : (number + 1) * 256]))
        for size in range(number * 256, min(600, (number + 1) * 256) + 1):
            assert tree.root_at(size) == writer.root(size, lambda *place: known[place])


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ((0, 0, 256), "tile/0/000"),
        ((1, 1234067, 256), "tile/1/x001/x234/067"),
        ((0, 273, 112), "tile/0/273.p/112"),
    ],
)
def test_tiles_are_named_as_tlog_tiles_has_it(place: tuple[int, int, int], name: str) -> None:
    assert tile_name(*place) == name


def test_a_tree_of_70_000_needs_these_tiles() -> None:
    tiles = list(tiles_of(70_000))
    assert len(tiles) == 274 + 2 + 1
    assert tiles[-1] == (2, 0, 1)
    assert (0, 273, 112) in tiles


EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nT"
    "o+zyWE+xeMcTOAYQ8=\n"
)


def test_the_example_of_tlog_checkpoint_is_read() -> None:
    note = read_note(EXAMPLE)
    promise = read_checkpoint(note.text)
    assert (promise.origin, promise.size) == ("example.com/behind-the-sofa", 20852163)
    assert note.signatures[0][0] == "example.com/behind-the-sofa"


@pytest.mark.parametrize(
    "text",
    [
        "", "\n\n", EXAMPLE[:-1], EXAMPLE.replace("— ",
        "- "), EXAMPLE.replace("\n\n", "\n"), EXAMPLE + "\r\n",
        EXAMPLE.replace("20852163", "020852163"), EXAMPLE.replace("20852163",
        "0"), EXAMPLE.replace("q2I=", "q2J="),
        EXAMPLE.replace("20852163", "²"), EXAMPLE + EXAMPLE.rpartition("\n\n")[2] * 100,
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_not_read(text: str) -> None:
    with pytest.raises(Malformed):
        read_checkpoint(read_note(text).text)


def trusting(*lines: str) -> tuple[Trust, list[str]]:
    found = Findings()
    return read_trust("\n".join(lines), found), [one["place"] for one in found.findings if one["place"]]


def witness(number: int) -> str:
    public = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key().public_bytes_raw()
    name = f"w{number}.example"
    number_ = hashlib.sha256(name.encode() + b"\n\x04" + public).digest()[:4].hex()
    return f"witness W{number} {name}+{number_}+{b64encode(bytes([4]) + public).decode()}"


def test_a_policy_of_two_groups_is_reached_as_tlog_policy_says() -> None:
    trust, wrong = trusting(
        *(witness(number) for number in range(1, 7)),
        "group X 2 W1 W2 W3",
        "group\tY any W4 W5 W6  ",
        "  # a comment",
        "group both all X Y",
        "quorum both",
    )
    assert wrong == []
    assert trust.is_reached({"W1", "W3", "W6"})
    assert not trust.is_reached({"W1", "W2", "W3"})
    assert not trust.is_reached({"W1", "W4", "W5", "W6"})


@pytest.mark.parametrize(
    "line",
    [
        "group G 0 W1", "group G 2 W1", "group G any",
        "group G any W1 W1", "group G any W9", "group none any W1",
        "group W1 any W1", "quorum G", "witness W1 x",
        "kept 1 AAAA", "kept 01 " + "A" * 43 + "=", "log", "nonsense x",
        witness(1), "group G x W1",
    ],
)  # fmt: skip
def test_a_line_that_no_policy_has_is_told(line: str) -> None:
    _, wrong = trusting(witness(1), witness(2), line, "quorum none")
    assert wrong == ["3"]


def test_the_program_is_its_parts_and_nothing_else() -> None:
    program = build_program()
    assert program == build_program()
    parsed = ast.parse(program, feature_version=(3, 9))
    imported = {
        alias.name for node in ast.walk(parsed) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {node.module or "" for node in ast.walk(parsed) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names
    defined = {node.name for node in parsed.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    unparsed = ast.unparse(parsed)
    for part in PARTS:
        source = Path(__file__).parents[2] / "hub" / "kit" / "verifier" / f"{part}.py"
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.name in defined
                assert ast.unparse(node) in unparsed
    parts = {path.stem for path in (Path(__file__).parents[2] / "hub/kit/verifier").glob("*.py")}
    assert parts == {*PARTS, "__init__"}


def test_wrong_usage_of_the_program_has_status_2(tmp_path: Path) -> None:
    program = tmp_path / "pruefen.py"
    program.write_text(build_program(), encoding="utf-8")
    for words in ([], ["--nonsense"], [str(tmp_path / "no.zip")], ["--trust", "/no/file", str(tmp_path)]):
        done = subprocess.run(
            [sys.executable, "-I", program, *words], capture_output=True, check=False, timeout=30
        )
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"usage" in done.stderr


def test_every_sentence_is_there_in_both_languages_with_its_place() -> None:
    for section in sentences().values():
        for code, told in section.items():
            assert set(told) == {"de", "en"}, code
            assert ("{place}" in told["de"]) == ("{place}" in told["en"]), code
    shared = sentences()["findings"].keys() & SENTENCES.keys()
    assert len(shared) > 15, "codes that mean the same are called the same"


def test_every_code_that_the_verifier_uses_has_its_sentence() -> None:
    told = {**sentences()["findings"], **sentences()["notes"]}
    spoken: set[str] = set()
    for node in ast.walk(ast.parse(build_program())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            spoken.add(node.value)
    built = {f"complete.{end}" for end in ("submission_open", "intent_open")} | {
        "note.open",
        "note.intent_open",
    }
    assert {code for code in told if code not in spoken} - built == set()


def test_the_catalogue_of_kinds_is_the_logs() -> None:
    assert set(KINDS) == set(get_args(Kind))


def test_whatever_fails_in_the_program_itself_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ArithmeticError

    monkeypatch.setattr("hub.kit.verifier.checking.read_head", fails)
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    told = check(tmp_path, Brought("")).told
    assert "kit.defect" in {one["code"] for one in told["findings"]}
    assert not told["ok"]
