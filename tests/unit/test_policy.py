"""Verifier keys, cosignatures and policies by the C2SP texts, and on a real checkpoint of a public log."""

import re
import shutil
import subprocess
from base64 import b64decode, b64encode
from itertools import combinations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Refused
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint, verifier_key
from hub.ledger.evidence import Promise, Unsound
from hub.ledger.notes import (
    LOG,
    WITNESS,
    VerifierKey,
    cosignature_message,
    cosigned_at,
    read_checkpoint,
    read_key,
    take_apart,
)
from hub.ledger.policy import Policy, load_policy, read_policy, read_trust, weigh

# A checkpoint of the public Certificate Transparency log arche2025h1 (staging), cosigned by four public
# witnesses; the keys are those that log and witnesses publish.
ARCHE = "arche2025h1.staging.ct.transparency.dev"
ARCHE_KEY = f"{ARCHE}+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
REAL = f"""\
{ARCHE}
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— {ARCHE} zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— {ARCHE} ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
"""  # noqa: E501 -- as it was signed
REMORA = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
STAGEMOLE = "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv"
GARDEN = "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM"
SEEN = 1779573024  # when all of them cosigned
REAL_POLICY = f"""\
log {ARCHE_KEY}
witness remora {REMORA}
witness stagemole {STAGEMOLE} https://witness.stagemole.eu
witness garden {GARDEN}
group two 2 remora stagemole garden
quorum two
"""
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
ORIGIN = "hub.example/log"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG_KEY = verifier_key(ORIGIN, SIGNER.public_key())
NOTE = sign_checkpoint(Checkpoint(ORIGIN, 7, b"r" * 32), SIGNER)


def witness(number: int) -> tuple[VerifierKey, Ed25519PrivateKey]:
    key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return VerifierKey(f"w{number}.example", WITNESS, key.public_key().public_bytes_raw()), key


def cosigned(note: str, *numbers: int, seconds: int = 1_700_000_000) -> str:
    """Cosign by the words of tlog-cosignature, apart from the hub's own code."""
    text = note.rpartition("\n\n")[0] + "\n"
    for number in numbers:
        key, signer = witness(number)
        signature = signer.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
        blob = key.key_id + seconds.to_bytes(8, "big") + signature
        note += f"— {key.name} {b64encode(blob).decode()}\n"
    return note


def policy(quorum: str, *numbers: int) -> Policy:
    lines = [f"log {LOG_KEY}", *(f"witness W{n} {witness(n)[0].text}" for n in numbers), quorum]
    return read_policy("\n".join(lines).encode())


def test_the_key_of_the_specification_reads_and_verifies_its_note() -> None:
    key = read_key(EXAMPLE_KEY, LOG)
    assert (key.name, key.key_id.hex(), key.text) == ("example.com/foo", "530d903a", EXAMPLE_KEY)
    note = (
        "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncA"
        "lTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    )
    text, (line,) = take_apart(note)
    assert (line.name, line.key_id) == (key.name, key.key_id)
    key.public.verify(line.value, text.encode())
    assert f"{text}\n{line.text}" == note


@pytest.mark.parametrize("text", [REMORA, STAGEMOLE, GARDEN])
def test_keys_of_public_witnesses_are_read_and_written_alike(text: str) -> None:
    assert read_key(text, WITNESS).text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+530d903a",
        EXAMPLE_KEY.replace("530d903a", "530d903b"),
        EXAMPLE_KEY.replace("530d903a", "530D903A"),
        EXAMPLE_KEY.replace("foo", "fo"),
        EXAMPLE_KEY.replace("example.com/foo", "example.com foo"),
        EXAMPLE_KEY[:-4],
        EXAMPLE_KEY + "\n",
        EXAMPLE_KEY + "=",
        REMORA,
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ],
)
def test_what_is_no_log_s_key_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(Unsound, match="key"):
        read_key(text, LOG)


def test_a_real_checkpoint_holds_by_a_policy_of_its_public_witnesses() -> None:
    weighed = weigh(read_policy(REAL_POLICY.encode()), REAL)
    assert weighed.reached
    assert weighed.cosigned == {"remora": SEEN, "stagemole": SEEN, "garden": SEEN}
    assert (weighed.promise.size, weighed.log.name) == (1432088532, ARCHE)
    assert b64encode(weighed.promise.root).decode() == "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro="


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\n1432088532\n", "\n1432088533\n"),
        ("ui8GwCF1", "ui8GwCF2"),  # the log's own
        ("2net5wAAAABqEiEg", "2net5wAAAABqEiEh"),  # a witness's time
        ("2net5wAAAABqEiEgPl", "2net5wAAAABqEiEgQl"),
    ],
)
def test_a_note_with_a_known_key_s_broken_signature_is_rejected_whole(before: str, after: str) -> None:
    assert before in REAL
    with pytest.raises(Unsound, match="signature"):
        weigh(read_policy(REAL_POLICY.encode()), REAL.replace(before, after))


def test_signatures_of_unknown_keys_are_left_aside() -> None:
    known = read_policy(REAL_POLICY.encode())
    garbled = REAL.replace("pIyCDwAAAABqEiEg", "pIyCDwAAAABqEiEh")  # witness1.smartit.nu, whom nobody named
    assert weigh(known, garbled) == weigh(known, REAL)
    with pytest.raises(Unsound, match="signature"):
        weigh(read_policy(f"log {EXAMPLE_KEY}\nquorum none\n".encode()), REAL)


def test_a_cosignature_is_over_header_time_and_the_whole_text() -> None:
    text, _ = take_apart(NOTE)
    assert cosignature_message(text, 1679315147) == b"cosignature/v1\ntime 1679315147\n" + text.encode()
    key, _ = witness(1)
    assert cosigned_at(NOTE, key) is None
    assert cosigned_at(cosigned(NOTE, 1, seconds=5), key) == 5
    assert cosigned_at(cosigned(cosigned(NOTE, 1, seconds=9), 1, seconds=5), key) == 9, "the newest"
    assert cosigned_at(cosigned(NOTE, 1, seconds=2**63 - 1), key) == 2**63 - 1
    for seconds in (0, 2**63):
        with pytest.raises(Unsound, match="signature"):
            cosigned_at(cosigned(NOTE, 1, seconds=seconds), key)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n\n— name\n",
        "text\n\n- name AAAAAAAA\n",
        "text\n\n— na+me AAAAAAAA\n",
        "text\n\n— name AAAA\n",
        "text\n\n— name AAAAAAA!\n",
        NOTE[:-1],
        NOTE.replace("\n", "\r\n"),
        NOTE + "\n",
        NOTE + "x" * 100_000 + "\n",
    ],
)
def test_what_is_no_note_is_not_read(note: str) -> None:
    with pytest.raises(Unsound, match="malformed"):
        take_apart(note)


@pytest.mark.parametrize("least", [1, 2, 3, 4])
def test_k_of_n_witnesses_are_enough_whoever_they_are(least: int) -> None:
    everybody = (1, 2, 3, 4)
    asked = policy(f"group g {least} W1 W2 W3 W4\nquorum g", *everybody)
    for count in range(5):
        for some in combinations(everybody, count):
            assert weigh(asked, cosigned(NOTE, *some)).reached == (count >= least), some


@given(some=st.sets(st.integers(1, 6)))
def test_the_example_of_the_specification_asks_two_of_three_and_any_of_three(some: set[int]) -> None:
    asked = policy(
        "group X-witnesses 2 W1 W2 W3\ngroup Y-witnesses any W4 W5 W6\n"
        "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y",
        *range(1, 7),
    )
    assert asked.reached({f"W{n}": 1 for n in some}) == (
        len(some & {1, 2, 3}) >= 2 and bool(some & {4, 5, 6})
    )


def test_a_policy_that_asks_for_nobody_is_content_with_the_log_s_word() -> None:
    asked = policy("quorum none", 1)
    assert weigh(asked, NOTE).reached
    assert weigh(asked, cosigned(NOTE, 1)).cosigned == {"W1": 1_700_000_000}
    assert not weigh(policy("quorum W1", 1), NOTE).reached


def test_blanks_tabs_comments_and_octets_beyond_ascii_are_as_the_specification_has_them() -> None:
    text = f"\n# note\n\t # more\n\twitness \t w1  {REMORA}   https://w1.example/  \n\n  quorum\tw1"
    read = read_policy(text.encode())
    assert (list(read.witnesses), read.quorum, read.urls) == (["w1"], "w1", {"w1": "https://w1.example/"})
    kelvin = b"witness K\xe2\x84\xaalvin-w\x80 " + REMORA.encode() + b"\nquorum K\xe2\x84\xaalvin-w\x80\n"
    assert read_policy(kelvin).quorum == "K\u212alvin-w\udc80"
    words = f"witness all {REMORA}\nwitness any {STAGEMOLE}\ngroup group 2 all any\nquorum group\n"
    assert read_policy(words.encode()).groups["group"].members == ("all", "any")
    assert read_policy(b"quorum none\n") == Policy()


W1, W2 = f"witness w1 {REMORA}\n", f"witness w2 {STAGEMOLE}\n"
MALFORMED = {
    "": "a quorum line",
    "quorum none\n\x01": "line 2 .* control",
    "quorum none\r\n": "line 1 .* Windows",
    "quibble w1\nquorum none\n": "line 1 .* one of log, witness, group, quorum",
    f"receipt {EXAMPLE_KEY}\nquorum none\n": "line 1 .* one of",
    f"{W1[:-1]} https://w1.example # comment\nquorum w1\n": "line 1 .* witness <name>",
    "log\nquorum none\n": "line 1 .* log <vkey>",
    "log garbage\nquorum none\n": "line 1 .* log <vkey>",
    f"log {REMORA}\nquorum none\n": "line 1 .* kind Ed25519",
    f"log {EXAMPLE_KEY}\nlog {EXAMPLE_KEY} https://log.example/\nquorum none\n": "line 2 .* key once",
    "witness w1\nquorum none\n": "line 1 .* witness <name>",
    f"witness w1 {EXAMPLE_KEY}\nquorum w1\n": "line 1 .* cosignature/v1",
    f"witness none {REMORA}\nquorum none\n": "line 1 .* 'none'",
    f"{W1}witness w1 {STAGEMOLE}\nquorum w1\n": "line 2 .* name of its own",
    f"{W1}witness w2 {REMORA}\nquorum w1\n": "line 2 .* key once",
    f"{W1}group w1 any w1\nquorum w1\n": "line 2 .* name of its own",
    f"{W1}group none any w1\nquorum none\n": "line 2 .* 'none'",
    f"{W1}group g 1\nquorum w1\n": "line 2 .* member",
    f"{W1}group\nquorum w1\n": "line 2 .* member",
    f"{W1}group g 0 w1\nquorum g\n": "line 2 .* from 1 to 1",
    f"{W1}group g -1 w1\nquorum g\n": "line 2 .* from 1 to 1",
    f"{W1}group g 01 w1\nquorum g\n": "line 2 .* from 1 to 1",
    f"{W1}group g 2 w1\nquorum g\n": "line 2 .* from 1 to 1",
    f"{W1}group g some w1\nquorum g\n": "line 2 .* any, all",
    f"{W1}group g any w2\nquorum g\n": "line 2 .* lines above",
    f"group g any w1\n{W1}quorum g\n": "line 1 .* lines above",
    f"{W1}group g any none\nquorum g\n": "line 2 .* lines above",
    f"{W1}group g any g\nquorum g\n": "line 2 .* lines above",
    f"{W1}group g all w1 w1\nquorum g\n": "line 2 .* at most once",
    f"{W1}{W2}group g any w1 w2\ngroup h any w1\nquorum g\n": "line 4 .* at most once",
    W1: "a quorum line",
    f"{W1}quorum w1\nquorum w1\n": "line 3 .* one quorum line",
    f"{W1}quorum w2\n": "line 2 .* defined above",
    f"quorum w1\n{W1}": "line 1 .* defined above",
    "quorum\n": "line 1 .* quorum <name>",
    "quorum none none\n": "line 1 .* quorum <name>",
    "#" * 1_000_001: "at most 1000000 bytes",
}


@pytest.mark.parametrize("text", MALFORMED)
def test_a_policy_that_is_not_understood_is_refused_by_its_line(text: str) -> None:
    with pytest.raises(Refused, match=rf"policy\.malformed: .*{MALFORMED[text]}"):
        read_policy(text.encode())


def test_a_trust_file_names_receipt_keys_and_checkpoints_from_paper_as_well() -> None:
    root = b64encode(b"r" * 32).decode()
    read = read_trust(f"{REAL_POLICY}receipt {EXAMPLE_KEY}\nkept 7 {root}\nkept 0 {root}\n".encode())
    assert [key.text for key in read.receipts] == [EXAMPLE_KEY]
    assert read.kept == (Promise(7, b"r" * 32), Promise(0, b"r" * 32))
    for line in (
        "receipt",
        f"receipt {REMORA}",
        "kept 7",
        f"kept 07 {root}",
        "kept 7 AAAA",
        f"kept x {root}",
    ):
        with pytest.raises(Refused, match=r"line 7 of the policy"):
            read_trust(f"{REAL_POLICY}{line}\n".encode())


def test_a_policy_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "policy"
    file.write_text(REAL_POLICY, encoding="utf-8")
    assert load_policy(file) == read_policy(REAL_POLICY.encode())
    with pytest.raises(Refused, match=r"policy\.unreadable"):
        load_policy(tmp_path)


@pytest.mark.needs("openssl")
def test_openssl_agrees_on_a_checkpoint_s_signature_and_on_a_cosignature(tmp_path: Path) -> None:
    key, signer = witness(1)
    text, lines = take_apart(cosigned(NOTE, 1))
    log, cosignature = (b64decode(re.split(" ", line.text.rstrip("\n"))[2]) for line in lines)
    seconds = int.from_bytes(cosignature[4:12], "big")
    assert read_checkpoint(NOTE, read_key(LOG_KEY, LOG)).size == 7
    assert cosigned_at(cosigned(NOTE, 1), key) == seconds
    for name, public, signature, signed in (
        ("log", SIGNER, log[4:], text.encode()),
        ("witness", signer, cosignature[12:], cosignature_message(text, seconds)),
    ):
        pem = public.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        files = {part: tmp_path / f"{name}.{part}" for part in ("pem", "sig", "txt")}
        for part, content in (("pem", pem), ("sig", signature), ("txt", signed)):
            files[part].write_bytes(content)
        command = [shutil.which("openssl") or "openssl", "pkeyutl", "-verify", "-pubin", "-rawin"]
        command += ["-inkey", str(files["pem"]), "-sigfile", str(files["sig"]), "-in", str(files["txt"])]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
        files["txt"].write_bytes(signed + b"x")
        assert subprocess.run(command, capture_output=True, check=False).returncode == 1
