"""Keys are made once, whole, for the hub's user alone, and each derived key has one use."""

import base64
import copy
import functools
import hashlib
import hmac
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import Corrupt, Refused, Transient
from hub.keys import AIRFLOW_USES, ROLES, KeyRing, create_keys

FILES = (
    "identity-1.key",
    "kek-1.key",
    "log-1.pem",
    "pseudonym-1.key",
    "receipt-1.pem",
    *(f"secrets/airflow-{use}.key" for use in sorted(AIRFLOW_USES)),
    *(f"secrets/database-{role}.key" for role in sorted(ROLES)),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_keys(tmp_path / "hub home" / "keys")
    return tmp_path / "hub home" / "keys"


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    folder = tmp_path_factory.mktemp("hub") / "keys"
    create_keys(folder)
    return KeyRing(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def refusal(folder: Path) -> Refused:
    with pytest.raises(Refused) as caught:
        KeyRing(folder)
    return caught.value


def test_a_new_folder_holds_every_key_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_keys(tmp_path / "keys")
    finally:
        os.umask(before)
    folder = tmp_path / "keys"
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == sorted((*FILES, "inventory.txt"))
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (folder, folder / "secrets")} == {0o700}


def test_making_keys_again_changes_nothing(folder: Path) -> None:
    before = contents(folder)
    create_keys(folder)
    assert contents(folder) == before
    assert len(set(before.values())) == len(FILES)


def test_a_key_that_was_lost_is_not_silently_replaced(folder: Path) -> None:
    (folder / "kek-1.key").unlink()
    with pytest.raises(Refused) as caught:
        create_keys(folder)
    assert caught.value.code == "keys.missing"
    assert not (folder / "kek-1.key").exists()
    assert refusal(folder).code == "keys.missing"


class Killed(BaseException):
    """The process is dead: from here on no operation of it reaches the disk."""


class Kill:
    """Let ``alive`` operations on the disk through; stop at the next, before or after it was carried out."""

    def __init__(self, alive: int, *, persisted: bool) -> None:
        self.alive = alive
        self.persisted = persisted

    def call(self, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.alive -= 1
        if self.alive == -1 and self.persisted:
            operation(*args, **kwargs)
        if self.alive < 0:
            raise Killed
        return operation(*args, **kwargs)


@pytest.mark.parametrize("persisted", [False, True])
def test_a_creation_killed_at_any_operation_is_completed_without_replacing_a_key(
    tmp_path: Path, *, persisted: bool
) -> None:
    operations = ("open", "link", "unlink", "replace", "fsync", "mkdir")
    points = 0
    finished = False
    while not finished:
        folder = tmp_path / f"keys {points}"
        kill = Kill(points, persisted=persisted)
        with pytest.MonkeyPatch.context() as patched:
            for name in operations:
                patched.setattr(os, name, functools.partial(kill.call, getattr(os, name)))
            try:
                create_keys(folder)
                finished = True
            except Killed:
                points += 1
        made = contents(folder)
        create_keys(folder)
        KeyRing(folder)
        after = contents(folder)
        assert {name: after[name] for name in made} == made
        assert not [path for path in folder.rglob("*") if path.name.endswith(".new")]
    assert points > 5 * len(FILES)


def test_a_refusing_disk_is_transient(tmp_path: Path) -> None:
    with patch.object(os, "link", side_effect=OSError(28, "full")), pytest.raises(Transient) as caught:
        create_keys(tmp_path / "keys")
    assert caught.value.code == "disk.full"


def test_modes_of_what_exists_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o750)
    folder.chmod(0o750)
    create_keys(folder)
    assert folder.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
def test_a_key_that_others_may_touch_is_refused(folder: Path, name: str, bit: int) -> None:
    (folder / name).chmod(0o600 | bit)
    error = refusal(folder)
    assert error.code == "keys.mode"
    assert f"chmod 600 '{folder / name}'" in error.remedy
    assert (folder / name).stat().st_mode & 0o777 == 0o600 | bit


def test_a_read_only_key_is_good(folder: Path) -> None:
    (folder / "kek-1.key").chmod(0o400)
    KeyRing(folder)


def test_a_key_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "kek-1.key").unlink()
    (folder / "kek-1.key").symlink_to("kek-1.key")  # a loop: there, but not to be opened, not even by root
    assert refusal(folder).code == "keys.unreadable"


def test_a_complete_read_only_folder_needs_nothing_written(folder: Path) -> None:
    (folder / "inventory.txt").unlink()
    with patch.object(os, "access", return_value=False):
        create_keys(folder)
    assert not (folder / "inventory.txt").exists()


def test_every_missing_key_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none")
    assert error.code == "keys.missing"
    assert all(name in error.message for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_key_is_named_and_not_shown(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"secret, but not a key")
    with pytest.raises(Corrupt) as caught:
        KeyRing(folder)
    assert caught.value.code == "keys.damaged"
    assert "secret, but" not in str(caught.value)


def test_a_ring_shows_nothing_and_does_not_travel(folder: Path) -> None:
    ring = KeyRing(folder)
    assert repr(ring) == str(ring) == f"KeyRing({str(folder)!r})"
    for travel in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="never sent"):
            travel(ring)


@settings(deadline=None)
@given(key=st.binary(max_size=80), context=st.text(max_size=20))
def test_a_wrapped_key_opens_under_its_context(ring: KeyRing, key: bytes, context: str) -> None:
    assert ring.unwrap(ring.wrap(key, context), context) == key


@settings(deadline=None)
@given(key=st.binary(min_size=32, max_size=32), data=st.data())
def test_a_wrapped_key_opens_under_nothing_else(ring: KeyRing, key: bytes, data: st.DataObject) -> None:
    blob = ring.wrap(key, "submission/1")
    assert key not in blob
    place = data.draw(st.integers(0, len(blob) - 1))
    flipped = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
    for bad, context in ((flipped, "submission/1"), (blob, "submission/2"), (blob[:place], "submission/1")):
        with pytest.raises(Corrupt) as caught:
            ring.unwrap(bad, context)
        assert caught.value.code == "keys.wrapped"


def test_the_same_key_is_wrapped_anew_each_time(ring: KeyRing) -> None:
    assert ring.wrap(bytes(32), "c") != ring.wrap(bytes(32), "c")


def test_a_derived_key_is_hkdf_sha_256_of_its_root_and_use(folder: Path) -> None:
    root = bytes.fromhex((folder / "pseudonym-1.key").read_text())
    info = b"hub/pseudonym/v1/" + b"".join(
        len(part).to_bytes(4, "big") + part for part in (b"1", b"jobcenter", b"dpv:Purpose", b"7")
    )
    extracted = hmac.digest(bytes(32), root, "sha256")  # RFC 5869 section 2
    first = hmac.digest(extracted, info + b"\x01", "sha256")
    second = hmac.digest(extracted, first + info + b"\x02", "sha256")
    assert KeyRing(folder).pseudonym_key("jobcenter", "dpv:Purpose", 7) == first + second


DOMAINS = st.tuples(st.text("ab1", max_size=3), st.text("ab1", max_size=3), st.integers(0, 20))


@settings(deadline=None)
@given(one=DOMAINS, other=DOMAINS)
def test_two_domains_share_no_key(
    ring: KeyRing, one: tuple[str, str, int], other: tuple[str, str, int]
) -> None:
    assert (ring.pseudonym_key(*one) == ring.pseudonym_key(*other)) == (one == other)


def test_two_uses_share_no_key(ring: KeyRing) -> None:
    keys = [
        ring.number_key("a"),
        ring.number_key("b"),
        ring.row_key("a"),
        ring.pseudonym_key("a", "", 0)[:32],
    ]
    assert [len(key) for key in keys] == [32] * 4
    assert len(set(keys)) == 4


def test_each_database_role_has_a_password_of_its_own(ring: KeyRing) -> None:
    passwords = [ring.database_secret(role) for role in ROLES]
    assert len(set(passwords)) == len(ROLES)
    assert all(password.isalnum() and len(password) == 64 for password in passwords)


def test_two_hubs_share_nothing(tmp_path: Path) -> None:
    create_keys(tmp_path / "one")
    create_keys(tmp_path / "two")
    assert not set(contents(tmp_path / "one").values()) & set(contents(tmp_path / "two").values())


def test_log_and_receipts_are_signed_with_different_keys(ring: KeyRing) -> None:
    ring.log_public().verify(ring.log_signer().sign(b"note"), b"note")
    ring.receipt_public().verify(ring.receipt_signer().sign(b"set"), b"set")
    assert ring.log_public() != ring.receipt_public()
    assert load_pem_public_key(ring.receipt_key_text().encode()) == ring.receipt_public()


@pytest.mark.parametrize(
    "text",
    [
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",  # golang.org/x/mod/sumdb/note
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",  # Go's checksum database
    ],
)
def test_the_verifier_key_is_written_as_others_write_theirs(ring: KeyRing, text: str) -> None:
    origin, _, encoded = text.split("+", 2)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])
    with patch.object(ring, "log_public", return_value=public):
        assert ring.verifier_key(origin) == text


def test_the_verifier_key_names_the_log_and_its_key(ring: KeyRing) -> None:
    origin, key_id, encoded = ring.verifier_key("hub.example/log").split("+", 2)
    public = b"\x01" + ring.log_public().public_bytes_raw()
    assert base64.b64decode(encoded) == public
    assert key_id == hashlib.sha256(origin.encode() + b"\n" + public).hexdigest()[:8]
    for bad in ("", "a b", "a+b", "a\n"):
        with pytest.raises(ValueError, match="origin"):
            ring.verifier_key(bad)
