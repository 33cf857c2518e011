"""The laws of dual control: two people, each by a proof of their own, and no word for another matter."""

import base64
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from hub import sshsig
from hub.dual_control import Matter, statement, two_people
from hub.errors import Refused
from hub.roles import GROUNDS, LOGINS, MAY_DECIDE, Role
from schemas.reasons import catalogue

Approvals = list[tuple[str, str]]
PEOPLE, PROOFS = st.sampled_from("abc"), st.sampled_from("xyz")
CROWDS = st.lists(st.tuples(PEOPLE, PROOFS))
NAMESPACE = "review@hub"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LINE = KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
MATTER = Matter("S-1", "0" * 64, "E2", "1.0.0", "1" * 64, "batch.rows", 1, 4)


@given(CROWDS)
def test_one_person_is_never_two_however_often_and_by_whatever_proof(crowd: Approvals) -> None:
    assert not two_people([("a", proof) for _, proof in crowd])


@given(CROWDS)
def test_one_proof_is_never_two_people_under_whatever_names(crowd: Approvals) -> None:
    assert not two_people([(person, "x") for person, _ in crowd])


@given(CROWDS, st.permutations("abc"), st.permutations("xyz"))
def test_two_people_with_two_proofs_are_enough_in_any_crowd(
    crowd: Approvals, people: list[str], proofs: list[str]
) -> None:
    assert two_people([*crowd, (people[0], proofs[0]), (people[1], proofs[1])])


@given(CROWDS, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_makes_two_people(crowd: Approvals, chance: object) -> None:
    shuffled = crowd * 2
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert two_people(shuffled) == two_people(crowd)


@given(CROWDS, st.tuples(PEOPLE, PROOFS))
def test_a_further_approval_takes_no_release_away(crowd: Approvals, further: tuple[str, str]) -> None:
    assert two_people([*crowd, further]) >= two_people(crowd)


@given(CROWDS)
def test_two_people_means_a_pair_that_shares_neither_person_nor_proof(crowd: Approvals) -> None:
    naive = False
    for person, proof in crowd:
        for other, other_proof in crowd:
            naive = naive or (person != other and proof != other_proof)
    assert two_people(crowd) == naive


OTHERS: Mapping[str, object] = {
    "submission": "S-2",
    "sha256": "2" * 64,
    "agreement": "E3",
    "agreement_version": "1.0.1",
    "agreement_digest": "3" * 64,
    "held_for": "egress.count",
    "round": 2,
    "fence": 5,
}


@pytest.mark.parametrize("field", OTHERS)
def test_every_part_of_a_matter_changes_what_is_signed(field: str) -> None:
    other = replace(MATTER, **{field: OTHERS[field]})  # type: ignore[arg-type]
    assert other.digest != MATTER.digest
    said = statement(MATTER, "approve", "weber", "examined")
    assert statement(other, "approve", "weber", "examined") != said
    assert not sshsig.holds(LINE, NAMESPACE, statement(other, "approve", "weber", "examined"), signed(said))


def test_verdict_person_and_grounds_are_signed_as_well() -> None:
    words = [("approve", "a", "examined"), ("reject", "a", "examined"), ("approve", "b", "examined")]
    words.append(("approve", "a", "change_expected"))
    assert len({statement(MATTER, *word) for word in words}) == len(words)


def signed(message: bytes, namespace: str = NAMESPACE) -> str:
    return sshsig.sign(KEY, namespace, message)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_signature_holds_for_its_message_alone(message: bytes, other: bytes) -> None:
    assert sshsig.holds(LINE, NAMESPACE, message, signed(message))
    assert sshsig.holds(LINE, NAMESPACE, other, signed(message)) == (message == other)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_signature_with_any_byte_changed_does_not_hold(place: int, flip: int) -> None:
    blob = bytearray(base64.b64decode(signed(b"word")))
    blob[place % len(blob)] ^= flip
    assert not sshsig.holds(LINE, NAMESPACE, b"word", base64.b64encode(blob).decode())


def test_a_signature_of_another_namespace_or_key_does_not_hold() -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert not sshsig.holds(LINE, NAMESPACE, b"word", signed(b"word", "git"))
    assert not sshsig.holds(other.decode(), NAMESPACE, b"word", signed(b"word"))
    curve = (
        generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    )
    for none in (curve.decode(), "", "ssh-ed25519", "ssh-ed25519 AAAA"):
        assert not sshsig.holds(none, NAMESPACE, b"word", signed(b"word"))


@pytest.mark.parametrize("none", ["", "x", "ä", "AAAA", "U1NIU0lH", "-----BEGIN SSH SIGNATURE-----"])
def test_what_is_no_signature_does_not_hold(none: str) -> None:
    assert not sshsig.holds(LINE, NAMESPACE, b"word", none)
    assert sshsig.unarmored(none) == ""


def test_a_signature_reads_back_from_its_armour() -> None:
    assert sshsig.unarmored(sshsig.armored(signed(b"word"))) == signed(b"word")


@pytest.mark.needs("ssh-keygen")
def test_our_signatures_are_those_of_ssh_keygen_byte_for_byte(tmp_path: Path) -> None:
    path, message = tmp_path / "key", tmp_path / "word"
    path.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    message.write_bytes(statement(MATTER, "approve", "weber", "examined"))
    words = ["ssh-keygen", "-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(path), str(message)]
    subprocess.run(words, check=True, capture_output=True)
    theirs = message.with_suffix(".sig").read_text(encoding="ascii")
    assert theirs == sshsig.armored(signed(message.read_bytes()))


def test_a_key_file_that_holds_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    curve = generate_private_key(SECP256R1())
    for content in (b"", b"none", curve.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())):
        path.write_bytes(content)
        with pytest.raises(Refused) as caught:
            sshsig.read_key(path)
        assert caught.value.code == "staff.key"
    with pytest.raises(Refused):
        sshsig.read_key(tmp_path / "nowhere")


def test_only_stewards_and_the_data_protection_officer_decide() -> None:
    assert {Role.STEWARD, Role.DATA_PROTECTION_OFFICER} == MAY_DECIDE
    assert set(LOGINS.values()) == set(Role)


def test_grounds_are_codes_and_free_of_words_of_people() -> None:
    for codes in GROUNDS.values():
        assert len(codes) == len(set(codes)) >= 2
        assert all(code.isascii() and code.replace("_", "").islower() for code in codes)
    assert not set(GROUNDS["approve"]) & set(GROUNDS["reject"])


def test_what_a_sender_reads_of_a_review_stands_in_the_catalogue() -> None:
    assert (catalogue()["review.rejected"].fate, catalogue()["review.missing"].fate) == (
        "refused",
        "quarantined",
    )
