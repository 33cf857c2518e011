"""What a name says: finished or not, allowed or not; and where a path leads, whatever it tries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.drop.names import IN_PROGRESS, checked, in_progress, stem
from connectors.drop.paths import Folder, Place, normal, place_of
from hub.errors import Refused

UNFINISHED = (
    "Liste.csv.part",
    "Liste.csv.filepart",
    "Liste.csv.k3x9.partial",
    "Liste.tmp",
    "LISTE.CSV.TMP",
    "~$Liste.xlsx",
    ".~lock.Liste.xlsx#",
    ".in.Liste.csv.",
    ".Liste.csv.Xy12Za",
    "Liste.csv~",
    "Liste.csv.crdownload",
)


@pytest.mark.parametrize("name", UNFINISHED)
def test_names_that_programs_use_meanwhile_are_known(name: str) -> None:
    assert in_progress(name)


def test_each_pattern_names_who_writes_it_and_meets_a_name() -> None:
    assert all(IN_PROGRESS.values())
    assert all(in_progress(pattern.replace("*", "x")) for pattern in IN_PROGRESS)


@pytest.mark.parametrize("name", ["Liste.csv", "part.csv", "tmp", "Liste.partner.xlsx", "a~b.csv", "$.csv"])
def test_names_of_finished_files_are_not_mistaken(name: str) -> None:
    assert not in_progress(name)


REFUSED_NAMES = (
    b"a\nb.csv",
    b"a\x00b",
    b"\x1b[2J.csv",
    b"a\xffb.csv",
    b"a/b",
    b"a\\b",
    b"..",
    b" . ",
    b"",
    b"x" * 256,
    "abc\u202evsc.csv".encode(),  # letters that turn the rest around
    "a\u200bb.csv".encode(),
)


@pytest.mark.parametrize("raw", REFUSED_NAMES)
def test_names_that_could_deceive_are_refused(raw: bytes) -> None:
    with pytest.raises(Refused, match=r"upload\.name"):
        checked(raw)


def test_a_name_is_one_name_in_either_form_of_unicode() -> None:
    assert checked("Ma\u0308rz.csv".encode()) == checked("März.csv".encode()) == "März.csv"


@given(st.text(max_size=300))
def test_a_stem_goes_into_any_file_system(name: str) -> None:
    found = stem(name)
    assert len(found) <= 80
    assert not set(found) & set('<>:"/\\|?*\0\n\r\t')
    assert found == found.strip() or found == ""
    assert not found.startswith((".", "-"))


@given(
    st.lists(st.sampled_from([b"..", b".", b"", b"inbox", b"E3", b"etc", b"passwd", b"a.csv"]), max_size=9)
)
def test_no_path_leads_out_of_the_root(parts: list[bytes]) -> None:
    for path in (b"/".join(parts), b"/" + b"/".join(parts), b"//" + b"/".join(parts)):
        found = normal(path)
        assert found.startswith(b"/")
        assert b".." not in found.split(b"/")
        assert normal(found) == found


def test_a_path_is_one_of_few_places_or_nothing() -> None:
    assert place_of(b"") == place_of(b"/") == place_of(b"../../..") == Place()
    assert place_of(b"inbox/E3/../E2/x") == Place(Folder.INBOX, "E2", b"x")
    assert place_of(b"/receipts/M\xc3\xa4rz") == Place(Folder.RECEIPTS, name=b"M\xc3\xa4rz")
    for path in (b"etc/passwd", b"inbox/E3/a/b", b"receipts/a/b", b"inbox/\xff", b"\xff", b"INBOX"):
        with pytest.raises(Refused, match=r"drop\.nothing"):
            place_of(path)
