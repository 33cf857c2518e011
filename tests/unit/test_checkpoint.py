"""Signed notes and checkpoints against the examples of C2SP and of Go's sumdb/note."""

from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import Corrupt
from hub.ledger import checkpoint
from hub.ledger.tree import EMPTY_ROOT

# golang.org/x/mod/sumdb/note, note_test.go: the private key's encoding is 0x01 || seed.
PETER = Ed25519PrivateKey.from_private_bytes(b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:])
PETER_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = Ed25519PublicKey.from_public_bytes(b64decode("ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")[1:])
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6"
    "RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1R"
    "vMc+QQ=\n"
)
# c2sp.org/signed-note and c2sp.org/tlog-checkpoint, their opening examples (published without the keys).
OGNUNO = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj9"
    "9ihAQwaqP3ZekRwNtIc=\n"
)
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nT"
    "o+zyWE+xeMcTOAYQ8=\n"
)
ORIGIN = "hub.example/log"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ROOT = bytes(range(32, 64))


def test_go_s_example_note_is_signed_bit_for_bit() -> None:
    assert checkpoint.sign_note(TEXT, "PeterNeumann", PETER) == TEXT + "\n" + PETER_LINE


def test_go_s_verifier_key_is_written_bit_for_bit() -> None:
    assert checkpoint.verifier_key("PeterNeumann", PETER.public_key()) == PETER_VERIFIER


def test_a_note_signed_by_two_is_opened_under_either_key() -> None:
    note = TEXT + "\n" + PETER_LINE + ENOCH_LINE
    for name, key in (("PeterNeumann", PETER.public_key()), ("EnochRoot", ENOCH)):
        opened = checkpoint.open_note(note, name, key)
        assert opened.text == TEXT
        assert [signature.name for signature in opened.signatures] == ["PeterNeumann", "EnochRoot"]


def test_a_signature_that_does_not_fit_rejects_the_note_even_beside_one_that_does() -> None:
    spoiled = PETER_LINE.replace("NIuGUgYN", "ABCDABCD")
    with pytest.raises(Corrupt, match="does not fit") as caught:
        checkpoint.open_note(TEXT + "\n" + PETER_LINE + spoiled, "PeterNeumann", PETER.public_key())
    assert caught.value.code == "checkpoint.signature"


@pytest.mark.parametrize("line", [ENOCH_LINE, PETER_LINE.replace("PeterNeumann", "CarmenSandiego")])
def test_a_note_without_the_known_key_s_signature_is_rejected(line: str) -> None:
    with pytest.raises(Corrupt, match="found none"):
        checkpoint.open_note(TEXT + "\n" + line, "PeterNeumann", PETER.public_key())


def test_the_text_of_a_note_may_hold_empty_lines() -> None:
    note = checkpoint.parse_note(OGNUNO)
    assert note.text.endswith("sole:\n\ned è subito sera.\n")
    assert note.signatures[0].key_id.hex() == "367ba04b"


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        TEXT,
        TEXT + "\n",
        TEXT + "\n\n",
        TEXT + "\n" + PETER_LINE[:-1],
        "\x01" + TEXT + "\n" + PETER_LINE,
        "\udcff" + TEXT + "\n" + PETER_LINE,
        TEXT.replace("\n", "\r\n") + "\n" + PETER_LINE,
        TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter Neumann"),
        TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter+Neumann"),
        TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter\u00a0Neumann"),
        TEXT + "\n" + PETER_LINE.replace("—", "-"),
        TEXT + "\n" + PETER_LINE.replace("AM=", "AN="),
        TEXT + "\n" + PETER_LINE.replace("AM=", "AM"),
        TEXT + "\n— PeterNeumann x08gow==\n",
        TEXT + "\n" + PETER_LINE + "Unexpected line.\n",
        TEXT + "\n" + PETER_LINE * 101,
    ],
)
def test_a_malformed_note_is_rejected(note: str) -> None:
    with pytest.raises(Corrupt) as caught:
        checkpoint.open_note(note, "PeterNeumann", PETER.public_key())
    assert caught.value.code == "checkpoint.malformed"


def test_c2sp_s_example_checkpoint_is_read() -> None:
    read = checkpoint.read_text(checkpoint.parse_note(SOFA).text)
    assert (read.origin, read.size) == ("example.com/behind-the-sofa", 20852163)
    assert b64encode(read.root).decode() == "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert read.text + "\n" == SOFA.partition("—")[0]


sizes = st.integers(1, 2**62)
origins = st.from_regex(r"\A[a-zäöü0-9./-]{1,40}\Z")
lines = st.lists(st.from_regex(r"\A[a-z0-9 +=]{1,20}\Z"), max_size=3)


@settings(deadline=None)
@given(origins, sizes, st.binary(min_size=32, max_size=32), lines)
def test_what_is_signed_is_opened_again(origin: str, size: int, root: bytes, extensions: list[str]) -> None:
    promised = checkpoint.Checkpoint(origin, size, root, tuple(extensions))
    note = checkpoint.sign_checkpoint(promised, SIGNER)
    assert checkpoint.open_checkpoint(note, origin, SIGNER.public_key()) == promised


@settings(deadline=None)
@given(st.data())
def test_one_changed_character_never_opens_as_another_checkpoint(data: st.DataObject) -> None:
    promised = checkpoint.Checkpoint(ORIGIN, 1234, ROOT)
    note = checkpoint.sign_checkpoint(promised, SIGNER)
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters().filter(lambda sign: sign != note[at]))
    with pytest.raises(Corrupt):
        checkpoint.open_checkpoint(note[:at] + other + note[at + 1 :], ORIGIN, SIGNER.public_key())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{ORIGIN}\n7\n",
        f"{ORIGIN}\n7\n{b64encode(ROOT).decode()}",
        f"\n7\n{b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n07\n{b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n-7\n{b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n+7\n{b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n\u0667\n{b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n7 \n{b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n7\n{b64encode(ROOT[:31]).decode()}\n",
        f"{ORIGIN}\n7\n{ROOT.hex()}\n",
        f"{ORIGIN}\n7\n{b64encode(ROOT).decode()}\n\nextension\n",
        f"{ORIGIN}\n7\n{b64encode(EMPTY_ROOT).decode()}\n",
        f"{ORIGIN}\n0\n{b64encode(ROOT).decode()}\n",
    ],
)
def test_a_malformed_checkpoint_is_rejected_though_rightly_signed(text: str) -> None:
    with pytest.raises(Corrupt) as caught:
        checkpoint.read_text(text)
    assert caught.value.code == "checkpoint.malformed"


def test_another_log_s_checkpoint_is_rejected_though_our_key_signed_it() -> None:
    foreign = checkpoint.Checkpoint("elsewhere.example/log", 7, ROOT)
    note = checkpoint.sign_note(foreign.text, ORIGIN, SIGNER)
    with pytest.raises(Corrupt) as caught:
        checkpoint.open_checkpoint(note, ORIGIN, SIGNER.public_key())
    assert caught.value.code == "checkpoint.origin"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("no newline", "key"),
        ("", "key"),
        ("tab\t\n", "key"),
        ("text\n", ""),
        ("text\n", "a key"),
        ("text\n", "a+b"),
    ],
)
def test_nothing_is_signed_that_could_not_be_read_back(text: str, name: str) -> None:
    with pytest.raises(Corrupt):
        checkpoint.sign_note(text, name, SIGNER)


def test_an_impossible_checkpoint_is_not_signed() -> None:
    for wrong in (
        checkpoint.Checkpoint(ORIGIN, 0, ROOT),
        checkpoint.Checkpoint(ORIGIN, 7, b""),
        checkpoint.Checkpoint(ORIGIN, -1, ROOT),
        checkpoint.Checkpoint(f"{ORIGIN}\n9", 7, ROOT),
        checkpoint.Checkpoint(ORIGIN, 7, ROOT, ("two\nlines", "")),
    ):
        with pytest.raises(Corrupt):
            checkpoint.sign_checkpoint(wrong, SIGNER)


def test_the_empty_log_has_a_checkpoint_too() -> None:
    empty = checkpoint.Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    note = checkpoint.sign_checkpoint(empty, SIGNER)
    assert checkpoint.open_checkpoint(note, ORIGIN, SIGNER.public_key()) == empty
