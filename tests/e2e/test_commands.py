"""Every verb answers alike: JSON on demand, an exit status, and what to do if it fails."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from typer.testing import CliRunner

from hub.cli.program import app
from hub.ledger.evidence import Promise
from hub.ledger.policy import read_trust, weigh
from hub.settings import Settings
from schemas.samples import sample
from tests.e2e.hub import COLLECTOR, Answer, Hub, agreement, make_key

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
MACHINE = {
    "hub bench",  # takes minutes; benchmarks/ holds its own tests
    "hub up",  # runs until it is ended; integration/test_service_up
    "hub demo",  # makes its own hub and takes minutes; alive/test_demo
    "hub drop",  # runs until it is ended; integration/test_drop_process
    "hub airflow",  # answers with Airflow's words; integration/test_service_airflow
}
Verbs = dict[str, Any]


def leaves(command: Any, name: str = "hub") -> Iterator[tuple[str, Any]]:
    """Every verb with its full name."""
    for word, below in sorted(getattr(command, "commands", {}).items()):
        yield from leaves(below, f"{name} {word}")
    if not getattr(command, "commands", {}):
        yield name, command


VERBS: Verbs = dict(leaves(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def desk(hub: Hub) -> dict[str, str]:
    """What the verbs are tried on."""
    made = sample(agreement("E2"), 5, 1)
    e3 = sample(agreement("E3"), 5, 1)
    assert hub.bring_consents(e3).status == 0
    done = hub.submit(made)
    assert hub.run("staff", "add", "leaver", "--role", "steward").status == 0
    (hub.desk / "empty.csv").write_bytes(b"")
    watched = watch(hub)
    return watched | {
        "file": str(hub.written(made, "Liste")),
        "empty": str(hub.desk / "empty.csv"),
        "consents": str(hub.desk / "Einwilligungen.csv"),
        "number": str(e3.frame["Teilnehmernummer"][0]),
        "submission": done.json["submission"],
        "parcel": done.json["parcels"][0]["id"],
        "key": str(hub.key_of("jobcenter-peine")),
        "stranger": str(make_key(hub.desk / "stranger").with_suffix("")),
        "public": str(hub.desk / "stranger.pub"),
        "out": str(hub.desk / "out"),
        "agreements": str(ROOT / "schemas" / "agreements"),
        "readme": str(ROOT / "pyproject.toml"),
    }


def watch(hub: Hub) -> dict[str, str]:
    """Lay the log open and have a witness cosign it, whom the hub knows."""
    assert hub.run("log", "checkpoint", "--publish").status == 0
    vkey = (hub.settings.public / "log.vkey").read_text(encoding="utf-8").strip()
    folders = {"public_log": str(hub.settings.public_log), "state": str(hub.desk / "witness")}
    cosigned = str(hub.desk / "cosigned")
    given = ["--log", folders["public_log"], "--state", folders["state"], "--log-key", vkey]
    seen = hub.run("log", "witness", *given, "--name", "agency.example/w1", "--out", cosigned)
    assert seen.status == 0
    hub.settings.policy_file.write_text(f"witness w1 {seen.json['witness']}\nquorum w1\n", encoding="utf-8")
    hub.settings.policy_file.chmod(0o600)
    return folders | {"vkey": vkey, "cosigned": cosigned}


DONE = {
    "hub init": "",
    "hub submit": "{file} --agreement E2",
    "hub submission list": "--state acknowledged --limit 5",
    "hub submission show": "{submission} --save {out}",
    "hub submission retry": "{submission}",
    "hub parcel list": "--recipient jobcenter-peine",
    "hub parcel fetch": "{parcel} --key {key} --out {out}",
    "hub agreement check": "{agreements}",
    "hub agreement list": "",
    "hub agreement show": "E3",
    "hub agreement sample": "E3 --out {out} --rows 20",
    "hub partner add": "integrationsbegleitung --public-key {public}",
    "hub partner list": "",
    "hub consent import": "{consents} --collector " + COLLECTOR,
    "hub consent show": "--collector " + COLLECTOR + " --number {number}",
    "hub consent withdraw": "--collector " + COLLECTOR + " --number {number}",
    "hub staff add": "auditor --role auditor",
    "hub staff list": "",
    "hub staff suspend": "leaver",
    "hub review list": "",
    "hub review show": "{submission}",
    "hub retention show": "",
    "hub retention run": "--dry-run",
    "hub restore show": "",
    "hub log verify": "",
    "hub log prove": "{submission}",
    "hub log search": "--agreement E3 --from 2026-01-01",
    "hub log checkpoint": "--publish",
    "hub log witness": "--log {public_log} --state {state} --log-key {vkey} --once",
    "hub log cosign": "{cosigned}",
}
FAILED = {
    "hub submit": ("{empty} --agreement E2", "file.empty"),
    "hub submission show": ("S-20250101-AAAAAAAAAA", "submission.unknown"),
    "hub submission retry": ("S-20250101-AAAAAAAAAA", "submission.unknown"),
    "hub submission recall": ("{submission}", "submission.sent"),
    "hub parcel fetch": ("P-none --key {key}", "parcel.unknown"),
    "hub agreement check": ("{readme}", "agreement.file"),
    "hub agreement show": ("E99", "file.agreement"),
    "hub agreement sample": ("E99", "file.agreement"),
    "hub partner add": ("jobcenter-peine --public-key {readme}", "partner.key"),
    "hub consent import": ("{file} --collector " + COLLECTOR, "consent.file"),
    "hub consent withdraw": ("--collector " + COLLECTOR + " --number nobody", "person.unknown"),
    "hub staff add": ("Steward --role steward", "staff.name"),
    "hub staff suspend": ("nobody", "staff.unknown"),
    "hub review show": ("S-20250101-AAAAAAAAAA", "submission.unknown"),
    "hub review approve": ("{submission} --as leaver --key {key}", "review.not_waiting"),
    "hub review reject": ("{submission} --as leaver --key {key}", "review.not_waiting"),
    "hub backup": ("{agreements}", "backup.target"),
    "hub restore from": ("{agreements}", "restore.manifest"),
    "hub restore approve": ("--as leaver --key {key}", "restore.nothing"),
    "hub log verify": ("--receipt {readme}", "receipt.malformed"),
    "hub log prove": ("--check {readme}", "proof.malformed"),
    "hub log search": ("--kind gossip", "search.kind"),
    "hub log witness": ("--log /no/such/folder --state {state}", "source.address"),
    "hub log cosign": ("{readme}", "cosignature.malformed"),
    "hub log export": ("--out {readme}", "kit.exists"),
}
WRONG = {
    "hub init": "--nonsense",
    "hub submit": "",
    "hub submission list": "--limit 0",
    "hub submission show": "",
    "hub submission retry": "",
    "hub submission recall": "",
    "hub parcel list": "surplus",
    "hub parcel fetch": "P-1",
    "hub agreement check": "",
    "hub agreement list": "surplus",
    "hub agreement show": "",
    "hub agreement sample": "E3 --rows 0",
    "hub partner add": "jobcenter-peine",
    "hub partner list": "surplus",
    "hub consent import": "",
    "hub consent show": "--collector " + COLLECTOR,
    "hub consent withdraw": "--number 1",
    "hub staff add": "steward",
    "hub staff list": "surplus",
    "hub staff suspend": "",
    "hub review list": "surplus",
    "hub review show": "",
    "hub review approve": "S-1 --as weber",
    "hub review reject": "S-1 --as weber --key {key} --to-sign {out}",
    "hub retention show": "surplus",
    "hub retention run": "--nonsense",
    "hub backup": "",
    "hub restore from": "/no/such/folder",
    "hub restore show": "surplus",
    "hub restore approve": "--as leaver",
    "hub log verify": "--receipt /no/such/file",
    "hub log prove": "--check /no/such/file",
    "hub log search": "--limit 0",
    "hub log checkpoint": "--trust --paper",
    "hub log witness": "--state {out}",
    "hub log cosign": "",
    "hub log export": "--from yesterday",
}


def words(verb: str, arguments: str, desk: dict[str, str]) -> list[str]:
    return [*verb.split()[1:], *(word.format(**desk) for word in arguments.split())]


def test_every_verb_is_tried_here() -> None:
    assert DONE.keys() | FAILED.keys() == VERBS.keys() - MACHINE
    assert WRONG.keys() == VERBS.keys() - MACHINE


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_takes_json(verb: str) -> None:
    said = CliRunner().invoke(app, [*verb.split()[1:], "--help"], env={"COLUMNS": "200"})
    assert said.exit_code == 0
    summary = str(VERBS[verb].help).strip().splitlines()[0]
    assert len(summary) > 20
    assert summary in re.sub(r"\s+", " ", said.stdout)
    assert "--json" in said.stdout


@pytest.mark.parametrize("verb", DONE)
def test_a_verb_that_is_done_answers_with_one_json_object_and_status_0(
    hub: Hub, desk: dict[str, str], verb: str
) -> None:
    answer = hub.run(*words(verb, DONE[verb], desk))
    assert answer.status == 0, answer.stderr
    assert isinstance(answer.json, dict)
    assert answer.json
    assert "error" not in answer.json
    assert answer.stdout.endswith("}\n")


@pytest.mark.parametrize("verb", [verb for verb in DONE if verb not in ("hub submit", "hub parcel fetch")])
def test_a_verb_that_is_done_answers_people_in_words(hub: Hub, desk: dict[str, str], verb: str) -> None:
    answer = hub.tell(*words(verb, DONE[verb], desk))
    assert answer.status == 0
    assert answer.stdout.strip()
    assert not answer.stdout.lstrip().startswith("{")


@pytest.mark.parametrize("verb", FAILED)
def test_a_verb_that_fails_says_code_message_and_remedy_with_status_1(
    hub: Hub, desk: dict[str, str], verb: str
) -> None:
    arguments, code = FAILED[verb]
    answer = hub.run(*words(verb, arguments, desk))
    assert (answer.status, answer.code) == (1, code)
    first, second = answer.stderr.splitlines()[-2:]
    assert len(first.removeprefix(f"{code}: ")) > 10
    assert second.startswith("-> ")
    assert len(second) > 10
    if "error" in answer.json:
        told = answer.json["error"]
        assert told == {"code": code, "message": first.removeprefix(f"{code}: "), "remedy": second[3:]}
    plain = hub.tell(*words(verb, arguments, desk))
    assert (plain.status, plain.stderr.splitlines()[-2:]) == (1, [first, second])


@pytest.mark.parametrize("verb", WRONG)
def test_wrong_usage_has_status_2_and_shows_the_usage(hub: Hub, desk: dict[str, str], verb: str) -> None:
    answer = hub.run(*words(verb, WRONG[verb], desk))
    assert (answer.status, answer.stdout) == (2, "")
    assert f"Usage: {verb}" in answer.stderr or "Usage:" in answer.stderr


def test_a_word_that_is_no_verb_is_wrong_usage(hub: Hub) -> None:
    for words_ in (["frobnicate"], ["submission", "frobnicate"]):
        assert hub.tell(*words_).status == 2


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - MACHINE - {"hub init"}))
def test_without_a_hub_every_verb_says_how_to_make_one(
    tmp_path: Path, desk: dict[str, str], verb: str
) -> None:
    nowhere = Hub(tmp_path / "nothing here")
    arguments = DONE.get(verb) or FAILED.get(verb, ("", ""))[0]
    answer = nowhere.run(*words(verb, arguments, desk | {"out": str(tmp_path / "out")}))
    if verb in ("hub agreement check", "hub agreement sample", "hub log witness"):
        assert answer.status == 0, "files alone are needed"
    else:
        assert (answer.status, answer.code) == (1, "hub.not_initialised")
        assert "hub init" in answer.json["error"]["remedy"]
    assert not (tmp_path / "nothing here").exists(), "asking makes nothing"


def test_init_again_changes_nothing(hub: Hub) -> None:
    keys = {path: path.read_bytes() for path in hub.settings.key_folder.rglob("*") if path.is_file()}
    log = hub.log()
    answer = hub.run("init")
    assert (answer.status, answer.json["activated"]) == (0, [])
    assert {path: path.read_bytes() for path in keys} == keys
    assert hub.log()[: len(log)] == log
    assert hub.run("log", "verify").status == 0


def test_a_table_that_is_piped_on_is_whole(hub: Hub, desk: dict[str, str]) -> None:
    lists = {"submission list": desk["submission"], "parcel list": desk["parcel"]}
    for verb, word in lists.items():
        assert word in hub.tell(*verb.split()).stdout
    said = hub.tell("agreement", "show", "E3").stdout
    assert all(field.title.en in said for field in agreement("E3").fields)


def test_a_submission_shows_what_programs_rely_on(hub: Hub, desk: dict[str, str]) -> None:
    told = hub.show(desk["submission"])
    assert told.keys() >= {
        "submission",
        "agreement",
        "rows",
        "reasons",
        "transfer",
        "log_index",
        "parcels",
        "seconds",
    }
    assert list(told["seconds"]) == ["receive", "validate", "authorise", "protect", "deliver", "acknowledge"]
    assert told["transfer"] == desk["parcel"]
    assert re.fullmatch(r"S-\d{8}-[0-9A-HJKMNP-TV-Z]{10}", told["submission"])


def test_a_setting_that_is_wrong_is_named(hub: Hub) -> None:
    for verb in ("submission list", "parcel fetch P-1 --key " + str(README), "init"):
        answer = hub.run(*verb.split(), HUB_LEASE_SECONDS="soon", HUB_PART_ROWS="-1")
        assert (answer.status, answer.code) == (1, "settings.value")
        assert "HUB_LEASE_SECONDS" in answer.stderr
        assert "HUB_PART_ROWS" in answer.stderr
        assert "soon" not in answer.stderr


def test_hub_home_is_private(hub: Hub) -> None:
    for path in (hub.home, *hub.home.rglob("*")):
        if not path.is_symlink() and not path.is_relative_to(hub.settings.postgres):
            assert path.stat().st_mode & 0o077 == 0, path.relative_to(hub.home)


def test_a_checkpoint_is_taken_along_as_a_trust_file_and_on_paper(hub: Hub, desk: dict[str, str]) -> None:
    assert hub.run("log", "cosign", desk["cosigned"]).status == 0
    told = hub.run("log", "checkpoint", "--cosigned").json
    assert (list(told["cosigned"]), told["quorum"]) == (["w1"], True)
    assert told["note"].encode() == Path(desk["cosigned"]).read_bytes()
    trusted = read_trust(hub.tell("log", "checkpoint", "--cosigned", "--trust").stdout.encode())
    assert weigh(trusted, told["note"]).reached
    assert trusted.kept == (Promise(told["size"], bytes.fromhex(told["root"])),)
    pem = load_pem_public_key((hub.settings.public / "receipts.pem").read_bytes())
    assert [key.public for key in trusted.receipts] == [pem]
    paper = hub.tell("log", "checkpoint", "--cosigned", "--paper").stdout
    assert told["root"] == "".join(re.findall(r"\b[0-9a-f]{8}\b", paper.partition("Wurzel")[2])[:8])
    assert f"\nkept {told['size']} {b64encode(bytes.fromhex(told['root'])).decode()}\n" in paper
    assert max(map(len, paper.splitlines())) <= 80, "it fits a sheet"
    newest = hub.run("log", "checkpoint").json
    assert newest["size"] >= told["size"]
    assert hub.tell("log", "checkpoint").stdout == newest["note"]


def test_the_readme_lists_exactly_the_verbs_of_the_program() -> None:
    section = README.read_text(encoding="utf-8").split("## The command line", 1)[1]
    block = section.split("```", 2)[1]
    listed = [re.split(r"\s{2,}", line.strip())[0] for line in block.splitlines() if line.strip()]
    listed = [line for line in listed if line.startswith("hub ")]
    assert sorted(listed) == sorted(VERBS)


def test_the_answer_to_a_refused_file_is_the_submission_itself(hub: Hub, desk: dict[str, str]) -> None:
    """A program that reads JSON learns the id of what was refused, and the code beside it."""
    answer = hub.run("submit", desk["empty"], "--agreement", "E2")
    assert json.loads(answer.stdout)["reason"] == answer.code == "file.empty"
    again: Callable[..., Answer] = hub.run
    assert again("submission", "show", answer.json["submission"]).json["state"] == "refused"


def test_settings_default_to_a_hub_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HUB_HOME", raising=False)
    assert Settings().root == tmp_path / ".hub"
