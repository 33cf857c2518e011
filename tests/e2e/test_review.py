"""Two people, each with a key of their own, release what is held back; nothing less than that does."""

import base64
import io
import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from hub import dual_control, exchange, intake, lots, review, sshsig
from hub.errors import Corrupt, HubError, Refused
from hub.runtime import open_office
from schemas.samples import sample
from tests.e2e.hub import Answer, Hub, agreement, make_key, plain_csv

ROWS, GOOD = 12, 4
E2 = agreement("E2")
SEEDS = itertools.count(100)
ROLES = {
    "weber": "steward",
    "yilmaz": "steward",
    "dpo": "data_protection_officer",
    "auditor": "auditor",
}


@pytest.fixture(scope="module")
def people(hub: Hub) -> dict[str, Path]:
    """The private keys of the staff, by name."""
    keys = {name: hub.desk / f"staff-{name}.key" for name in ROLES}
    for name, role in ROLES.items():
        public = make_key(keys[name])
        assert hub.run("staff", "add", name, "--role", role, "--public-key", public).status == 0
    return keys


@pytest.fixture(scope="module")
def waiting(hub: Hub) -> Iterator[str]:
    """Submissions that are held back, each of a file of its own; all were taken in by one process."""
    with open_office(hub.settings) as office:
        ready = [intake.accept(office, io.BytesIO(spoilt()), "E2", intake.Totals()) for _ in range(16)]
        assert {exchange.carry(office, submission) for submission in ready} == {"quarantined"}
    return iter(ready)


@pytest.fixture
def held(waiting: Iterator[str], people: dict[str, Path]) -> str:
    """A submission that is held back, and on which nobody has decided; ``people`` are there to do so."""
    assert people
    return next(waiting)


def spoilt() -> bytes:
    """Write a file of which more rows are wrong than its agreement expects."""
    made = sample(E2, ROWS, next(SEEDS))
    course = pl.col("Kursnummer")
    wrong = pl.when(pl.int_range(pl.len()) < ROWS - GOOD).then(course.str.slice(1)).otherwise(course)
    return plain_csv(made.frame.with_columns(wrong))


@contextmanager
def refused(code: str, branch: type[HubError] = Refused) -> Iterator[None]:
    """Expect an error of a code."""
    with pytest.raises(branch) as caught:
        yield
    assert caught.value.code == code


def say(hub: Hub, people: dict[str, Path], verdict: str, submission: str, name: str, *more: Any) -> Answer:
    return hub.run("review", verdict, submission, "--as", name, "--key", people[name], *more)


def conserved(told: dict[str, Any]) -> bool:
    rows = told["rows"]
    return bool(rows["received"] == sum(rows[fate] for fate in rows if fate != "received"))


def sent(hub: Hub, submission: str) -> list[dict[str, Any]]:
    return [parcel for parcel in hub.show(submission)["parcels"] if parcel["state"] == "sent"]


def test_two_people_release_a_file_and_every_row_is_accounted_for(hub: Hub, people: dict[str, Path]) -> None:
    answer = hub.run("submit", hub.file("Liste.csv", spoilt()), "--agreement", "E2")
    assert (answer.status, answer.code, answer.json["state"]) == (1, "batch.refused_share", "quarantined")
    submission = str(answer.json["submission"])
    (line,) = [one for one in hub.run("review", "list").json["waiting"] if one["submission"] == submission]
    assert (line["reason"], line["rows"]["quarantined"], line["in_force"]) == (
        "batch.refused_share",
        ROWS,
        True,
    )
    assert (line["found"], line["decisions"], line["round"]) == ({"value.leading_zero": ROWS - GOOD}, [], 1)

    first = say(hub, people, "approve", submission, "weber", "--matter", line["matter"])
    assert (first.status, first.json["effect"], first.json["state"]) == (
        0,
        "awaiting_second",
        "awaiting_review",
    )
    waits = hub.run("submission", "retry", submission)
    assert (waits.status, waits.code, waits.json["state"]) == (1, "batch.refused_share", "awaiting_review")
    assert sent(hub, submission) == []
    assert say(hub, people, "approve", submission, "weber").code == "review.same_person"

    second = say(hub, people, "approve", submission, "dpo", "--grounds", "confirmed_by_sender")
    assert (second.status, second.json["effect"], second.json["state"]) == (0, "released", "validated")
    under_way = hub.show(submission)
    assert (under_way["reason"], under_way["reasons"], under_way["rows"]["quarantined"]) == (None, {}, 0)
    assert hub.run("submission", "show", submission, "--save", hub.desk / "early").code == "report.not_yet"

    done = hub.run("submission", "retry", submission)
    assert (done.status, done.json["state"]) == (0, "acknowledged"), done.stderr
    assert done.json["rows"] == {
        "received": ROWS,
        "delivered": GOOD,
        "already_delivered": 0,
        "refused": ROWS - GOOD,
        "withheld": 0,
        "quarantined": 0,
    }
    assert done.json["reasons"] == {"value.leading_zero": ROWS - GOOD}
    assert hub.parcel(done).height == GOOD
    assert [(word["approver"], word["verdict"]) for word in done.json["reviews"]] == [
        ("weber", "approve"),
        ("dpo", "approve"),
    ]
    assert hub.log_of(submission) == [
        ("submission", None),
        ("outcome", "batch.refused_share"),
        ("review", "approve"),
        ("review", "approve"),
        ("intent", None),
        ("outcome", "acknowledged"),
    ]
    assert set(hub.saved(submission)) >= {"received.jwt", "quarantined.jwt", "partially_accepted.jwt"}
    assert hub.run("log", "verify").status == 0


def test_the_log_tells_who_decided_by_alias_with_the_very_signature(
    hub: Hub, people: dict[str, Path], held: str
) -> None:
    say(hub, people, "approve", held, "yilmaz")
    (told,) = [entry for entry in hub.log() if entry["kind"] == "review" and entry["submission"] == held]
    (word,) = hub.run("review", "show", held).json["decisions"]
    (person,) = [one for one in hub.run("staff", "list").json["staff"] if one["name"] == "yilmaz"]
    assert told["actor"] == {"role": "steward", "id": person["alias"]}
    assert told["details"]["evidence"] == word["evidence"]
    assert told["details"]["fingerprint"] == word["fingerprint"] == person["fingerprint"]
    assert "yilmaz" not in json.dumps(hub.log())


@pytest.mark.needs("ssh-keygen")
def test_an_auditor_checks_an_approval_with_openssh_alone(
    hub: Hub, people: dict[str, Path], held: str
) -> None:
    say(hub, people, "approve", held, "weber")
    (word,) = hub.run("review", "show", held).json["decisions"]
    signature = hub.file("word.sig", sshsig.armored(word["evidence"]).encode())
    public = people["weber"].with_suffix(".pub").read_text(encoding="ascii")
    signers = hub.file("allowed_signers", f"weber {public}\n".encode())
    check = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", "weber"]
    check += ["-n", dual_control.NAMESPACE, "-s", str(signature)]
    for statement, status in ((word["statement"], 0), (word["statement"].replace("approve", "reject"), 255)):
        ran = subprocess.run(check, input=statement.encode(), capture_output=True, check=False)
        assert ran.returncode == status, ran.stderr


def test_one_rejection_refuses_the_file_and_its_sender_reads_where_it_was_wrong(
    hub: Hub, people: dict[str, Path], held: str
) -> None:
    say(hub, people, "approve", held, "weber")
    answer = say(hub, people, "reject", held, "yilmaz", "--grounds", "sender_corrects")
    assert (answer.status, answer.json["effect"], answer.json["state"]) == (0, "refused", "refused")
    told = hub.show(held)
    assert (told["state"], told["reason"], told["rows"]["refused"]) == ("refused", "review.rejected", ROWS)
    assert conserved(told)
    replies = hub.saved(held)
    assert "refused.jwt" in replies
    report = json.loads(replies["report.json"].read_bytes())
    assert report["reasons"] == {"review.rejected": ROWS}
    assert len({finding["place"] for finding in report["findings"]}) == ROWS - GOOD
    assert sent(hub, held) == []
    assert [path for path in hub.files() if held in str(path) and "reports" not in str(path)] == []
    assert say(hub, people, "approve", held, "dpo").code == "review.not_waiting"
    assert hub.run("log", "verify").status == 0


def test_a_file_is_rejected_at_once_by_the_first_who_looks(
    hub: Hub, people: dict[str, Path], held: str
) -> None:
    assert say(hub, people, "reject", held, "dpo").json["effect"] == "refused"
    assert hub.log_of(held)[1:] == [
        ("outcome", "batch.refused_share"),
        ("review", "reject"),
        ("outcome", "review.rejected"),
    ]


def test_who_may_not_decide_is_refused_by_a_code(hub: Hub, people: dict[str, Path], held: str) -> None:
    assert hub.run("staff", "add", "keyless", "--role", "steward").status == 0
    stranger = make_key(hub.desk / "stranger.key").with_suffix(".key")
    tried = {
        "staff.unknown": ("approve", "--as", "nobody", "--key", people["weber"]),
        "review.role": ("approve", "--as", "auditor", "--key", people["auditor"]),
        "review.no_key": ("approve", "--as", "keyless", "--key", people["weber"]),
        "review.signature": ("approve", "--as", "yilmaz", "--key", people["weber"]),
        "review.changed": ("approve", "--as", "yilmaz", "--key", people["yilmaz"], "--matter", "0" * 64),
        "review.grounds": ("approve", "--as", "yilmaz", "--key", people["yilmaz"], "--grounds", "why_not"),
        "staff.key": ("approve", "--as", "yilmaz", "--key", hub.file("none.key", b"none")),
    }
    for code, (verdict, *more) in tried.items():
        answer = hub.run("review", verdict, held, *more)
        assert (answer.status, answer.code) == (1, code)
    assert hub.run("review", "approve", held, "--as", "weber", "--key", stranger).code == "review.signature"
    assert hub.show(held)["state"] == "quarantined"
    assert hub.show(held)["reviews"] == []
    assert hub.run("review", "approve", "S-1", "--as", "weber", "--key", people["weber"]).code == (
        "submission.unknown"
    )


@pytest.mark.needs("ssh-keygen")
def test_with_a_key_under_a_passphrase_ssh_keygen_signs(hub: Hub, held: str) -> None:
    path = hub.desk / "guarded.key"
    assert keygen("-q", "-t", "ed25519", "-N", "Peine 1", "-f", path) == 0
    assert hub.run("staff", "add", "guarded", "--role", "steward", "--public-key", f"{path}.pub").status == 0
    word = ("review", "approve", held, "--as", "guarded")
    assert hub.run(*word, "--key", path).code == "staff.key"
    assert hub.run(*word).status == 2
    file = hub.desk / "word.json"
    assert hub.run(*word, "--to-sign", file).status == 0
    assert hub.show(held)["reviews"] == []
    assert keygen("-p", "-q", "-P", "Peine 1", "-N", "", "-f", path) == 0  # instead of typing it
    assert keygen("-Y", "sign", "-q", "-n", dual_control.NAMESPACE, "-f", path, file) == 0
    assert hub.run(*word, "--signature", file).code == "review.signature"
    assert hub.run(*word, "--signature", f"{file}.sig").json["effect"] == "awaiting_second"


def keygen(*arguments: object) -> int:
    words = ["ssh-keygen", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, check=False).returncode


def test_a_word_holds_for_its_own_matter_only(
    hub: Hub, people: dict[str, Path], held: str, waiting: Iterator[str]
) -> None:
    """A signature for another submission, verdict or person is no signature for this one."""
    mine, other = held, next(waiting)
    with open_office(hub.settings) as office:
        key = sshsig.read_key(people["weber"])
        for said in (
            review.to_sign(office, other, "approve", "weber"),
            review.to_sign(office, mine, "reject", "weber"),
            review.to_sign(office, mine, "approve", "yilmaz"),
            review.to_sign(office, mine, "approve", "weber", "change_expected"),
            review.matter(office, mine),
        ):
            forged = sshsig.sign(key, dual_control.NAMESPACE, said)
            with refused("review.signature"):
                review.decide(office, mine, "approve", "weber", "key", forged)
        said = review.to_sign(office, mine, "approve", "weber")
        with refused("review.signature"):
            review.decide(office, mine, "approve", "weber", "key", sshsig.sign(key, "git", said))
        good = sshsig.sign(key, dual_control.NAMESPACE, said)
        assert review.decide(office, mine, "approve", "weber", "key", good).effect == "awaiting_second"


def test_a_second_quarantine_asks_for_two_new_words(hub: Hub, people: dict[str, Path], held: str) -> None:
    with open_office(hub.settings) as office:
        said = review.to_sign(office, held, "approve", "weber")
        old = sshsig.sign(sshsig.read_key(people["weber"]), dual_control.NAMESPACE, said)
        review.decide(office, held, "approve", "weber", "key", old)
        review.sign_and_decide(office, held, "approve", "dpo", people["dpo"])
        stop_at_the_gate(hub, held)
        assert hub.show(held)["reason"] == "egress.format"
        with refused("review.signature"):
            review.decide(office, held, "approve", "weber", "key", old)
        for name in ("weber", "yilmaz"):
            review.sign_and_decide(office, held, "approve", name, people[name])
        assert exchange.carry(office, held) == "acknowledged"
    told = hub.show(held)
    assert [word["round"] for word in told["reviews"]] == [1, 1, 2, 2]
    assert (told["rows"]["delivered"], conserved(told), len(sent(hub, held))) == (GOOD, True, 1)
    assert hub.run("log", "verify").status == 0


def stop_at_the_gate(hub: Hub, submission: str) -> None:
    """Take a submission up to the gate, and let it find other bytes there than protect wrote."""
    with open_office(hub.settings) as office:
        for _ in range(2):
            step = exchange.due(office, submission)
            assert step is not None
            exchange.take(office, submission, step)
        with hub.superuser() as database:
            database.execute(
                "UPDATE hub.step_result SET facts = jsonb_set(facts, '{sha256}', '\"0\"')"
                " WHERE submission = %s AND step = 'protect'",
                [submission],
            )
        with refused("egress.format", Corrupt):
            exchange.take(office, submission, exchange.deliver)


def test_what_a_hand_moved_on_in_the_database_is_not_sent(
    hub: Hub, people: dict[str, Path], held: str
) -> None:
    with open_office(hub.settings) as office:
        with office.database.transaction() as session:
            for state in ("awaiting_review", "validated"):
                session.execute(
                    text("UPDATE hub.submission SET state = :state WHERE id = :id"),
                    {"state": state, "id": held},
                )
        with refused("review.missing", Corrupt):
            exchange.carry(office, held)
    told = hub.show(held)
    assert (told["state"], told["reason"], told["rows"]["quarantined"]) == (
        "quarantined",
        "review.missing",
        ROWS,
    )
    assert told["parcels"] == []
    assert ("alarm", "review.missing") in hub.log_of(held)
    for name in ("weber", "dpo"):  # people decide on it anew
        assert say(hub, people, "approve", held, name).status == 0
    assert hub.run("submission", "retry", held).json["rows"]["delivered"] == GOOD


FORGERY = text(
    "INSERT INTO hub.review_decision (submission, round, approver, role, verdict, grounds, held_for, matter,"
    " method, fingerprint, evidence, log_index, at) VALUES (:submission, 1, :approver, 'steward', 'approve',"
    " 'examined', :held_for, :matter, :method, :fingerprint, :evidence, 0, clock_timestamp())"
)


@pytest.mark.parametrize("method", ["key", "login"])
def test_a_word_written_by_hand_into_the_table_releases_nothing(
    hub: Hub, people: dict[str, Path], method: str, held: str
) -> None:
    """As the application's own role, with all that stands in the database, but without key or key folder."""
    assert say(hub, people, "approve", held, "weber").status == 0
    shown = hub.run("review", "show", held).json
    (genuine,) = shown["decisions"]
    staff = {one["name"]: one for one in hub.run("staff", "list").json["staff"]}
    forged = Ed25519PrivateKey.generate()
    said = genuine["statement"].replace("weber", "yilmaz").encode()
    evidence = {
        "key": sshsig.sign(forged, dual_control.NAMESPACE, said),
        "login": base64.b64encode(b"login:" + b"0" * 64).decode(),
    }
    with open_office(hub.settings) as office:
        with office.database.transaction() as session:
            session.execute(
                FORGERY,
                {
                    "submission": held,
                    "approver": "yilmaz",
                    "held_for": shown["reason"],
                    "matter": shown["matter"],
                    "method": method,
                    "fingerprint": staff["yilmaz"]["fingerprint"] if method == "key" else "login:" + "0" * 64,
                    "evidence": evidence[method],
                },
            )
            session.execute(
                text("UPDATE hub.submission SET state = 'validated' WHERE id = :id"), {"id": held}
            )
        with refused("review.missing", Corrupt):
            exchange.carry(office, held)
    assert sent(hub, held) == []
    decisions = hub.run("review", "show", held).json["decisions"]
    assert {word["approver"]: word["valid"] for word in decisions} == {"weber": True, "yilmaz": False}


def test_the_word_of_one_who_is_suspended_before_the_sending_counts_no_more(
    hub: Hub, people: dict[str, Path], held: str
) -> None:
    path = hub.desk / "leaver.key"
    public = make_key(path)
    assert hub.run("staff", "add", "leaver", "--role", "steward", "--public-key", public).status == 0
    assert say(hub, people, "approve", held, "weber").status == 0
    assert say(hub, people | {"leaver": path}, "approve", held, "leaver").json["effect"] == "released"
    assert hub.run("staff", "suspend", "leaver").json["active"] is False
    assert hub.run("submission", "retry", held).code == "review.missing"
    assert sent(hub, held) == []
    assert say(hub, people | {"leaver": path}, "approve", held, "leaver").code == "staff.unknown"


def test_nothing_is_approved_under_an_agreement_that_is_no_longer_in_force(
    hub: Hub, people: dict[str, Path], held: str
) -> None:
    set_status(hub, "suspended")
    try:
        assert say(hub, people, "approve", held, "weber").code == "agreement.inactive"
        assert hub.show(held)["state"] == "quarantined"
    finally:
        set_status(hub, "active")
    assert say(hub, people, "approve", held, "weber").json["effect"] == "awaiting_second"
    set_status(hub, "suspended")
    try:
        assert say(hub, people, "approve", held, "dpo").code == "agreement.inactive"
        assert say(hub, people, "reject", held, "dpo").json["effect"] == "refused"
    finally:
        set_status(hub, "active")


def set_status(hub: Hub, status: str) -> None:
    with open_office(hub.settings) as office, office.database.transaction() as session:
        session.execute(text("UPDATE hub.agreement SET status = :s WHERE id = 'E2'"), {"s": status})


def test_two_logins_release_and_one_login_under_two_names_does_not(
    hub: Hub, people: dict[str, Path], held: str
) -> None:
    with open_office(hub.settings) as office:
        first = review.decide(office, held, "approve", "weber", "login", "session-1")
        with refused("review.same_proof"):
            review.decide(office, held, "approve", "dpo", "login", "session-1")
        with refused("review.same_person"):
            review.decide(office, held, "approve", "weber", "login", "session-2")
        with refused("review.same_person"):
            review.sign_and_decide(office, held, "approve", "weber", people["weber"])
        with hub.superuser() as ear:
            ear.execute(f"LISTEN {lots.CHANNEL}")
            second = review.decide(office, held, "approve", "dpo", "login", "session-2")
            assert [call.payload for call in ear.notifies(timeout=10, stop_after=1)] == ["E2"]
        assert held in lots.claim(office, "E2").submissions
        assert (first.effect, second.effect) == ("awaiting_second", "released")
        assert exchange.carry(office, held) == "acknowledged"
    assert len(sent(hub, held)) == 1
    assert "session-1" not in json.dumps(hub.log())
