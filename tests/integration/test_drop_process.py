"""`hub drop` as a process: what it says, that it is alone, and that it ends in order."""

import asyncio
import contextlib
import hashlib
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest
from sqlalchemy import text

from hub.ledger.store import LOCK
from tests.integration.drop_bed import SENDER, Bed

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def process(bed: Bed, port: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", "from hub.cli import main; main()", "drop", "--port", str(port), *more]
    environment = {"HUB_HOME": str(bed.home), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


@pytest.mark.slow
def test_the_drop_says_where_it_is_stands_alone_and_answers_every_close_before_it_ends(
    bed: Bed, free_port: int
) -> None:
    closed, cut = secrets.token_bytes(4000), secrets.token_bytes(4000)
    bed.stop()
    try:
        with process(bed, free_port, "--json") as drop:
            assert drop.stdout is not None
            told = json.loads(drop.stdout.readline())
            assert (told["host"], told["port"]) == ("127.0.0.1", free_port)
            with process(bed, free_port + 1) as second:
                said, why = second.communicate(timeout=60)
                assert (second.returncode, said) == (1, "")
                assert why.startswith("drop.running: ")

            async def end_in_the_middle() -> None:
                async with bed.line(port=free_port) as line:
                    key = line.get_server_host_key()
                    assert key is not None
                    assert key.get_fingerprint() == told["fingerprint"]
                    client = await line.start_sftp_client()
                    file = await client.open("inbox/E3/beendet.csv", "wb")
                    await file.write(closed)
                    other = await line.start_sftp_client()
                    await (await other.open("inbox/E3/angefangen.csv", "wb")).write(cut)
                    with bed.office.database.transaction() as session:
                        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
                        closing = asyncio.ensure_future(file.close())
                        await asyncio.sleep(0.5)  # it waits for the log
                        drop.send_signal(signal.SIGTERM)
                        await asyncio.sleep(0.5)
                        assert not closing.done()
                        with pytest.raises(OSError, match="Connect call failed"):
                            await bed.line(port=free_port)
                        with pytest.raises(asyncssh.ChannelOpenError, match="about to stop"):
                            await line.start_sftp_client()
                    await closing

            asyncio.run(end_in_the_middle())
            said, lines = drop.communicate(timeout=60)
            assert (drop.returncode, said) == (0, ""), lines
        assert "action=upload agreement=E3 bytes=4000 code=ok" in lines
        assert "action=cut agreement=E3 bytes=4000 code=unfinished" in lines
        assert f"partner={SENDER}" in lines
        assert "beendet" not in lines
        assert "angefangen" not in lines
    finally:
        bed.start()
    assert len(bed.submissions(hashlib.sha256(closed).hexdigest())) == 1
    assert bed.submissions(hashlib.sha256(cut).hexdigest()) == []
    assert bed.asked(lambda client: client.getsize("inbox/E3/angefangen.csv")) == 4000


def test_the_host_key_is_made_once_and_kept_to_itself(bed: Bed) -> None:
    path = bed.office.settings.key_folder / "drop-host-1.key"
    assert path.stat().st_mode & 0o777 == 0o600
    before = bed.address.fingerprint
    bed.restart()
    assert bed.address.fingerprint == before


def test_a_host_key_that_others_may_read_is_refused(bed: Bed, free_port: int) -> None:
    path = bed.office.settings.key_folder / "drop-host-1.key"
    bed.stop()
    path.chmod(0o644)
    try:
        with process(bed, free_port) as drop:
            _, why = drop.communicate(timeout=60)
        assert why.startswith("keys.mode: ")
    finally:
        path.chmod(0o600)
        bed.start()


def test_an_address_that_is_taken_is_told(bed: Bed) -> None:
    port = bed.address.port
    with process(bed, port) as drop:
        _, why = drop.communicate(timeout=60)
    assert why.startswith("drop.address: ")
