"""A hub with its drop running, and partners with the programs that they use."""

import asyncio
import secrets
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import asyncssh
from sqlalchemy import func, select

from connectors.drop.server import Address, Drop
from hub import registry
from hub.database.models import Submission
from hub.office import Office
from hub.runtime import initialise, open_office, outbox
from hub.settings import Settings
from tests.e2e.hub import make_key

SENDER, RECIPIENT = "kreisvolkshochschule", "integrationsbegleitung"
Result = TypeVar("Result")


@dataclass
class Bed:
    """A hub, its drop (in a thread of this process), and a desk where partners' files lie."""

    office: Office
    desk: Path
    server: Drop = field(init=False)
    address: Address = field(init=False)
    _stop: Callable[[], None] = field(init=False)
    _thread: threading.Thread = field(init=False)

    @property
    def home(self) -> Path:
        """HUB_HOME."""
        return self.office.settings.root

    def start(self) -> None:
        """Start the drop on any free port."""
        ready = threading.Event()

        def told(address: Address) -> None:
            self.address = address
            ready.set()

        async def serve() -> None:
            stop, loop = asyncio.Event(), asyncio.get_running_loop()

            def halt() -> None:
                loop.call_soon_threadsafe(stop.set)

            self._stop = halt
            await self.server.serve("127.0.0.1", 0, stop, told)

        self.server = Drop(self.office, outbox(self.office.settings).place)
        self._thread = threading.Thread(target=lambda: asyncio.run(serve()))
        self._thread.start()
        assert ready.wait(20)

    def stop(self) -> None:
        """Stop it, as SIGTERM does."""
        self._stop()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the drop does not end"

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def key_of(self, partner: str) -> Path:
        """Give a partner's private key, made and registered when it is asked for the first time."""
        path = self.desk / f"{partner}.key"
        if not path.exists():
            public = make_key(path).read_text(encoding="ascii")
            path.chmod(0o600)
            with self.office.database.transaction() as session:
                registry.add_partner_key(session, partner, None, public, "key")
        return path

    def file(self, name: str, content: bytes | None = None) -> Path:
        """Lay a file on the desk; content of no meaning unless it is given."""
        path = self.desk / name
        path.write_bytes(secrets.token_bytes(3000) if content is None else content)
        return path

    def ssh_options(self, partner: str, port: int | None = None) -> list[str]:
        """Options for OpenSSH's programs."""
        told = {
            "IdentityFile": self.key_of(partner),
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",  # with INFO it warns of unknown host keys
            "Port": port or self.address.port,
        }
        return ["-F", "/dev/null", *(word for name, it in told.items() for word in ("-o", f"{name}={it}"))]

    def sftp(self, *lines: str, partner: str = SENDER, fails: bool = False) -> str:
        """Let OpenSSH's sftp run some commands as a partner; gives what it said, of its errors as well."""
        done = subprocess.run(
            ["sftp", "-b", "-", *self.ssh_options(partner), f"{partner}@127.0.0.1"],  # noqa: S607
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def asked(
        self, work: Callable[[asyncssh.SFTPClient], Awaitable[Result]], partner: str = SENDER, port: int = 0
    ) -> Result:
        """Do something with asyncssh's client as a partner."""

        async def run() -> Result:
            async with self.line(partner, port) as line, line.start_sftp_client() as client:
                return await work(client)

        return asyncio.run(run())

    def line(
        self, partner: str = SENDER, port: int = 0
    ) -> "asyncssh.misc._ACMWrapper[asyncssh.SSHClientConnection]":
        """Connect by asyncssh's client."""
        return asyncssh.connect(
            "127.0.0.1",
            port or self.address.port,
            username=partner,
            client_keys=[str(self.key_of(partner))],
            known_hosts=None,
            config=[],
        )

    def submissions(self, sha256: str) -> list[str]:
        """Name the submissions of a content."""
        with self.office.database.transaction() as session:
            return list(session.scalars(select(Submission.id).where(Submission.sha256 == sha256)))

    def count(self) -> int:
        """Count all submissions."""
        with self.office.database.transaction() as session:
            return session.scalar(select(func.count()).select_from(Submission)) or 0


@contextmanager
def made(folder: Path) -> Iterator[Bed]:
    """Make a hub with a running drop."""
    settings = Settings(home=folder / "a home")
    initialise(settings)
    desk = folder / "desk"
    desk.mkdir()
    with open_office(settings) as office:
        bed = Bed(office, desk)
        bed.start()
        try:
            yield bed
        finally:
            bed.stop()
