"""The embedded PostgreSQL: a server of the hub's own, under HUB_HOME, for as long as a process needs it.

It listens on a Unix socket in a folder of mode 0700 (and on 127.0.0.1 only where a port is asked for), takes
nothing but SCRAM passwords, and its log holds no statement, no error of a statement and no parameter, so that
no value of a person's row can reach it. Whoever comes first starts it, whoever leaves last stops it; what a
killed hub left running is taken over, what a blackout left half done is cleared away.
"""

import fcntl
import hashlib
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from sqlalchemy import URL

from hub.database import postmaster
from hub.database.configuration import logins_file, settings_file
from hub.database.runfolder import flock, lock_file, open_folder, private_folder, require_port, socket_folder
from hub.database.session import address
from hub.database.unprivileged import ENVIRONMENT, Launcher, launcher, programs, settle, tool
from hub.errors import Corrupt, Refused, Transient

SUPERUSER = "postgres"
PORT = 5432
LOG_BYTES = 5_000_000


class EmbeddedPostgres:
    """One PostgreSQL cluster in ``data``, with its locks, socket and log in ``run``; both absolute folders.

    ``port`` makes it listen on 127.0.0.1 as well. ``free_bytes`` is what a new cluster asks of the disk.
    """

    def __init__(
        self, data: Path, run: Path, superuser_password: str, *, port: int | None = None, free_bytes: int = 0
    ) -> None:
        self.data = data.absolute()
        self.run = run.absolute()
        self.port = port
        self.log = self.run / "postgres.log"
        self._password = superuser_password
        self._free_bytes = free_bytes

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self.data)!r})"

    @contextmanager
    def serving(self, *, patience: float = 60) -> Iterator[URL]:
        """Have the server run while the block does, and yield its superuser's URL.

        The last of all processes inside such a block stops the server. ``patience`` is the longest wait in
        seconds for another process that is starting or stopping it.

        Raises:
            Refused: ``database.user``, ``database.programs``, ``database.tool``, ``database.port``,
                ``database.folder``, ``disk.space``.
            Corrupt: ``database.password`` where data and keys do not belong together, ``database.start``.
            Transient: ``database.busy``, ``database.away``.
        """
        private_folder(self.run)
        with lock_file(self.run / "postgres.users") as users:
            flock(users, fcntl.LOCK_SH, patience)
            try:
                with self._alone(patience):
                    url = self._started()
                yield url
            finally:
                with self._alone(patience):
                    fcntl.flock(users, fcntl.LOCK_UN)
                    with suppress(BlockingIOError):
                        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        self._stopped()

    def url(
        self, role: str = SUPERUSER, password: str = "", database: str = "postgres", *, tcp: bool = False
    ) -> URL:
        """Name the way to a database for one role, by socket or (``tcp``) by 127.0.0.1 and the asked port."""
        secret = password or (self._password if role == SUPERUSER else "")
        if tcp:
            return URL.create("postgresql+psycopg", role, secret, "127.0.0.1", self.port, database)
        server = postmaster.running(self.data)
        place = (server.sockets if server else None) or socket_folder(self.run)
        port = server.port if server else self.port or PORT
        query = {"host": str(place), "port": str(port)}
        return URL.create("postgresql+psycopg", role, secret, database=database, query=query)

    def _started(self) -> URL:
        server = postmaster.running(self.data)
        if server is None or not self._becomes_ready():
            self._clear_remains()
            way = self._cluster()
            self._configure()
            with self._launched(way) as pulse:
                answers = self._becomes_ready(pulse)
            if not answers:
                raise Transient(
                    "database.away",
                    f"PostgreSQL started but did not answer; its log is {self.log}",
                    "try again; if it stays so, read that log",
                )
        return self.url()

    def _cluster(self) -> Launcher:
        """Make the data folder if there is none, whole or not at all, and give it to the right user."""
        made = (self.data / "PG_VERSION").exists()
        if not made:
            self.data.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._require_space()
        way = launcher(self.data.parent)
        if not made:
            self._initialise(way)
        settle(self.data, way.owner)
        return way

    def _initialise(self, way: Launcher) -> None:
        if self.data.exists() and any(self.data.iterdir()):
            raise Refused(
                "database.folder",
                f"{self.data} holds something else than a database",
                "move it, or set HUB_HOME",
            )
        fresh = self.data.with_name(self.data.name + ".new")
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        settle(fresh, way.owner)
        command = [*way.prefix, str(programs() / "initdb"), f"--pgdata={fresh}", f"--username={SUPERUSER}"]
        command += ["--auth=scram-sha-256", "--pwfile=/dev/stdin", "--encoding=UTF8", "--locale=C"]
        command += [
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            "--no-instructions",
        ]
        # The password goes through a pipe: it never stands in a file or in the list of processes.
        answer = subprocess.run(
            command, input=self._password.encode(), env=ENVIRONMENT, capture_output=True, check=False
        )
        if answer.returncode != 0:
            reason = (answer.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
            raise Corrupt("database.start", f"initdb failed: {reason}", "check disk and rights of HUB_HOME")
        if self.data.exists():
            self.data.rmdir()
        fresh.rename(self.data)
        with open_folder(self.data.parent) as parent:
            os.fsync(parent)

    def _require_space(self) -> None:
        free = shutil.disk_usage(self.data.parent).free
        if free < self._free_bytes:
            raise Refused(
                "disk.space",
                f"expected {self._free_bytes / 1e9:.1f} GB free at {self.data.parent}, got {free / 1e9:.1f}",
                "free some space, set HUB_HOME to a larger disk, or lower HUB_FREE_BYTES",
            )

    def _clear_remains(self) -> None:
        """Clear what a blackout or a kill -9 left: orphans at work, a stale pid file, stale sockets.

        The order matters: while a backend without postmaster still works, no second server may start.
        """
        if not postmaster.end_orphans(self.data, 10):
            raise Transient(
                "database.busy",
                f"old PostgreSQL processes on {self.data} do not end",
                "end them, then try again",
            )
        (self.data / postmaster.PID_FILE).unlink(missing_ok=True)
        folder = socket_folder(self.run)
        private_folder(folder)
        for remains in folder.glob(".s.PGSQL.*"):
            remains.unlink(missing_ok=True)

    def _configure(self) -> None:
        """Write the whole configuration anew at every start; HUB_HOME may have moved."""
        if self.port is not None:
            require_port(self.port)
        sockets = socket_folder(self.run)
        name = "hub-" + hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]
        for file, text in (
            ("postgresql.conf", settings_file(sockets, self.port or PORT, name, tcp=self.port is not None)),
            ("pg_hba.conf", logins_file(SUPERUSER, tcp=self.port is not None)),
        ):
            (self.data / file).write_text(text, encoding="utf-8")

    @contextmanager
    def _launched(self, way: Launcher) -> Iterator[int]:
        """Start the server; yields a pipe that ends when the last of its processes is gone."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        pulse, held = os.pipe()
        try:
            # setsid --fork: a child of nobody here, out of reach of this terminal's Ctrl-C.
            subprocess.run(
                [tool("setsid"), "--fork", *way.prefix, str(programs() / "postgres"), "-D", str(self.data)],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                pass_fds=[held],
                check=True,
            )
        finally:
            os.close(held)
            os.close(output)
        try:
            yield pulse
        finally:
            os.close(pulse)

    def _becomes_ready(self, pulse: int | None = None, patience: float = 600) -> bool:
        """Wait until the server answers; recovery may take its time as long as the server lives."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if postmaster.running(self.data) is not None:
                if self._answers():
                    return True
            elif pulse is None or select.select([pulse], [], [], 0)[0]:
                return False
            time.sleep(0.02)
        return False

    def _answers(self) -> bool:
        try:
            psycopg.connect(address(self.url()), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if "authentication failed" not in str(error):
                return False
            raise Corrupt(
                "database.password",
                f"the database in {self.data} does not know the password in the key folder",
                "restore the key folder that belongs to this database (see HUB_KEYS)",
            ) from None
        return True

    def _stopped(self) -> None:
        if not postmaster.stop(self.data, 60):
            raise Transient("database.busy", f"PostgreSQL on {self.data} does not stop", f"read {self.log}")
        folder = socket_folder(self.run)
        if folder.parent != self.run:
            with suppress(OSError):
                folder.rmdir()

    @contextmanager
    def _alone(self, patience: float) -> Iterator[None]:
        """Be the only process that starts or stops this server."""
        with lock_file(self.run / "postgres.lock") as lock:
            flock(lock, fcntl.LOCK_EX, patience)
            yield
