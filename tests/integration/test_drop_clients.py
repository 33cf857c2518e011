"""The drop as partners use it: OpenSSH's sftp, lftp, and the tricks that it must not fall for."""

import hashlib
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest
from sqlalchemy import text

from hub import collection, exchange, registry, replies
from hub.consent_register import bring_in
from hub.database.models import LedgerEntry
from hub.runtime import outbox
from schemas.agreement import load_agreement
from schemas.samples import csv_bytes, sample, write_consents
from tests.integration.drop_bed import RECIPIENT, SENDER, Bed

pytestmark = pytest.mark.needs("sftp")
E3 = load_agreement(registry.SHIPPED / "e3.yaml")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_that_was_put_is_a_submission_once_the_client_has_its_answer(bed: Bed) -> None:
    path = bed.file("Liste März 2026.csv")
    said = bed.sftp(f'put -p "{path}" inbox/E3/', "ls -l inbox/E3")
    assert len(bed.submissions(digest(path.read_bytes()))) == 1
    (line,) = [line for line in said.splitlines() if line.endswith("Liste März 2026.csv")]
    assert line.split()[4] == "3000", "it stays listed with its size"


def test_an_empty_file_arrives_as_well(bed: Bed) -> None:
    before = bed.count()
    bed.sftp(f"put {bed.file('leer.csv', b'')} inbox/E3/leer.csv")
    assert bed.count() == before + 1


def test_a_name_in_progress_arrives_when_it_is_renamed(bed: Bed) -> None:
    path = bed.file("unfertig.csv")
    sent = digest(path.read_bytes())
    bed.sftp(f"put {path} inbox/E3/unfertig.csv.part")
    assert bed.submissions(sent) == []
    bed.sftp("cd inbox/E3", "rename unfertig.csv.part .unfertig.csv", "rename .unfertig.csv unfertig2.csv")
    assert len(bed.submissions(sent)) == 1
    assert "unfertig2.csv" in bed.sftp("ls inbox/E3")


def test_what_is_unfinished_can_be_removed_and_what_arrived_cannot(bed: Bed) -> None:
    path = bed.file("weg.csv")
    said = bed.sftp("cd inbox/E3", f"put {path} weg.csv.part", "rm weg.csv.part", "ls")
    assert "weg.csv" not in said.splitlines()[-1]
    bed.sftp(f"put {path} inbox/E3/weg.csv")
    for tried in ("rm weg.csv", "rename weg.csv anders.csv", f"get weg.csv {bed.desk}/back"):
        assert "Permission denied" in bed.sftp("cd inbox/E3", tried, fails=True)
    assert len(bed.submissions(digest(path.read_bytes()))) == 1


def test_a_cut_upload_is_resumed_by_reput(bed: Bed) -> None:
    content = secrets.token_bytes(700_000)
    path = bed.file("lang.csv", content)

    async def cut(client: asyncssh.SFTPClient) -> None:
        file = await client.open("inbox/E3/lang.csv", "wb")
        await file.write(content[:400_000])
        client.exit()  # the line ends without a close

    bed.asked(cut)
    assert bed.submissions(digest(content)) == []
    bed.restart()  # what was written is sealed on the disk
    assert bed.submissions(digest(content[:400_000])) == [], "a cut is no close, and a restart is none"
    said = bed.sftp("cd inbox/E3", "ls -l lang.csv", f"reput {path} lang.csv", "ls -l lang.csv")
    assert [line.split()[4] for line in said.splitlines() if line.startswith("-")] == ["400000", "700000"]
    assert len(bed.submissions(digest(content))) == 1


def test_what_is_too_large_is_told_while_it_is_sent(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = E3.model_copy(update={"intake": E3.intake.model_copy(update={"max_bytes": 100_000})})
    monkeypatch.setattr(registry, "listed", lambda _: [registry.Filed(smaller, "active")])
    bed.restart()
    path = bed.file("riesig.csv", secrets.token_bytes(300_000))
    bed.sftp(f"put {path} inbox/E3/riesig.csv", fails=True)
    assert bed.submissions(digest(path.read_bytes())) == []
    assert "riesig" not in bed.sftp("ls inbox/E3")
    monkeypatch.undo()
    bed.restart()


def test_an_agreement_that_ended_meanwhile_refuses_the_close(bed: Bed) -> None:
    path = bed.file("zu-spaet.csv")
    bed.sftp(f"put {path} inbox/E3/zu-spaet.csv.part")
    with bed.office.database.transaction() as session:
        session.execute(text("UPDATE hub.agreement SET status = 'suspended' WHERE id = 'E3'"))
    try:
        bed.sftp("rename inbox/E3/zu-spaet.csv.part inbox/E3/zu-spaet.csv", fails=True)
    finally:
        with bed.office.database.transaction() as session:
            session.execute(text("UPDATE hub.agreement SET status = 'active' WHERE id = 'E3'"))
    assert bed.submissions(digest(path.read_bytes())) == []


ESCAPES: tuple[Callable[[Path], str], ...] = (
    lambda path: f"put {path} ../../../../tmp/escaped.csv",
    lambda path: f"put {path} /etc/escaped.csv",
    lambda path: f"put {path} inbox/escaped.csv",
    lambda path: f"put {path} inbox/E7/escaped.csv",
    lambda path: f"put {path} outbox/escaped.csv",
    lambda path: f"put {path} receipts/escaped.csv",
    lambda path: f"get ../../../../etc/passwd {path.parent}/stolen",
    lambda path: f"get /etc/passwd {path.parent}/stolen",
    lambda _: "ls /etc",
    lambda _: "ls inbox/../../home",
    lambda _: "mkdir inbox/new",
    lambda _: "rmdir inbox/E3",
    lambda _: "rm inbox",
    lambda _: "rename inbox receipts/inbox",
    lambda _: "symlink /etc/passwd inbox/E3/link.csv",
    lambda _: "chmod 777 inbox",
)


@pytest.mark.parametrize("at", range(len(ESCAPES)))
def test_no_way_leads_out_of_a_partners_tree(bed: Bed, at: int) -> None:
    before = bed.count()
    bed.sftp(ESCAPES[at](bed.file("flucht.csv")), fails=True)
    assert bed.count() == before
    assert not (bed.desk / "stolen").exists()


def test_nothing_is_served_but_sftp(bed: Bed) -> None:
    def ssh(*more: str) -> subprocess.CompletedProcess[str]:
        command = ["ssh", *bed.ssh_options(SENDER), *more]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    there = f"{SENDER}@127.0.0.1"
    assert "exec request failed" in ssh(there, "id").stderr
    assert "shell request failed" in ssh(there).stderr
    assert "subsystem request failed" in ssh("-s", there, "netconf").stderr
    assert "exec request failed" in ssh(there, "scp -t /").stderr
    assert "forwarding failed" in ssh("-W", f"127.0.0.1:{bed.address.port}", there).stderr
    back = ("-N", "-R", "0:127.0.0.1:22", "-o", "ExitOnForwardFailure=yes")
    assert "remote port forwarding failed" in ssh(*back, there).stderr


def test_only_a_partners_own_active_key_opens(bed: Bed) -> None:
    def refused(options: list[str], user: str) -> bool:
        done = subprocess.run(
            ["sftp", "-b", "-", *options, f"{user}@127.0.0.1"],  # noqa: S607
            input="ls\n",
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode != 0 and "Permission denied (publickey)" in done.stderr

    options = bed.ssh_options("jobcenter-peine")
    assert refused(options, SENDER), "another partner's key"
    assert refused(options, "root")
    assert not refused(options, "jobcenter-peine")
    unknown = bed.desk / "unknown"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", unknown], check=True)  # noqa: S607
    known = f"IdentityFile={bed.key_of('jobcenter-peine')}"
    assert refused([one.replace(known, f"IdentityFile={unknown}") for one in options], "jobcenter-peine")
    by_word = [
        *options,
        "-o",
        "PubkeyAuthentication=no",
        "-o",
        "BatchMode=no",
        "-o",
        "NumberOfPasswordPrompts=1",
    ]
    assert refused(by_word, "jobcenter-peine"), "neither password nor questions"
    for statement, undo in (
        ("UPDATE hub.partner SET status = 'suspended' WHERE id = 'jobcenter-peine'", "status = 'active'"),
        ("UPDATE hub.partner_key SET revoked_at = now() WHERE partner_id = 'jobcenter-peine'", None),
    ):
        with bed.office.database.transaction() as session:
            session.execute(text(statement))
        assert refused(options, "jobcenter-peine")
        if undo:
            with bed.office.database.transaction() as session:
                session.execute(text(f"UPDATE hub.partner SET {undo} WHERE id = 'jobcenter-peine'"))  # noqa: S608


def test_parcels_and_replies_are_fetched_where_they_lie(bed: Bed) -> None:
    made = sample(E3, 120, 5, errors=True)
    consents = bed.desk / "consents.csv"
    write_consents(made, consents)
    from connectors.consents import read_consents  # noqa: PLC0415

    bring_in(bed.office, SENDER, read_consents(consents))
    path = bed.file("Kurs: Frühling.csv", csv_bytes(made))
    bed.sftp(f'put "{path}" inbox/E3/')
    (submission,) = bed.submissions(digest(path.read_bytes()))
    early = bed.sftp("ls receipts")
    assert f"Kurs_ Frühling.{submission}.received.jwt" in early
    assert f"{submission}.report.json" not in early, "not before it is settled"
    exchange.carry(bed.office, submission)
    bed.restart()  # what was asked a moment ago is not asked anew

    own = bed.desk / "own"
    own.mkdir()
    listed = bed.sftp(
        "ls -l receipts", f"get receipts/* {own}", f"get receipts/*{submission}.report.json {own}/x"
    )
    saved = {one.name: one.read_bytes() for one in replies.save(bed.office, submission, bed.desk / "saved")}
    assert len(saved) == 5
    for name, content in saved.items():
        assert (own / f"Kurs_ Frühling.{name}").read_bytes() == content
        (line,) = [line for line in listed.splitlines() if line.endswith(name)]
        assert int(line.split()[4]) == len(content)

    (parcel,) = [one for one in collection.offered(bed.office, RECIPIENT) if submission in one.name]
    fetched = bed.desk / "fetched"
    fetched.mkdir()
    assert parcel.name in bed.sftp("ls outbox/E3", partner=RECIPIENT)
    assert collected(bed, submission) == 0
    bed.sftp(f"get -p outbox/E3/{parcel.name} {fetched}", partner=RECIPIENT)
    bed.sftp(f"get outbox/E3/{parcel.name} {fetched}/again", partner=RECIPIENT)
    assert collected(bed, submission) == 1, "logged once, however often it is fetched"
    target = bed.desk / "by hub parcel fetch"
    collection.collect(bed.office, outbox(bed.office.settings).place(RECIPIENT, parcel.name), parcel, target)
    assert (fetched / parcel.name).read_bytes() == (fetched / "again").read_bytes() == target.read_bytes()
    assert digest(target.read_bytes()) == parcel.sha256
    assert int((fetched / parcel.name).stat().st_mtime) == int(parcel.sent_at.timestamp())
    for tried in (f"rm outbox/E3/{parcel.name}", f"put {path} outbox/E3/{parcel.name}"):
        bed.sftp(tried, partner=RECIPIENT, fails=True)
    assert parcel.name not in bed.sftp("ls outbox"), "the sender has no outbox of it"
    bed.sftp("ls outbox/E3", fails=True)
    assert bed.sftp("ls receipts", partner=RECIPIENT).splitlines() == ["sftp> ls receipts"]


def collected(bed: Bed, submission: str) -> int:
    with bed.office.database.transaction() as session:
        query = session.query(LedgerEntry).filter_by(submission=submission, kind="collected")
        return query.count()


@pytest.mark.needs("lftp")
def test_lftp_sends_under_a_name_of_its_own_and_resumes(bed: Bed) -> None:
    content = secrets.token_bytes(200_000)
    path = bed.file("lftp.csv", content)
    bed.file("lftp-teil.csv", content[::-1])

    async def cut(client: asyncssh.SFTPClient) -> None:
        await (await client.open("inbox/E3/lftp-teil.csv", "wb")).write(content[::-1][:70_000])
        client.exit()

    bed.asked(cut)
    options = " ".join(bed.ssh_options(SENDER))
    script = f"""
        set sftp:connect-program "ssh -a -x {options}"; set net:max-retries 1; set cmd:fail-exit yes
        set xfer:use-temp-file yes
        open sftp://{SENDER}:x@127.0.0.1:{bed.address.port}
        put {path} -o inbox/E3/lftp.csv
        set xfer:use-temp-file no
        put -c {bed.desk}/lftp-teil.csv -o inbox/E3/lftp-teil.csv
        cls -l inbox/E3
    """
    done = subprocess.run(
        ["lftp", "--norc", "-c", script],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=bed.desk,
    )
    assert done.returncode == 0, done.stderr
    assert "lftp.csv" in done.stdout
    assert len(bed.submissions(digest(content))) == 1
    assert len(bed.submissions(digest(content[::-1]))) == 1
