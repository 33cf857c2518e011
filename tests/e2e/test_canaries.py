"""Recognisable values in every personal field: after all that can happen to a file they are found nowhere."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
import xlsxwriter

from hub import authorisation, delivery, egress, exchange, logbook, minimisation, validation
from hub.errors import Corrupt, Transient
from hub.states import State
from schemas.samples import Sample, csv_bytes, sample
from schemas.samples.broken import _TEXTS as WRECKS
from tests.e2e.hub import COLLECTOR, Hub, agreement, plain_csv
from tests.e2e.search import Search, base64_forms, files, forms, replies, said, tables, told_apart

E3, E2 = agreement("E3"), agreement("E2")
WORD = "Zkanarienvogel"
NUMBER = "KVHS-7318"  # all participants' numbers begin with it
ONE_NUMBER = "KVHS-7318462"
COURSE = "09731846"
BIRTH, BIRTH_ISO = "23.07.1913", "1913-07-23"
CONSENT = "E-ZK/7318"
CANARIES = (WORD, NUMBER, ONE_NUMBER, COURSE, BIRTH, BIRTH_ISO, CONSENT)
SHEET = f"Blatt {WORD}"
STEPS: dict[str, tuple[Any, str]] = {
    "validate": (validation, "validate_part"),
    "authorise": (authorisation, "decide"),
    "protect": (minimisation, "released"),
    "deliver": (delivery, "pass_gate"),
    "acknowledge": (logbook, "issue_receipt"),
}


def marked(made: Sample) -> Sample:
    """A sample whose every personal field is a canary: numbers, courses, birth dates; names are already."""
    rows = made.frame.height
    frame, planned = made.frame, set(zip(made.plan["row"], made.plan["column"], strict=True))
    whole = {row for row, column in planned if column is None}
    numbers = [f"{NUMBER}{at % 1000:03d}" for at in range(rows)]
    numbers[1] = ONE_NUMBER
    marks = {
        "Teilnehmernummer": numbers,
        "Kursnummer": [COURSE] * rows,
        "Geburtsdatum": [BIRTH if at % 2 else BIRTH_ISO for at in range(rows)],
    }
    kept: dict[str, str] = {}
    for heading, texts in marks.items():
        if heading not in frame.columns:
            continue
        old = frame[heading].to_list()
        new = [old[at] if (at, heading) in planned or at in whole else text for at, text in enumerate(texts)]
        kept |= dict(zip(old, new, strict=True)) if heading == "Teilnehmernummer" else {}
        frame = frame.with_columns(pl.Series(heading, new))
    consents = made.consents
    if consents is not None:
        lines = pl.Series([f"{CONSENT}/{at}" for at in range(consents.height)])
        consents = consents.with_columns(
            pl.col("Teilnehmernummer").replace(kept),
            lines.alias("Einwilligung_Nr"),
            (f"Akte {WORD} " + lines).alias("Nachweis"),
        )
    return replace(made, frame=frame, consents=consents)


def workbook(made: Sample, path: Path) -> Path:
    """A sample in a sheet that is named after a person."""
    with xlsxwriter.Workbook(path, {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        sheet = book.add_worksheet(SHEET)
        for at, cells in enumerate([made.frame.columns, *made.frame.rows()]):
            for column, text in enumerate(cells):
                sheet.write_string(at, column, text)
    return path


@pytest.fixture(scope="module")
def canaried(hub: Hub) -> Hub:
    """A hub to which everything has happened with canaries in every personal field."""
    good_and_bad(hub)
    with pytest.MonkeyPatch.context() as patched:
        every_step_fails(hub, patched)
        the_gate_stops(hub, patched)
    a_process_dies(hub)
    whole_files_fail(hub)
    people_ask(hub)
    return hub


@pytest.fixture(scope="module")
def search() -> Search:
    return Search(CANARIES)


def good_and_bad(hub: Hub) -> None:
    """Files with every typical error; once more; withdrawn, retried, and read as text."""
    for under in (E3, E2):
        made = marked(sample(under, 300, 1, errors=True, canary=WORD))
        if made.consents is not None:
            assert hub.bring_consents(made).json["new"] > 250
        for say in (hub.run, hub.tell):
            path = hub.written(made, f"{WORD} {under.id}")
            assert say("submit", path, "--agreement", under.id).status == 0
    made = marked(sample(E2, 300, 2, errors=True, canary=WORD, file_format="xlsx"))
    assert hub.run("submit", workbook(made, hub.desk / f"{WORD}.xlsx"), "--agreement", "E2").status == 0
    assert hub.withdraw(ONE_NUMBER).json["withdrawn"] == 1
    shown = hub.run("consent", "show", "--collector", COLLECTOR, "--number", ONE_NUMBER)
    assert shown.json["consents"]


def every_step_fails(hub: Hub, patched: pytest.MonkeyPatch) -> None:
    """In each step an exception that quotes a row, as libraries raise them; then the retry."""
    for at, (step, (module, name)) in enumerate(STEPS.items()):
        made = marked(sample(E3, 40, 10 + at, canary=WORD))
        hub.bring_consents(made)
        quoted = f"cannot read {made.frame.row(3)} of {ONE_NUMBER}"

        def quotes(*_: Any, quoted: str = quoted, **__: Any) -> None:
            raise ValueError(quoted)

        with pytest.MonkeyPatch.context() as here:
            if step != "acknowledge":
                here.setattr(module, name, quotes)
            else:
                here.setitem(exchange.STEPS, State.DELIVERED, named(quotes, "acknowledge"))
            path = hub.file(f"{WORD}.csv", csv_bytes(made))
            failed = hub.run("submit", path, "--agreement", "E3")
            assert (failed.status, failed.code) == (1, "hub.defect"), step
            assert hub.tell("submit", path, "--agreement", "E3").code.endswith("hub.defect")
        lines = hub.run("submission", "list").json["submissions"]
        (lying,) = [line for line in lines if line["state"] not in ("acknowledged", "refused", "quarantined")]
        assert hub.run("submission", "retry", lying["submission"]).status == 0
    patched.undo()


def named(function: Any, name: str) -> Any:
    function.__name__ = name
    return function


def the_gate_stops(hub: Hub, patched: pytest.MonkeyPatch) -> None:
    """The egress gate raises its alarm; a batch fails its expectations."""

    def stops(*_: Any, **__: Any) -> None:
        code = "egress.identifier"
        raise Corrupt(code, "the parcel holds a direct identifier", "nothing to do")

    made = marked(sample(E2, 30, 20, canary=WORD))
    with patched.context() as here:
        here.setattr(egress, "inspect", stops)
        stopped = hub.run("submit", hub.file(f"{WORD}.csv", csv_bytes(made)), "--agreement", "E2")
        assert (stopped.status, stopped.code) == (1, "egress.identifier")
    spoilt = made.frame.with_columns(pl.col("Nachname") + " 1", pl.col("Kursnummer") + "7")
    held = hub.run("submit", hub.file(f"{WORD}.csv", plain_csv(spoilt)), "--agreement", "E2")
    assert held.json["state"] == "quarantined"


DYING = """
import os, sys
from hub import delivery
from hub.cli import main
delivery.intend = lambda *_: os._exit(9)
sys.argv = ["hub", "submission", "retry", sys.argv[1], "--json"]
main()
"""


def a_process_dies(hub: Hub) -> None:
    """A process dies between the gate and the intent; what it leaves lies there for good."""
    made = marked(sample(E3, 40, 30, canary=WORD))
    hub.bring_consents(made)

    def away(*_: Any) -> None:
        code = "database.away"
        raise Transient(code, "the database does not answer", "try again")

    with pytest.MonkeyPatch.context() as here:
        here.setattr(delivery, "intend", away)
        path = hub.file(f"{WORD}.csv", csv_bytes(made))
        assert hub.run("submit", path, "--agreement", "E3").code == "database.away"
    (lying,) = hub.run("submission", "list", "--state", "protected").json["submissions"]
    environment = {"HUB_HOME": str(hub.home), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    died = subprocess.run(
        [sys.executable, "-c", DYING, lying["submission"]], env=environment, capture_output=True, check=False
    )
    hub.said += [died.stdout.decode(), died.stderr.decode()]
    assert died.returncode == 9
    assert list(hub.settings.data.glob("staging/*/*/parcel"))


def whole_files_fail(hub: Hub) -> None:
    """Broken files, with and without their header line, announced wrongly, under a wrong agreement."""
    whole = csv_bytes(marked(sample(E3, 30, 40, canary=WORD)))
    for wreck, _ in WRECKS.values():
        hub.run("submit", hub.file(f"{WORD}.csv", wreck(whole)), "--agreement", "E3")
    for under, say in ((E3, hub.run), (E2, hub.tell)):
        whole = csv_bytes(marked(sample(under, 30, 41, canary=WORD)))
        _, _, headless = whole.partition(b"\n")
        torn = whole[:-30] + b';"' + WORD.encode()
        for content in (headless, torn, whole.replace(b";", b"|"), whole + b"\xff\xfe\n"):
            answer = say("submit", hub.file(f"{WORD}.csv", content), "--agreement", under.id)
            assert answer.status == 1
    path = hub.file(f"{WORD}.csv", csv_bytes(marked(sample(E3, 30, 41, canary=WORD))))
    assert hub.run("submit", path, "--agreement", "E3", "--rows", 5).code == "file.row_total"
    assert hub.run("submit", path, "--agreement", "E77").code == "file.agreement"


def people_ask(hub: Hub) -> None:
    """Questions that fail: unknown numbers, faulty files of consents."""
    for verb in ("show", "withdraw"):
        hub.run("consent", verb, "--collector", COLLECTOR, "--number", f"{NUMBER}-{WORD}")
        hub.tell("consent", verb, "--collector", COLLECTOR, "--number", "-", stdin=f"{WORD}\n")
    made = marked(sample(E3, 30, 42, canary=WORD))
    assert made.consents is not None
    faulty = {
        "date": made.consents.with_columns(pl.lit(WORD).alias("Erteilt_am")),
        "language": made.consents.with_columns(pl.lit(WORD).alias("Sprache")),
        "missing": made.consents.with_columns(pl.lit("").alias("Vorlage")),
        "column": made.consents.rename({"Nachweis": WORD}),
        "short": made.consents.drop("Nachweis"),
    }
    for name, frame in faulty.items():
        path = hub.file(f"{WORD} {name}.csv", frame.write_csv(separator=";").encode())
        for say in (hub.run, hub.tell):
            assert say("consent", "import", path, "--collector", COLLECTOR).status == 1
    ragged = made.consents.write_csv(separator=";").encode() + f"{ONE_NUMBER};{WORD}\n".encode() * 3
    for content in (ragged, b"\xff\xfe" + WORD.encode("utf-16-le"), ragged[:200] + b'"'):
        path = hub.file(f"{WORD}.csv", content)
        assert hub.run("consent", "import", path, "--collector", COLLECTOR).status == 1
    for submission in submissions(hub):
        hub.tell("submission", "show", submission)
    for arguments in (("submission", "list"), ("parcel", "list"), ("log", "verify"), ("partner", "list")):
        hub.tell(*arguments)


def submissions(hub: Hub) -> list[str]:
    lines = hub.run("submission", "list", "--limit", 1000).json["submissions"]
    return [line["submission"] for line in lines]


def test_every_end_that_a_submission_can_come_to_was_reached(canaried: Hub) -> None:
    states = {
        line["state"] for line in canaried.run("submission", "list", "--limit", 1000).json["submissions"]
    }
    assert states == {"acknowledged", "refused", "quarantined", "protected"}


def test_no_canary_is_in_anything_that_was_said(canaried: Hub, search: Search) -> None:
    assert not told_apart(search.everywhere(said(canaried)))


def test_no_canary_is_in_a_receipt_or_a_report(canaried: Hub) -> None:
    """The sheet's name alone comes back to its sender, who reads places by it."""
    rested = [
        line["submission"]
        for line in canaried.run("submission", "list", "--limit", 1000).json["submissions"]
        if line["state"] != "protected"
    ]
    told = [(place, content.replace(SHEET.encode(), b"")) for place, content in replies(canaried, rested)]
    assert len(told) > 100
    assert not told_apart(Search(CANARIES).everywhere(told))
    signed = [(place, content) for place, content in told if ".jwt" in place]
    assert not told_apart(Search([SHEET]).everywhere(signed))


def test_no_canary_is_in_any_column_of_the_database(canaried: Hub, search: Search) -> None:
    contents = [*tables(canaried), *tables(canaried, "postgres")]
    assert {"hub: hub.consent as text", "hub: ledger.entry as raw"} <= {place for place, _ in contents}
    assert not told_apart(search.everywhere(contents))


def test_no_canary_is_in_any_file_under_hub_home(canaried: Hub, search: Search) -> None:
    """Sealed files, keys, logs, and what PostgreSQL itself writes: tables, statistics, write-ahead log."""
    places = set()

    def each() -> Iterator[tuple[str, bytes]]:
        for place, content in files(canaried):
            places.add(place.partition("/")[0])
            yield place, content

    assert not told_apart(search.everywhere(each()))
    assert {"data", "keys", "postgres", "public", "run"} <= places


@pytest.mark.parametrize("value", CANARIES)
def test_the_search_finds_a_value_in_every_form(value: str) -> None:
    search = Search(CANARIES)
    spoken = {
        "plain": value.encode(),
        "upper case": value.upper().encode(),
        "casefolded": value.casefold().encode(),
        "without separators": value.translate({ord(sign): None for sign in "-./ "}).encode(),
        "turned": value[::-1].encode(),
        "utf-16": value.encode("utf-16"),
        "utf-16 from the other end": value.encode("utf-16-be"),
        "hex": value.encode().hex().upper().encode(),
        "percent": quote(value, safe="").encode(),
        "base64": base64.b64encode(value.encode()),
        "base64 in the middle": base64.b64encode(b'{"name": "' + value.encode() + b'"}'),
        "base64, one further": base64.b64encode(b'{"name":"' + value.encode() + b'", "x": 1}'),
        "base64 for addresses": base64.urlsafe_b64encode(b"ab" + value.encode() + b"\xff\xfe"),
    }
    for form, content in spoken.items():
        assert search.within(form, b"before " + content + b" behind"), form
    assert not search.within("nothing", b"Ein ganz anderer Satz, 01.02.1903, KVHS-1234567")
    shortest = min(map(len, [*forms(value).values(), *base64_forms(value)]))
    assert shortest >= 7, "what is shorter would be found by chance"


def test_the_search_finds_a_value_in_every_kind_of_place(canaried: Hub) -> None:
    """The counter-test: a value that is planted in each kind of place is found there."""
    secret = "Gegenprobe-4711"
    planted = Search([secret])
    folders = ("data/staging", "keys", "run", "public")
    for folder in folders:
        (canaried.home / folder / "planted").write_bytes(b"\0" + secret.encode("utf-16-le"))
        (canaried.home / folder / secret).touch()
    expected = {f"{folder}/planted" for folder in folders} | {
        f"name of {folder}/{secret}" for folder in folders
    }
    assert {hit.place for hit in planted.everywhere(files(canaried))} == expected
    for folder in folders:
        (canaried.home / folder / "planted").unlink()
        (canaried.home / folder / secret).unlink()
    canaried.said.append(f"error at {secret.upper()}")
    assert planted.everywhere(said(canaried))
    canaried.said.pop()
    with canaried.superuser() as database:
        database.execute("CREATE TABLE hub.planted (a text, b bytea, c jsonb, d text[])")
        for column, value in {
            "a": f"'x {secret}'",
            "b": f"convert_to('{secret}', 'UTF8')",
            "c": f"""'{{"deep": ["{secret}"]}}'""",
            "d": f"ARRAY['{secret}']",
        }.items():
            statement = f"INSERT INTO hub.planted ({column}) VALUES ({value})"  # noqa: S608 -- words of this test
            database.execute(statement.encode())
            hits = {hit.place for hit in planted.everywhere(tables(canaried))}
            assert {"hub: hub.planted as text", "hub: hub.planted as raw"} <= hits, column
            database.execute("DELETE FROM hub.planted")
        database.execute("DROP TABLE hub.planted")
    raw = {hit.place.split("/")[1] for hit in planted.everywhere(files(canaried))}
    assert "pg_wal" in raw, "what was deleted still lies in the write-ahead log"
