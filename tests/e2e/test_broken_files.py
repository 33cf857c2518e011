"""A file that is wrong as a whole is refused by a named code, and nothing gets stuck behind it."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from schemas.reasons import reason
from schemas.samples import BrokenFile, broken_files, csv_bytes, sample
from tests.e2e.hub import Answer, Hub, agreement, plain_csv

ROWS = 12
AGREEMENTS = {name: agreement(name) for name in ("E3", "E2")}
ALSO_E2 = ("empty", "cut_in_a_row", "wrong_header", "reordered_header", "windows_1252", "utf_16", "junk")
BROKEN = {
    f"{name} {file.name}": (name, file)
    for name, under in AGREEMENTS.items()
    for file in broken_files(under, ROWS, 7)
    if name == "E3" or file.name in ALSO_E2
}
CFB = bytes.fromhex("d0cf11e0a1b11ae1")  # what a workbook with a password begins with


@pytest.fixture(scope="module")
def good(hub: Hub) -> Iterator[pl.DataFrame]:
    """Good rows of E3, three at a time, each of a person who has consented."""
    made = sample(AGREEMENTS["E3"], 900, 1)
    assert hub.bring_consents(made).status == 0
    return made.frame.iter_slices(3)


@pytest.fixture(autouse=True)
def nothing_is_stuck(hub: Hub, good: Iterator[pl.DataFrame]) -> Iterator[None]:
    """After each test: a good file right behind goes all the way, and no submission is left under way."""
    yield
    path = hub.file("Gute Liste.csv", plain_csv(next(good)))
    behind = hub.run("submit", path, "--agreement", "E3")
    assert (behind.status, behind.json["state"], behind.json["rows"]["delivered"]) == (0, "acknowledged", 3)
    lines = hub.run("submission", "list", "--limit", 1000).json["submissions"]
    assert {line["state"] for line in lines} <= {"acknowledged", "refused", "quarantined"}
    waiting = {line["submission"] for line in lines if line["state"] == "quarantined"}
    left = {path.name.partition(".")[0] for name in ("staging", "inbox") for path in parts(hub, name)}
    assert left == waiting, "of what is done no part is left; what waits for people keeps all"


def submitted(hub: Hub, name: str, file: BrokenFile) -> Answer:
    totals = [] if file.row_total is None else ["--rows", file.row_total]
    path = hub.file(f"Liste.{file.suffix}", file.content)
    return hub.run("submit", path, "--agreement", name, *totals)


@pytest.mark.parametrize(("name", "file"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_answered_by_its_code(hub: Hub, name: str, file: BrokenFile) -> None:
    answer = submitted(hub, name, file)
    if reason(file.expected_code).fate == "notice":
        assert (answer.status, answer.json["state"], answer.json["reason"]) == (0, "acknowledged", None)
        assert file.expected_code in answer.json["notices"]
        assert answer.json["rows"]["received"] == ROWS
    else:
        assert_refused(answer, file.expected_code)
        assert_told(hub, answer, file.expected_code)


def test_a_workbook_that_is_cut_locked_or_a_bomb_is_answered_by_its_code(hub: Hub) -> None:
    good = hub.written(sample(AGREEMENTS["E2"], ROWS, 8, file_format="xlsx"), "Mappe").read_bytes()
    bomb = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(good)) as whole,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as blown,
    ):
        for part in whole.namelist():
            blown.writestr(part, whole.read(part) + b" " * (200_000_000 if "sheet1" in part else 0))
    wrong = {
        "file.format": (good[: len(good) // 2], CFB + bytes(4096)),
        "file.archive": (bomb.getvalue(),),
    }
    for code, contents in wrong.items():
        for content in contents:
            answer = hub.run("submit", hub.file("Mappe.xlsx", content), "--agreement", "E2")
            assert_refused(answer, code)


def test_a_csv_agreement_takes_no_workbook(hub: Hub) -> None:
    made = sample(AGREEMENTS["E2"], ROWS, 9, file_format="xlsx")
    answer = hub.run("submit", hub.written(made, "Mappe"), "--agreement", "E3")
    assert_refused(answer, "file.format")


def test_a_file_of_more_rows_than_agreed_is_refused(hub: Hub) -> None:
    header, row = csv_bytes(sample(AGREEMENTS["E2"], 1, 10)).splitlines(keepends=True)
    content = header + row * (AGREEMENTS["E2"].intake.max_rows + 1)
    assert_refused(
        hub.run("submit", hub.file("Lang.csv", content), "--agreement", "E2"), "file.too_many_rows"
    )


def test_a_file_of_more_bytes_than_agreed_is_not_even_kept(hub: Hub) -> None:
    most = AGREEMENTS["E2"].intake.max_bytes
    before = everything(hub)
    answer = hub.run("submit", hub.file("Gross.csv", bytes(most + 1)), "--agreement", "E2")
    assert (answer.status, answer.code) == (1, "file.too_large")
    assert answer.json["error"]["code"] == "file.too_large"
    assert everything(hub) == before


def test_a_file_under_an_unknown_agreement_is_not_even_kept(hub: Hub) -> None:
    before = everything(hub)
    path = hub.file("Liste.csv", csv_bytes(sample(AGREEMENTS["E3"], ROWS, 11)))
    answer = hub.run("submit", path, "--agreement", "E99")
    assert (answer.status, answer.code) == (1, "file.agreement")
    assert "hub agreement list" in answer.stderr
    assert everything(hub) == before


def test_the_same_file_twice_delivers_once_and_says_so(hub: Hub) -> None:
    for name, under in AGREEMENTS.items():
        made = sample(under, ROWS, 12)
        if made.consents is not None:
            hub.bring_consents(made)
        first, second = hub.submit_csv(made), hub.submit_csv(made)
        assert first.json["rows"]["delivered"] == ROWS, name
        assert second.status == 0
        assert second.json["submission"] != first.json["submission"]
        assert second.json["notices"] == ["file.seen_before"]
        assert second.json["rows"]["already_delivered"] == ROWS
        assert second.json["reasons"] == {"delivery.already_delivered": ROWS}
        assert second.json["parcels"] == []
        kinds = [kind for kind, _ in hub.log_of(second.json["submission"])]
        assert kinds == ["submission", "outcome"], "nothing was intended, for nothing was left to send"


def test_a_broken_file_sent_twice_is_refused_twice(hub: Hub) -> None:
    file = next(f for f in broken_files(AGREEMENTS["E3"], ROWS, 13) if f.name == "wrong_header")
    first, second = (submitted(hub, "E3", file) for _ in range(2))
    assert_refused(first, "file.header")
    assert_refused(second, "file.header")
    assert first.json["submission"] != second.json["submission"]


def test_control_totals_that_are_wrong_refuse_the_file_and_right_ones_do_not(hub: Hub) -> None:
    made = sample(AGREEMENTS["E2"], ROWS, 14)
    content = csv_bytes(made)
    path = hub.file("Liste.csv", content)
    for totals, code in (
        (["--rows", ROWS + 1], "file.row_total"),
        (["--rows", ROWS - 1], "file.row_total"),
        (["--rows", 0], "file.row_total"),
        (["--sha256", hashlib.sha256(content[:-1]).hexdigest()], "file.digest"),
        (["--sha256", "nonsense"], "file.digest"),
    ):
        assert_refused(hub.run("submit", path, "--agreement", "E2", *totals), code)
    digest = hashlib.sha256(content).hexdigest().upper()
    right = hub.run("submit", path, "--agreement", "E2", "--rows", ROWS, "--sha256", digest)
    assert right.json["rows"]["delivered"] == ROWS


def test_a_row_total_counts_the_rows_that_could_not_be_read_as_well(hub: Hub) -> None:
    made = sample(AGREEMENTS["E2"], 40, 15, errors=["short_row", "long_row"])
    answer = hub.submit(made, "Liste", "--rows", 40)
    assert (answer.status, answer.json["rows"]["received"]) == (0, 40)
    assert answer.json["reasons"] == {"row.field_count": 2}


def test_a_file_with_too_many_bad_rows_waits_in_quarantine(hub: Hub) -> None:
    made = sample(AGREEMENTS["E2"], ROWS, 16)
    spoilt = made.frame.with_columns(made.frame["Kursnummer"].str.slice(1).alias("Kursnummer"))
    answer = hub.submit_csv(made, spoilt)
    assert (answer.status, answer.code) == (1, "batch.refused_share")
    assert (answer.json["state"], answer.json["reason"]) == ("quarantined", "batch.refused_share")
    assert answer.json["rows"]["quarantined"] == answer.json["rows"]["received"] == ROWS
    assert answer.json["parcels"] == []
    assert set(hub.saved(answer.json["submission"])) >= {"quarantined.jwt", "bericht.txt"}


@pytest.mark.parametrize("say", [Hub.run, Hub.tell], ids=["JSON", "text"])
def test_a_refusal_says_on_stderr_what_is_wrong_and_what_to_do(hub: Hub, say: Callable[..., Answer]) -> None:
    path = hub.file("Leer.csv", b"")
    answer = say(hub, "submit", path, "--agreement", "E2")
    told = reason("file.empty")
    first, second = answer.stderr.splitlines()[-2:]
    assert (first, second) == (f"file.empty: {told.en}", f"-> {told.remedy_en}")
    assert "Traceback" not in answer.stderr


def assert_refused(answer: Answer, code: str) -> None:
    assert (answer.status, answer.code) == (1, code)
    assert (answer.json["state"], answer.json["reason"]) == ("refused", code)
    rows = answer.json["rows"]
    assert rows["refused"] == rows["received"]
    assert rows["delivered"] == 0
    assert answer.json["parcels"] == []


def assert_told(hub: Hub, answer: Answer, code: str) -> None:
    """The sender reads the code in both languages, and the log keeps it."""
    replies = hub.saved(answer.json["submission"])
    assert {"received.jwt", "refused.jwt", "bericht.txt", "report.txt", "report.json"} == set(replies)
    assert f"({code})" in replies["bericht.txt"].read_text("utf-8-sig")
    assert f"({code})" in replies["report.txt"].read_text("utf-8-sig")
    assert hub.log_of(answer.json["submission"]) == [("submission", None), ("outcome", code)]


def parts(hub: Hub, name: str) -> list[Path]:
    """What lies in a folder of the hub's data."""
    return list((hub.settings.data / name).glob("*"))


def everything(hub: Hub) -> tuple[int, set[str]]:
    """How many submissions there are, and which files."""
    lines = hub.run("submission", "list", "--limit", 10_000).json["submissions"]
    return len(lines), {str(path) for path in hub.settings.data.rglob("*") if path.is_file()}
