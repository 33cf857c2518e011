"""Wherever `hub drop` dies between two writes of an upload: no closed file is lost, none is taken twice.

The points are those of one undisturbed upload. Then, for every point, a new file is sent by a client; the
drop dies there (kill -9); the next drop takes in what had been closed; a client that was not told of success
sends its file again, as programs do. Each content is then one submission, and the hub holds it as it was.
"""

import asyncio
import hashlib
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from hub import case, staging
from hub.uploads import Stage, Uploads
from tests.faults import runner
from tests.faults.tracer import Mode
from tests.integration.drop_bed import SENDER, Bed, made

pytestmark = pytest.mark.slow
SIZE = 150_000  # three blocks
MARK = b"Zimtkanarie"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with made(tmp_path_factory.mktemp("drop")) as found:
        found.key_of(SENDER)
        found.stop()
        yield found
        found.start()  # the bed ends as it began


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def content() -> bytes:
    return MARK + secrets.token_bytes(SIZE - 2 * len(MARK)) + MARK


async def send(client: asyncssh.SFTPClient, name: str, plain: bytes) -> None:
    async with client.open(f"inbox/E3/{name}.part", "wb") as file:
        for at in range(0, len(plain), 40_000):
            await file.write(plain[at : at + 40_000], at)
    await client.rename(f"inbox/E3/{name}.part", f"inbox/E3/{name}")
    async with client.open(f"inbox/E3/2 {name}", "wb") as file:
        await file.write(plain[::-1])


def sent(bed: Bed, port: int, name: str, plain: bytes, run: runner.Run | None = None) -> bool:
    """Send a content (by a rename) and its mirror image (by a close); tells whether that was answered."""

    async def tried() -> bool:
        end = time.monotonic() + 30
        while True:
            try:
                async with bed.line(port=port) as line, line.start_sftp_client() as client:
                    await asyncio.wait_for(send(client, name, plain), 30)
                    return True
            except ConnectionRefusedError:  # not there yet
                if run is not None and not run.process.is_alive():
                    return False
                assert time.monotonic() < end, "the drop does not start"
                await asyncio.sleep(0.05)
            except (asyncssh.Error, OSError):
                return False

    return asyncio.run(tried())


def crashed(bed: Bed, folder: Path, mode: Mode, at: int, plain: bytes) -> tuple[runner.Run, bool]:
    """Send to a drop that dies at a point; gives its run and whether the client had success."""
    folder.mkdir()
    port = free_port()
    run = runner.start(bed.home, ["drop", "--port", str(port)], folder, mode, at)
    success = sent(bed, port, f"Liste {folder.name}.csv", plain, run)
    if success and run.process.pid is not None:
        os.kill(run.process.pid, signal.SIGTERM)
    return run, success


def points(bed: Bed, folder: Path) -> list[str]:
    run, success = crashed(bed, folder, "trace", 0, content())
    assert (run.wait(), success) == (0, True), run.said()
    assert run.trace()["gaps"] == [], "every write is made by a call that the tracer knows"
    return run.trace()["points"]


def test_no_closed_upload_is_lost_or_taken_twice_wherever_the_drop_dies(
    bed: Bed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before each write, and after the last: what lies after one lies before the next."""
    points(bed, tmp_path / "cold")  # makes the folders
    found = points(bed, tmp_path / "warm")
    closes = 0
    last: tuple[Mode, int, str] = ("after", len(found), found[-1])
    for mode, at, point in (*(("before", at, point) for at, point in enumerate(found, start=1)), last):
        plain = content()
        run, success = crashed(bed, tmp_path / f"{mode}-{at}", mode, at, plain)
        assert run.wait() == -signal.SIGKILL, f"point {at} ({point}) was not reached: {run.said()}"
        assert not success
        closes += recovered(bed, plain, f"Liste {mode}-{at}.csv", f"{mode} {at} ({point})")
    with capsys.disabled():
        print(f"\ndrop: {len(found)} points, each survived; {closes} closed uploads taken in at the start")  # noqa: T201
    assert closes >= 4, "some of the points lie between a close and its submission"


def recovered(bed: Bed, plain: bytes, name: str, place: str) -> int:
    """Start again, send again, and look at everything that is promised; gives how many were taken in."""
    digests = [hashlib.sha256(one).hexdigest() for one in (plain, plain[::-1])]
    nothing_is_plain(bed, place)
    closed = stages(Uploads(bed.office)).count(Stage.CLOSED)
    before = sum(len(bed.submissions(one)) for one in digests)
    bed.start()
    try:
        end = time.monotonic() + 20
        while Stage.CLOSED in stages(bed.server.parts.inbox.uploads):
            assert time.monotonic() < end, f"{place}: what was closed is not taken in"
            threading.Event().wait(0.02)
        taken = sum(len(bed.submissions(one)) for one in digests)
        assert taken in (before, before + closed), place  # a kill may lie between submission and card
        assert sent(bed, bed.address.port, name, plain), place
    finally:
        bed.stop()
    for digest, expected in zip(digests, (plain, plain[::-1]), strict=True):
        (submission,) = bed.submissions(digest)
        opened = case.open_results(bed.office, submission)
        assert staging.read_bytes(opened.inbox_file, opened.key) == expected, place
    nothing_is_plain(bed, place)
    return closed


def stages(uploads: Uploads) -> list[Stage]:
    return [one.stage for one in uploads.listed(SENDER, "E3").values()]


def nothing_is_plain(bed: Bed, place: str) -> None:
    for path in (bed.home / "data").rglob("*"):
        assert "Liste" not in path.name, place
        if path.is_file():
            data = path.read_bytes()
            assert MARK not in data, f"{place}: {path.name} is plain"
            assert MARK[::-1] not in data, f"{place}: {path.name} is plain"
            assert b"Liste" not in data, f"{place}: {path.name} names its file"
