"""The drop's odd cases: cuts, overlaps, two uploads at once, a database that is away, what rests on disk."""

import asyncio
import hashlib
import json
import logging
import secrets
import time
from pathlib import Path
from unittest.mock import patch

import asyncssh
import psycopg
import pytest
from sqlalchemy import select, text

from connectors.drop import arriving, session
from connectors.drop.access import FRESH
from hub import arrivals, blocks, case, exchange, intake, registry, staging
from hub.database.embedded import EmbeddedPostgres
from hub.database.models import Submission
from hub.database.session import address
from hub.errors import Transient
from hub.ledger import verify
from hub.office import Office
from hub.states import State
from hub.uploads import Stage, Upload, Uploads
from schemas.agreement import Agreement
from tests.e2e.search import Search
from tests.integration.drop_bed import SENDER, Bed

CANARY = "Zkanarienvogel"
SAMPLE_LENGTH = 200_000


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def content_of(bed: Bed, submission: str) -> bytes:
    """What the hub holds of a submission."""
    opened = case.open_results(bed.office, submission)
    return staging.read_bytes(opened.inbox_file, opened.key)


async def put(client: asyncssh.SFTPClient, name: str, content: bytes) -> None:
    async with client.open(f"inbox/E3/{name}", "wb") as file:
        await file.write(content)


async def put_unclosed(client: asyncssh.SFTPClient, name: str, content: bytes) -> None:
    file = await client.open(f"inbox/E3/{name}", "wb")
    await file.write(content)
    client.exit()


def test_the_end_of_a_line_is_no_close_whatever_was_written(bed: Bed) -> None:
    content = secrets.token_bytes(SAMPLE_LENGTH)

    async def break_off() -> None:
        line = await bed.line()
        client = await line.start_sftp_client()
        await (await client.open("inbox/E3/abbruch.csv", "wb")).write(content)
        line.abort()  # the connection is gone at once
        await line.wait_closed()

    asyncio.run(break_off())
    bed.asked(lambda client: put_unclosed(client, "abbruch2.csv", content))
    for name in ("abbruch.csv", "abbruch2.csv"):
        assert bed.asked(lambda client, name=name: client.getsize(f"inbox/E3/{name}")) == SAMPLE_LENGTH  # type: ignore[misc]
    assert bed.submissions(digest(content)) == []


def test_writes_in_any_order_make_one_file(bed: Bed) -> None:
    content = secrets.token_bytes(SAMPLE_LENGTH)
    pieces = [(at, content[at : at + 30_011]) for at in range(0, SAMPLE_LENGTH, 23_003)]  # they overlap
    secrets.SystemRandom().shuffle(pieces)

    async def scattered(client: asyncssh.SFTPClient) -> None:
        async with client.open("inbox/E3/durcheinander.csv", "wb") as file:
            await asyncio.gather(*(file.write(piece, at) for at, piece in pieces))

    bed.asked(scattered)
    (submission,) = bed.submissions(digest(content))
    assert content_of(bed, submission) == content


def test_two_handles_of_one_session_write_one_upload(bed: Bed) -> None:
    content = secrets.token_bytes(SAMPLE_LENGTH)

    async def halves(client: asyncssh.SFTPClient) -> None:
        first = await client.open("inbox/E3/haelften.csv", "wb")
        second = await client.open("inbox/E3/haelften.csv", "r+b")
        await second.write(content[90_000:], 90_000)
        await second.close()
        assert bed.submissions(digest(content)) == []
        await first.write(content[:90_000], 0)
        await first.close()

    bed.asked(halves)
    assert len(bed.submissions(digest(content))) == 1


def test_a_gap_is_told_at_the_close_and_can_be_filled(bed: Bed) -> None:
    content = secrets.token_bytes(SAMPLE_LENGTH)

    async def with_gap(client: asyncssh.SFTPClient) -> None:
        file = await client.open("inbox/E3/luecke.csv", "wb")
        await file.write(content[:70_000], 0)
        await file.write(content[80_000:], 80_000)
        with pytest.raises(asyncssh.SFTPError, match=r"upload\.gap.*byte 70000"):
            await file.close()
        assert bed.submissions(digest(content)) == []
        size = await client.getsize("inbox/E3/luecke.csv")
        assert size == 70_000, "where to resume"
        async with client.open("inbox/E3/luecke.csv", "ab") as file:
            await file.write(content[size:])

    bed.asked(with_gap)
    assert len(bed.submissions(digest(content))) == 1


def test_two_uploads_to_one_name_are_two_submissions(bed: Bed) -> None:
    first, second = secrets.token_bytes(SAMPLE_LENGTH), secrets.token_bytes(SAMPLE_LENGTH)

    async def both(client: asyncssh.SFTPClient) -> None:
        async with bed.line() as line, line.start_sftp_client() as other:
            one = await client.open("inbox/E3/gleich.csv", "wb")
            two = await other.open("inbox/E3/gleich.csv", "wb")
            for at in range(0, SAMPLE_LENGTH, 40_000):
                await one.write(first[at : at + 40_000], at)
                await two.write(second[at : at + 40_000], at)
            await asyncio.gather(one.close(), two.close())

    bed.asked(both)
    names = [*bed.submissions(digest(first)), *bed.submissions(digest(second))]
    assert len(set(names)) == 2
    assert content_of(bed, names[0]) == first
    bed.asked(lambda client: put(client, "gleich.csv", first))
    assert bed.submissions(digest(first)) == names[:1], "the same content is the same submission"


def test_who_resumes_takes_an_upload_over_from_a_line_that_hangs(bed: Bed) -> None:
    content = secrets.token_bytes(SAMPLE_LENGTH)

    async def both(client: asyncssh.SFTPClient) -> None:
        hanging = await client.open("inbox/E3/haengt.csv", "wb")
        await hanging.write(content[:100_000])
        async with bed.line() as line, line.start_sftp_client() as other:
            assert await other.getsize("inbox/E3/haengt.csv") == 100_000
            async with other.open("inbox/E3/haengt.csv", "ab") as file:
                with pytest.raises(asyncssh.SFTPError, match=r"upload\.elsewhere"):
                    await hanging.write(b"late", 100_000)
                await file.write(content[100_000:])
        with pytest.raises(asyncssh.SFTPError, match=r"upload\.elsewhere"):
            await hanging.close()

    bed.asked(both)
    assert len(bed.submissions(digest(content))) == 1


def test_what_clients_do_beside_writing_is_taken_silently(bed: Bed) -> None:
    async def fuss(client: asyncssh.SFTPClient) -> None:
        async with client.open("inbox/E3/zeit.csv", "wb") as file:
            await file.write(b"a;b\n" * 20)
            await file.setstat(asyncssh.SFTPAttrs(permissions=0o644))
            await file.truncate(40)
            assert (await file.stat()).size == 40
            await file.fsync()
        await client.utime("inbox/E3/zeit.csv", times=(1_700_000_000, 1_700_000_000))
        await client.chmod("inbox/E3/zeit.csv", 0o600)
        found = await client.stat("inbox/E3/zeit.csv")
        assert (found.size, found.mtime) == (40, 1_700_000_000)
        with pytest.raises(asyncssh.SFTPError):
            await client.statvfs("inbox/E3")

    bed.asked(fuss)
    assert len(bed.submissions(digest(b"a;b\n" * 10))) == 1


def test_refused_requests_say_why(bed: Bed) -> None:
    async def tries(client: asyncssh.SFTPClient) -> None:
        for name, code in (("a\nb.csv", "upload.name"), ("x" * 256, "upload.name")):
            with pytest.raises(asyncssh.SFTPPermissionDenied, match=code):
                await client.open(f"inbox/E3/{name}", "wb")
        for trick in (client.mkdir("inbox/E9"), client.link("receipts", "inbox/E3/l"), client.rmdir("inbox")):
            with pytest.raises(asyncssh.SFTPError):
                await trick
        for path in ("inbox/E3/../../../etc/passwd", "/proc/self/environ", "inbox/E3/nix.csv"):
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await client.open(path, "rb")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await client.listdir("inbox/E7")
        opened = [await client.open(f"inbox/E3/viele{at}.part", "wb") for at in range(session.MOST_OPEN)]
        with pytest.raises(asyncssh.SFTPPermissionDenied, match=r"drop\.busy"):
            await client.open("inbox/E3/zuviel.csv", "wb")
        for file in opened:
            await file.close()
            await client.remove(f"inbox/E3/viele{opened.index(file)}.part")

    bed.asked(tries)


def test_a_key_that_is_revoked_ends_what_its_session_may_do(bed: Bed) -> None:
    async def revoked(client: asyncssh.SFTPClient) -> None:
        assert await client.listdir("/") == ["inbox", "outbox", "receipts"]
        with bed.office.database.transaction() as work:
            work.execute(text("UPDATE hub.partner SET status = 'suspended' WHERE id = 'stadt-peine'"))
        await asyncio.sleep(FRESH + 0.1)
        with pytest.raises(asyncssh.SFTPPermissionDenied, match=r"partner\.unknown"):
            await client.listdir("/")

    bed.asked(revoked, partner="stadt-peine")


def test_no_more_sessions_of_one_partner_than_agreed(bed: Bed) -> None:
    async def many() -> None:
        async with bed.line() as line:
            with patch("connectors.drop.server.MOST_SESSIONS", 2):
                first, second = await line.start_sftp_client(), await line.start_sftp_client()
                with pytest.raises(asyncssh.ChannelOpenError, match="at most 2 sessions"):
                    await line.start_sftp_client()
                for client in (first, second):
                    client.exit()
                    await client.wait_closed()
                (await line.start_sftp_client()).exit()

    asyncio.run(many())


def superuser(bed: Bed) -> psycopg.Connection:
    settings = bed.office.settings
    secret = bed.office.ring.database_secret("superuser")
    url = EmbeddedPostgres(settings.postgres, settings.run, secret).url(database="hub")
    return psycopg.connect(address(url), autocommit=True)


def away(connection: psycopg.Connection) -> None:
    """Let the database refuse the hub from now on."""
    connection.execute("ALTER ROLE hub_application NOLOGIN")
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hub_application'"
    )


def back(connection: psycopg.Connection) -> None:
    connection.execute("ALTER ROLE hub_application LOGIN")


def test_a_database_that_is_away_for_a_while_is_waited_for_or_told(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited, told = secrets.token_bytes(5000), secrets.token_bytes(5000)

    async def run(client: asyncssh.SFTPClient) -> None:
        file = await client.open("inbox/E3/warten.csv", "wb")
        await file.write(waited)
        late = await client.open("inbox/E3/gesagt.csv", "wb")
        await late.write(told)
        with superuser(bed) as connection:
            away(connection)
            closing = asyncio.ensure_future(file.close())
            await asyncio.sleep(1)
            assert not closing.done()
            back(connection)
            await closing
            away(connection)
            try:
                monkeypatch.setattr(arriving, "PATIENCE", 0.1)
                with pytest.raises(asyncssh.SFTPFailure, match=r"database\.away"):
                    await late.close()
                await asyncio.sleep(FRESH)
                with pytest.raises(asyncssh.SFTPFailure, match=r"database\.away"):
                    await client.listdir("inbox/E3")
                with pytest.raises(asyncssh.DisconnectError, match=r"database\.away"):
                    await bed.line()
            finally:
                back(connection)
        monkeypatch.undo()
        assert bed.submissions(digest(told)) == [], "what was told to have failed is not taken"
        assert await client.getsize("inbox/E3/gesagt.csv") == 5000
        async with client.open("inbox/E3/gesagt.csv", "ab"):
            pass  # resumed, with nothing left to send

    bed.asked(run)
    assert len(bed.submissions(digest(waited))) == 1
    assert len(bed.submissions(digest(told))) == 1


def test_a_submission_that_was_made_before_a_kill_is_not_made_again(bed: Bed) -> None:
    """Killed between the submission and the card's note of it; meanwhile Airflow finishes the submission."""
    content = secrets.token_bytes(2000)
    bed.stop()
    try:
        uploads = Uploads(bed.office)
        upload, body = uploads.begin(SENDER, "E3", "zweimal.csv", 10_000)
        body.write(0, content)
        uploads.close(upload, body.settle())
        body.close()

        def dies(*_: object) -> None:
            code = "test.killed"
            raise Transient(code, "killed here", "start again")

        with patch.object(Uploads, "arrive", dies), pytest.raises(Transient):
            arrivals.take(bed.office, uploads, upload)
        (submission,) = bed.submissions(digest(content))
        exchange.recall(bed.office, submission)
        assert state(bed.office, submission) == State.WITHDRAWN
        made, errors = arrivals.recover(bed.office, Uploads(bed.office))
        assert (made, errors) == ([submission], [])
        assert bed.submissions(digest(content)) == [submission]
        assert arrivals.recover(bed.office, Uploads(bed.office)) == ([], [])
    finally:
        bed.start()


def state(office: Office, submission: str) -> str:
    with office.database.transaction() as work:
        return work.get_one(Submission, submission).state


def test_an_upload_that_was_damaged_on_the_disk_is_no_submission_and_resumes_before_the_damage(
    bed: Bed,
) -> None:
    content = secrets.token_bytes(SAMPLE_LENGTH)
    take = arrivals.take

    def damages(office: Office, uploads: Uploads, upload: Upload) -> str:
        path = bed.home / "data" / "uploads" / f"{upload.id}.blocks"
        sealed = bytearray(path.read_bytes())
        sealed[blocks.SLOT + 100] ^= 1  # in the second block
        path.write_bytes(sealed)
        return take(office, uploads, upload)

    async def run(client: asyncssh.SFTPClient) -> None:
        with (
            patch.object(arrivals, "take", damages),
            pytest.raises(asyncssh.SFTPFailure, match=r"upload\.damaged"),
        ):
            await put(client, "schaden.csv", content)
        size = await client.getsize("inbox/E3/schaden.csv")
        assert size == blocks.BLOCK
        async with client.open("inbox/E3/schaden.csv", "ab") as file:
            await file.write(content[size:])

    bed.asked(run)
    (submission,) = bed.submissions(digest(content))
    assert content_of(bed, submission) == content


def test_old_unfinished_uploads_go_and_arrived_ones_leave_the_list_when_all_is_done(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = bed.server.parts.inbox.uploads
    done, open_ = secrets.token_bytes(500), secrets.token_bytes(500)
    bed.asked(lambda client: put(client, "fertig.csv", done))
    bed.asked(lambda client: put(client, "offen.csv", open_))
    bed.asked(lambda client: put_unclosed(client, "vergessen.csv", b"x"))
    exchange.recall(bed.office, bed.submissions(digest(done))[0])

    def shown() -> set[str]:
        return {"fertig.csv", "offen.csv", "vergessen.csv"} & set(uploads.listed(SENDER, "E3"))

    def sweep() -> None:
        uploads.sweep(set(), lambda names: arrivals.final(bed.office, names))

    sweep()
    assert shown() == {"fertig.csv", "offen.csv", "vergessen.csv"}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    sweep()
    assert shown() == {"offen.csv", "vergessen.csv"}
    monkeypatch.setattr(time, "time", lambda: now + intake.ABANDONED + 60)
    sweep()
    assert shown() == {"offen.csv"}


def test_nothing_plain_rests_on_the_disk_or_in_the_log(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    search = Search([CANARY])
    content = f"Name;Vorname\n{CANARY};Zoe\n".encode() * 8000
    folders = [folder for folder in bed.home.iterdir() if folder.name not in ("postgres", "keys")]

    def found() -> set[str]:
        paths = [path for folder in folders for path in folder.rglob("*")]
        named = [path.name for path in paths if search.within("", path.name.encode())]
        return {*named, *(path.name for path in paths if path.is_file() and held(path))}

    def held(path: Path) -> bool:
        return bool(search.within("", path.read_bytes()))

    looked: list[Stage] = []
    take = arrivals.take

    def looks(office: Office, uploads: Uploads, upload: Upload) -> str:
        assert found() == set()
        looked.append(upload.stage)
        return take(office, uploads, upload)

    async def write(client: asyncssh.SFTPClient) -> None:
        file = await client.open(f"inbox/E3/{CANARY}.csv", "wb")
        await file.write(content)
        assert await client.getsize(f"inbox/E3/{CANARY}.csv") == len(content)
        assert found() == set(), "while it is written"
        with patch.object(arrivals, "take", looks):
            await file.close()
        await client.listdir("receipts")

    with caplog.at_level(logging.INFO):
        bed.asked(write)
        bed.asked(lambda client: put_unclosed(client, f"{CANARY}.part", content))
        assert found() == set(), "unfinished"
    assert looked == [Stage.CLOSED]
    assert len(bed.submissions(digest(content))) == 1
    with superuser(bed) as connection:
        (rows,) = connection.execute(
            "SELECT json_agg(t)::text FROM (SELECT * FROM hub.step_result, hub.receipt) t"
        ).fetchone() or ("",)
    assert not search.within("", rows.encode())
    lines = [record.getMessage() for record in caplog.records if record.name == "hub.drop"]
    assert any("action=upload" in line and f"bytes={len(content)}" in line for line in lines)
    assert any("action=cut" in line for line in lines)
    assert not search.within("", "\n".join(lines).encode())
    assert json.dumps(lines).count(SENDER) >= 2


def test_twenty_partners_at_once_lose_nothing(bed: Bed) -> None:
    partners = [f"amt-{at}" for at in range(20)]
    with bed.office.database.transaction() as work:
        e3 = registry.active(work, "E3").model_dump(mode="json")
        for at, partner in enumerate(partners):
            body = {**e3, "id": f"T{at}", "sender": {"id": partner, "name": partner}}
            registry.file_agreement(work, Agreement.model_validate_json(json.dumps(body)))
    for partner in partners:
        bed.key_of(partner)
    files = {(at, n): secrets.token_bytes(2000) for at in range(20) for n in range(5)}

    async def send(at: int) -> None:
        async with bed.line(partners[at]) as line, line.start_sftp_client() as client:
            for n in range(5):
                async with client.open(f"inbox/T{at}/{n}.csv", "wb") as file:
                    await file.write(files[at, n])

    async def all_of_them() -> None:
        await asyncio.sleep(FRESH)  # the agreements are seen
        await asyncio.gather(*(send(at) for at in range(20)))

    asyncio.run(all_of_them())
    with bed.office.database.transaction() as work:
        rows = work.execute(select(Submission.agreement, Submission.sha256)).all()
    found = {(row.agreement, row.sha256) for row in rows if row.agreement.startswith("T")}
    assert found == {(f"T{at}", digest(content)) for (at, _), content in files.items()}
    with bed.office.database.audit() as work:
        told = verify.verify_database(
            work.connection(),
            log_key=bed.office.ring.log_public(),
            receipt_key=bed.office.ring.receipt_public(),
            origin=bed.office.settings.origin,
        )
    assert told.ok, told.findings
