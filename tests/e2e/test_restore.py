"""Yesterday's database put back: noticed, shown, and opened again by two people, with nothing done twice."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub import arrivals, intake, standing
from hub.errors import Transient
from hub.ledger import store
from hub.ledger.verify import verify_database
from hub.runtime import initialise, open_office
from hub.settings import Settings
from hub.uploads import Uploads
from schemas.samples import Sample, csv_bytes, sample
from tests.e2e.hub import COLLECTOR, Answer, Hub, agreement, make_key

BEFORE, AFTER, LATER = 30, 24, 6


@dataclass
class Story:
    """A hub whose database went back by a day, and what it had been through since."""

    hub: Hub
    backup: Path
    keys: dict[str, Path] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    second: dict[str, Any] = field(default_factory=dict)
    lost: str = ""
    made: Sample | None = None
    withdrawn: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    checkpoint: Path = Path()
    receipts: list[Path] = field(default_factory=list)
    restored: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("restore") / "home"
    initialise(Settings(home=home))
    told = Story(Hub(home), home.parent / "yesterday")
    with open_office(told.hub.settings):
        _yesterday(told)
        _today(told)
    told.restored = told.hub.run("restore", "from", told.backup).json
    with open_office(told.hub.settings):
        yield told


def _yesterday(told: Story) -> None:
    hub = told.hub
    for name, role in (("weber", "steward"), ("yilmaz", "data_protection_officer"), ("gone", "steward")):
        told.keys[name] = hub.desk / name
        public = make_key(told.keys[name])
        assert hub.run("staff", "add", name, "--role", role, "--public-key", public).status == 0
    told.made = sample(agreement("E3"), BEFORE + AFTER, 11)
    assert hub.bring_consents(told.made).status == 0
    answer = hub.submit_csv(told.made, told.made.frame.head(BEFORE))
    assert answer.json["rows"]["delivered"] == BEFORE
    told.first = answer.json
    assert hub.key_of(told.first["parcels"][0]["recipient"]).exists()
    made = hub.run("backup", told.backup)
    assert made.status == 0, made.stderr
    assert made.json["keys"] is False


def _today(told: Story) -> None:
    """Everything that a database of yesterday knows nothing of."""
    hub, made = told.hub, told.made
    assert made is not None
    answer = hub.submit_csv(made, made.frame.slice(BEFORE, AFTER - LATER))
    assert answer.json["rows"]["delivered"] == AFTER - LATER
    told.second = answer.json
    assert hub.run("staff", "suspend", "gone").status == 0
    told.withdrawn = made.frame["Teilnehmernummer"][BEFORE + AFTER - 1]
    assert hub.withdraw(told.withdrawn).json["withdrawn"] >= 1
    with open_office(hub.settings) as office:
        source = io.BytesIO(csv_bytes(sample(agreement("E7"), 3, 5)))
        told.lost = intake.accept(office, source, "E7", intake.Totals())
        with office.database.transaction() as session:
            note = store.latest_checkpoint(session)
    told.checkpoint = hub.desk / "checkpoint"
    told.checkpoint.write_text(note, encoding="utf-8")
    told.receipts = [
        path for end, path in hub.saved(told.second["submission"]).items() if end.endswith("jwt")
    ]
    told.log = hub.log()


def _code(answer: Answer) -> str:
    """The code of the error; before it stderr says that the hub is closed."""
    code: str = answer.json["error"]["code"]
    return code


def test_a_database_of_yesterday_is_noticed_and_every_command_says_so(story: Story) -> None:
    assert story.restored["open"] is False
    assert story.restored["kept_as"].startswith("hub_before_")
    answer = subprocess.run(
        [sys.executable, "-c", "from hub.cli import main; main()", "submission", "list"],
        env={**os.environ, "HUB_HOME": str(story.hub.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, "one may look"
    assert "hub.closed" in answer.stderr
    assert "hub restore show" in answer.stderr


def test_nothing_is_written_or_sent_while_the_hub_is_closed(story: Story) -> None:
    hub = story.hub
    size = len(hub.log())
    assert story.made is not None
    refused = hub.submit_csv(story.made, story.made.frame.tail(LATER))
    assert (refused.status, _code(refused)) == (1, "hub.closed")
    (parcel,) = story.first["parcels"]
    assert _code(hub.withdraw(story.withdrawn)) == "hub.closed"
    assert _code(hub.fetch(parcel["id"], parcel["recipient"])) == "hub.closed"
    with (
        open_office(hub.settings) as office,
        pytest.raises(Transient) as caught,
        office.database.transaction() as session,
    ):
        standing.before_sending(session, office, story.first["submission"], Path("none"), b"")
    assert caught.value.code == "hub.closed"
    assert len(hub.log()) == size


def test_the_drop_still_takes_files_and_keeps_them_for_later(story: Story) -> None:
    with open_office(story.hub.settings) as office:
        uploads = Uploads(office)
        upload, blocks = uploads.begin("jobcenter-peine", "E7", "Liste.csv", 10_000)
        content = csv_bytes(sample(agreement("E7"), 2, 99))
        blocks.write(0, content)
        uploads.close(upload, blocks.settle())
        blocks.close()
        uploads.release(upload)
        made, errors = arrivals.recover(office, uploads)
        assert made == []
        assert [error.code for error in errors] == ["hub.closed"]
        assert upload.stage == "closed"
        uploads.discard(upload)


def test_what_is_missing_is_named(story: Story) -> None:
    shown = story.hub.run("restore", "show").json
    assert shown["open"] is False
    missing = story.log[shown["entries"]["here"] :]
    assert shown["entries"]["known"] == len(story.log)
    assert sum(shown["entries"]["kinds"].values()) == len(missing)
    assert shown["sent"] == [parcel["name"] for parcel in story.second["parcels"]]
    assert shown["withdrawals"] >= 1
    assert shown["hand_in_again"] == [story.lost]
    assert shown["approved_by"] == []


def _approve(story: Story, name: str, key: str | None = None) -> Answer:
    return story.hub.run("restore", "approve", "--as", name, "--key", story.keys[key or name])


def test_two_people_open_the_hub_and_one_person_twice_does_not(story: Story) -> None:
    hub = story.hub
    assert _code(_approve(story, "gone")) == "review.role", "suspended since then"
    assert _code(_approve(story, "weber", "yilmaz")) == "review.signature"
    first = _approve(story, "weber")
    assert first.status == 0, first.stderr
    assert first.json["open"] is False
    assert _code(_approve(story, "weber")) == "review.same_person"
    assert hub.run("restore", "show").json["approved_by"] == ["weber"]
    second = _approve(story, "yilmaz")
    assert second.status == 0, second.stderr
    assert second.json["open"] is True
    assert second.json["done"]["lost"] == 1
    assert hub.run("restore", "show").json["open"] is True
    assert _code(_approve(story, "yilmaz")) == "restore.nothing"


def test_the_log_is_the_old_one_byte_for_byte_and_names_the_gap(story: Story) -> None:
    hub = story.hub
    log = hub.log()
    assert log[: len(story.log)] == story.log
    entry = log[len(story.log)]
    here = hub.run("restore", "show").json["entries"]["here"]
    assert here == len(log)
    assert entry["kind"] == "restore"
    assert entry["span"] == {"first": entry["details"]["database_size"], "last": len(story.log) - 1}
    people = {entry["details"]["alias_1"], entry["details"]["alias_2"]}
    assert len(people) == 2
    proofs = [option for path in story.receipts for option in ("--receipt", path)]
    answer = hub.run("log", "verify", "--checkpoint", story.checkpoint, *proofs)
    assert answer.json["ok"], answer.json


def test_nothing_is_sent_twice_and_no_withdrawal_is_forgotten(story: Story) -> None:
    hub, made = story.hub, story.made
    assert made is not None
    shown = hub.show(story.second["submission"])
    assert (shown["state"], shown["rows"], shown["parcels"]) == (
        "acknowledged",
        story.second["rows"],
        story.second["parcels"],
    )
    again = hub.submit_csv(made, made.frame.head(BEFORE + AFTER - LATER))
    assert again.json["rows"]["delivered"] == 0
    assert again.json["rows"]["already_delivered"] == BEFORE + AFTER - LATER
    rest = hub.submit_csv(made, made.frame.tail(LATER))
    assert rest.json["rows"]["withheld"] == 1
    assert rest.json["rows"]["delivered"] == LATER - 1
    hub.bring_consents(made)
    assert hub.run("consent", "show", "--collector", COLLECTOR, "--number", story.withdrawn).json["consents"]
    once_more = hub.submit_csv(made, made.frame.tail(1))
    assert once_more.json["rows"]["withheld"] == 1, "an old file of consents brings nothing back"


def test_what_was_lost_is_refused_and_its_sender_is_told(story: Story) -> None:
    shown = story.hub.show(story.lost)
    assert (shown["state"], shown["reason"]) == ("refused", "submission.lost")
    with open_office(story.hub.settings) as office, office.database.transaction() as session:
        token = session.connection().exec_driver_sql(
            "SELECT count(*) FROM hub.receipt WHERE kind = 'refused'"
        )
        assert token.scalar() == 1


def test_the_hub_goes_on_and_the_whole_log_verifies(story: Story) -> None:
    made = sample(agreement("E7"), 4, 77)
    assert story.hub.submit_csv(made).json["rows"]["delivered"] == 4
    with open_office(story.hub.settings) as office, office.database.audit() as session:
        found = verify_database(
            session.connection(),
            log_key=office.ring.log_public(),
            receipt_key=office.ring.receipt_public(),
            origin=office.settings.origin,
        )
    assert found.ok, found.findings


def test_the_journal_holds_no_number_and_no_name(story: Story) -> None:
    text = "".join(path.read_text("utf-8") for path in story.hub.settings.journal_folder.rglob("*.jsonl"))
    assert story.withdrawn not in text
    with open_office(story.hub.settings) as office:
        opened = json.dumps([record.content for record in office.journal.records()])
    assert story.withdrawn not in opened
    assert story.made is not None
    assert not any(name in opened for name in story.made.frame["Kursnummer"].unique() if len(name) > 5)
