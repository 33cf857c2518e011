"""What people carry away of the log, and what they find in it: proofs of transfers and rows, searches."""

import csv
import json
import stat
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hub import audit, readings
from hub.errors import Refused
from hub.ledger.entry import Actor
from hub.ledger.search import Criteria
from hub.runtime import open_office
from schemas.samples import sample
from tests.e2e.hub import Hub, agreement


@dataclass(frozen=True)
class Sent:
    """One transfer of E3, and the parcel as its recipient fetched it."""

    submission: str
    parcel: str
    name: str
    file: Path
    intent: dict[str, Any]


@pytest.fixture(scope="module")
def sent(hub: Hub) -> Sent:
    made = sample(agreement("E3"), 120, 5, errors=True)
    hub.bring_consents(made)
    answer = hub.submit(made).json
    (parcel,) = answer["parcels"]
    file = Path(hub.fetch(parcel["id"], parcel["recipient"]).json["file"])
    (intent,) = [entry for entry in hub.log() if entry["kind"] == "intent"]
    return Sent(answer["submission"], parcel["id"], parcel["name"], file, intent)


def trust_file(hub: Hub) -> Path:
    return hub.file("trust.txt", hub.tell("log", "checkpoint", "--trust").stdout.encode())


def rows_of(parcel: Path) -> list[list[str]]:
    with parcel.open(encoding="utf-8", newline="") as source:
        return list(csv.reader(source, delimiter=";"))[1:]


def found(hub: Hub, *asked: object) -> list[dict[str, Any]]:
    answer = hub.run("log", "search", *asked, "--limit", 1000)
    assert answer.status == 0, answer.stderr
    return [line["entry"] for line in answer.json["entries"]]


def test_the_intent_commits_to_the_rows_as_the_recipient_has_them(hub: Hub, sent: Sent) -> None:
    rows = rows_of(sent.file)
    said = sent.intent["commitment"]
    assert (said["scheme"], said["rows"]) == ("rows-sha256-v1", len(rows))
    assert len(bytes.fromhex(sent.intent["consent_policy_digest"])) == 32
    out = hub.desk / "every row"
    for number in (1, 2, len(rows) // 2, len(rows)):
        asked = ("log", "prove", sent.submission, "--row", number, "--parcel", sent.file, "--out", out)
        answer = hub.run(*asked)
        assert answer.status == 0, answer.stderr
        file = Path(answer.json["files"][0])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(json.loads(file.read_text())["row"]) == rows[number - 1]
        checked = hub.run("log", "prove", "--check", file, "--trust", trust_file(hub))
        assert checked.status == 0, checked.stderr
        assert (checked.json["row"], checked.json["rows"]) == (number, len(rows))
        assert checked.json["submission"] == sent.submission
        assert not set(rows[number - 1]) & set(answer.stdout.split('"')), "values stand in the file alone"


@pytest.mark.parametrize("target", ["submission", "parcel", "name", "index"])
def test_a_transfer_is_proved_under_each_of_its_names(hub: Hub, sent: Sent, target: str) -> None:
    index = next(place for place, entry in enumerate(hub.log()) if entry["kind"] == "intent")
    name = index if target == "index" else getattr(sent, target)
    out = hub.desk / f"by {target}"
    answer = hub.run("log", "prove", name, "--out", out)
    assert answer.json["index"] == index
    assert json.loads(answer.json["entry"]) == sent.intent
    body, proof, both = (Path(file) for file in answer.json["files"])
    assert body.read_text() == answer.json["entry"]
    assert proof.read_text() == answer.json["proof"]
    assert proof.read_text().startswith(f"c2sp.org/tlog-proof@v1\nindex {index}\n")
    assert hub.run("log", "prove", "--check", both).json["kind"] == "intent"
    shown = hub.tell("log", "prove", name).stdout
    assert answer.json["entry"] + "\n\nc2sp.org/tlog-proof@v1\n" in shown


def test_a_proof_under_another_logs_trust_or_of_another_row_is_refused(hub: Hub, sent: Sent) -> None:
    out = hub.desk / "spoiled"
    answer = hub.run("log", "prove", sent.submission, "--row", 7, "--parcel", sent.file, "--out", out)
    whole = json.loads(Path(answer.json["files"][0]).read_text())
    other = hub.file("other.json", json.dumps(whole | {"row": whole["row"].replace('"', '"x', 1)}).encode())
    checked = hub.run("log", "prove", "--check", other)
    assert (checked.status, checked.code, checked.json) == (
        1,
        "proof.row",
        {"ok": False, "code": "proof.row"},
    )
    trust = trust_file(hub).read_text().replace("quorum none", "")
    foreign = (
        "\n".join(line for line in trust.splitlines() if not line.startswith("log ")) + "\nquorum none\n"
    )
    stranger = hub.run(
        "log", "prove", "--check", answer.json["files"][0], "--trust", hub.file("f", foreign.encode())
    )
    assert (stranger.status, stranger.code) == (1, "proof.signature")


def test_what_cannot_be_proved_is_refused_with_what_to_do(hub: Hub, sent: Sent) -> None:
    changed = hub.file("changed.csv", sent.file.read_bytes() + b"\n")
    many = sent.intent["commitment"]["rows"] + 1
    for asked, code in (
        (("S-20261122-7KQ2M9XW4T",), "prove.unknown"),
        ((9_999_999,), "ledger.index"),
        ((sent.submission, "--row", 1), "prove.parcel"),
        ((sent.submission, "--row", 1, "--parcel", changed), "prove.parcel"),
        ((sent.submission, "--row", 0, "--parcel", sent.file), "prove.row"),
        ((sent.submission, "--row", many, "--parcel", sent.file), "prove.row"),
        ((sent.submission, "--out", hub.home / "x"), "prove.out"),
        ((), "prove.target"),
        ((sent.submission, "--as", "nobody"), "staff.unknown"),
        ((sent.submission, "--as", "steward"), "staff.role"),
    ):
        if "steward" in asked:
            hub.run("staff", "add", "steward", "--role", "steward")
        answer = hub.run("log", "prove", *asked)
        assert (answer.status, answer.code) == (1, code), asked
        assert "->" in answer.stderr


def test_once_the_seed_is_gone_no_row_is_proved_and_the_transfer_still_is(hub: Hub) -> None:
    made = sample(agreement("E2"), 20, 8)
    answer = hub.submit(made).json
    (parcel,) = answer["parcels"]
    file = hub.fetch(parcel["id"], parcel["recipient"]).json["file"]
    asked = ("log", "prove", parcel["name"], "--row", 1, "--parcel", file, "--out", hub.desk / "e2")
    assert hub.run(*asked).status == 0
    with hub.superuser() as database:
        database.execute("DELETE FROM hub.row_seed WHERE parcel = %s", [parcel["id"]])
    assert hub.run(*asked).code == "prove.shredded"
    proofs = hub.run("log", "prove", parcel["name"], "--out", hub.desk / "e2 later").json["files"]
    assert hub.run("log", "prove", "--check", proofs[2]).json["ok"]
    assert hub.run("log", "prove", "--check", hub.desk / "e2" / f"{parcel['id']}.row-1.proof.json").json["ok"]
    assert hub.run("log", "verify").json["ok"]


def test_an_auditor_finds_entries_by_everything_that_is_asked_for(hub: Hub, sent: Sent) -> None:
    log = [entry for entry in hub.log() if entry["kind"] != "log_read"]
    of_e3 = [entry for entry in log[::-1] if entry.get("agreement") == "E3"]
    assert found(hub, "--agreement", "E3") == of_e3
    assert {entry["kind"] for entry in of_e3} >= {"agreement", "submission", "decision", "intent", "outcome"}
    assert found(hub, "--partner", "integrationsbegleitung", "--kind", "intent") == [sent.intent]
    assert found(hub, "--purpose", "ServiceProvision", "--kind", "intent", "--agreement", "E3") == [
        sent.intent
    ]
    assert found(hub, "--purpose", sent.intent["purpose"], "--submission", sent.submission)
    for basis in ("consent", "language-progress@1", "consent: language-progress@1"):
        assert {entry["legal_basis"] for entry in found(hub, "--legal-basis", basis)} == {
            "consent: language-progress@1"
        }
    reasons = {"consent.missing", "row.duplicate"} & set(
        next(entry for entry in log if entry["kind"] == "decision")["reasons"]
    )
    assert reasons
    for reason in reasons:
        kinds = {entry["kind"] for entry in found(hub, "--reason", reason)}
        assert kinds == {"decision", "outcome"}
    assert {entry["kind"] for entry in found(hub, "--actor", "administrator")} >= {"agreement", "key"}
    assert {entry["kind"] for entry in found(hub, "--actor", "kreisvolkshochschule")} == {"consent"}
    assert found(hub, "--agreement", "E3", "--partner", "jobcenter-peine") == []
    today = datetime.now(UTC).date()
    assert len(found(hub, "--from", today - timedelta(days=1), "--to", today + timedelta(days=1))) >= len(log)
    assert found(hub, "--to", date(2020, 1, 1)) == []
    assert found(hub, "--from", (datetime.now(UTC) + timedelta(hours=1)).isoformat()) == []
    told = hub.tell("log", "search", "--agreement", "E3", "--limit", 2).stdout
    assert "kreisvolkshochschule" in told
    assert "--older" in told


@pytest.mark.usefixtures("sent")
def test_a_search_goes_on_where_it_ended(hub: Hub) -> None:
    whole = [line["index"] for line in hub.run("log", "search", "--agreement", "E3").json["entries"]]
    paged: list[int] = []
    older: list[object] = []
    while True:
        answer = hub.run("log", "search", "--agreement", "E3", "--limit", 2, *older).json
        paged += [line["index"] for line in answer["entries"]]
        if answer["older"] is None:
            break
        older = ["--older", answer["older"]]
    assert paged == whole


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (("--kind", "gossip"), "search.kind"),
        (("--from", "yesterday"), "period.instant"),
        (("--to", "2026-11-22T12:00:00"), "period.instant"),
        (("--as", "nobody"), "staff.unknown"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(hub: Hub, asked: tuple[str, str], code: str) -> None:
    answer = hub.run("log", "search", *asked)
    assert (answer.status, answer.code) == (1, code)


def test_who_searches_for_a_name_brings_none_into_the_log(hub: Hub) -> None:
    hub.run("staff", "add", "erika.auditorin", "--role", "auditor")
    for asked in (("--actor", "Mustermann-Canary"), ("--partner", "Canary"), ("--submission", "S-Canary")):
        assert found(hub, *asked, "--as", "erika.auditorin") == []
        assert set(hub.log()[-1]["details"].values()) == {"unknown"}
    alias = hub.log()[-1]["actor"]
    assert (alias["role"], alias["id"][:2]) == ("auditor", "M-")
    mine = found(hub, "--actor", "erika.auditorin")
    assert {entry["actor"]["id"] for entry in mine} == {alias["id"]}
    assert hub.log()[-1]["details"]["of_actor"] == alias["id"]
    assert not [entry for entry in hub.log() if "anary" in str(entry) or "erika" in str(entry)]


def age(hub: Hub, minutes: int) -> None:
    """Let the readings under way have begun so much earlier."""
    with hub.superuser() as database:
        database.execute(
            "UPDATE hub.log_reading SET opened_at = opened_at - make_interval(mins => %s)", [minutes]
        )


@pytest.mark.usefixtures("sent")
def test_paging_is_told_by_two_entries_and_reading_of_readings_feeds_nothing(hub: Hub) -> None:
    reader = Actor(role="auditor", id="M-PAGER")

    def told() -> list[dict[str, Any]]:
        return [entry for entry in hub.log() if entry["actor"]["id"] == reader.id]

    with open_office(hub.settings) as office:
        shown: list[int] = []
        upto: int | None = None
        for page in range(4):
            excerpt = audit.browse(office, reader, Criteria(kind="log_read"), upto=upto, limit=2)
            shown += [line.index for line in excerpt.lines]
            upto = excerpt.older
            (opening,) = told()
            assert opening["details"] == {"of_kind": "log_read", "first": shown[1], "last": shown[0]}, page
        audit.browse(office, reader, Criteria(agreement="E3"), limit=1)
        assert len(told()) == 2, "another question is told at once"
        assert readings.close(office) == 0, "no window is over"
        age(hub, 6)
        assert readings.close(office) >= 2
        closing = told()[-1]
        assert (closing["kind"], closing["reason"]) == ("log_read", "entries")
        assert {
            name: closing["details"][name] for name in ("of_kind", "readings", "entries", "first", "last")
        } == {
            "of_kind": "log_read",
            "readings": 4,
            "entries": 8,
            "first": min(shown),
            "last": max(shown),
        }
        seen = {
            index
            for run in closing["details"]["seen"].split()
            for index in range(int(run.split("-")[0]), int(run.split("-")[-1]) + 1)
        }
        assert seen == set(shown)
        assert len(told()) == 3, "what was read once is told by its opening alone"
        assert readings.close(office) == 0
        audit.browse(office, reader, Criteria(kind="log_read"), limit=2)
        assert len(told()) == 4, "a new window is a new reading"
        age(hub, 6)
        before = len(hub.log())
        audit.examine(office, Actor(role="auditor", id="M-OTHER"), 0)
        assert len(hub.log()) == before + 1, (
            "whoever comes next closes what is over; once read, there is no more"
        )
    assert hub.run("log", "verify").json["ok"]


def test_what_is_not_noted_is_not_shown(hub: Hub) -> None:
    reader = Actor(role="auditor", id="M-HIDDEN")
    with open_office(hub.settings) as office, hub.superuser() as database:
        audit.browse(office, reader)
        database.execute("REVOKE UPDATE ON hub.log_reading FROM hub_application")
        database.execute("REVOKE UPDATE (readings, seen, last_at) ON hub.log_reading FROM hub_application")
        try:
            with pytest.raises(Exception, match="database") as caught:
                audit.browse(office, reader)
            assert not isinstance(caught.value, Refused)
        finally:
            database.execute("GRANT UPDATE (readings, seen, last_at) ON hub.log_reading TO hub_application")
        assert audit.browse(office, reader).lines


@pytest.mark.usefixtures("sent")
def test_the_keys_of_the_hub_and_of_partners_are_told_in_the_log(hub: Hub) -> None:
    keys = [entry for entry in hub.log() if entry["kind"] == "key"]
    made = next(entry for entry in keys if entry["reason"] == "keys_made")
    assert made["details"]["log"] == (hub.settings.public / "log.vkey").read_text().strip()
    assert made["key_versions"]["log"] == 1
    (added,) = [
        entry for entry in keys if entry.get("details", {}).get("partner") == "integrationsbegleitung"
    ]
    assert added["reason"] == "partner_key_added"
    assert added["details"]["fingerprint"].startswith("SHA256:")
    hub.run(
        "partner",
        "add",
        "integrationsbegleitung",
        "--public-key",
        f"{hub.key_of('integrationsbegleitung')}.pub",
    )
    assert len([entry for entry in hub.log() if entry["kind"] == "key"]) == len(keys)


def test_each_decision_stands_before_the_intent_that_rests_on_it(hub: Hub, sent: Sent) -> None:
    of_it = [entry for entry in hub.log() if entry.get("submission") == sent.submission]
    kinds = [entry["kind"] for entry in of_it]
    assert kinds[kinds.index("intent") - 1] == "decision"
    decision = of_it[kinds.index("decision")]
    assert decision["counts"] == sent.intent["counts"]
    fates = ("already_delivered", "refused", "withheld", "quarantined")
    assert sum(decision["reasons"].values()) == sum(decision["counts"][fate] for fate in fates)
    assert decision["consent_policy_digest"] == sent.intent["consent_policy_digest"]
