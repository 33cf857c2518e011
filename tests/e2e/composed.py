"""docker-compose.yaml on this machine without a container engine: its own commands, as near as it gets.

Where the kernel lets the test's user, each service has what a container has: process ids, a host name and
mounts of its own, nothing writable but its volumes, the file's user without any capability, and no other
secret than its own. What differs stands in one table: hosts become 127.0.0.1, ports free ones, volumes and
secrets folders of the test. Images, networks and the engine itself are not tried.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hub.database.unprivileged import Launcher, launcher, programs, settle
from hub.service.processes import kill_session

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yaml"
SECRETS = "/run/secrets"
UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--uts", "--kill-child=SIGKILL")
# $1 the host's name, then what is writable up to "--", then the command.
CONTAINER = """
set -e
hostname "$1"; shift
while [ "$1" != -- ]; do mount --bind "$1" "$1"; shift; done; shift
mount -o remount,bind,ro /
exec "$@"
"""
# What the image's entry point does for a new volume.
ENTRY_POINT = """
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
fi
exec "$@"
"""
PROGRAMS = {
    "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
    "hub": f"#!/bin/sh\nexec {sys.executable} -c 'from hub.cli import main; main()' \"$@\"\n",
}


def read_file(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read docker-compose.yaml with its variables put in, as Compose does."""
    given = environment or {}

    def put_in(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else given.get(match["name"]) or match["default"]

    variable = re.compile(r"\$\$|\$\{(?P<name>[A-Z_]+):-(?P<default>[^}]*)\}")
    read: dict[str, Any] = yaml.safe_load(variable.sub(put_in, FILE.read_text(encoding="utf-8")))
    return read


def free_port() -> str:
    """Find a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


class Composed:
    """The services of docker-compose.yaml, run natively in an empty folder of a short path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.services: dict[str, dict[str, Any]] = read_file()["services"]
        self.running: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self.ports = {port: free_port() for port in ("5432", "6379", "8080", "2222")}
        self._table = self.ports | {"0.0.0.0": "127.0.0.1", "/opt/hub": str(ROOT)}  # noqa: S104
        for name in self.services:
            self._table |= {f"//{name}": "//127.0.0.1", f"@{name}": "@127.0.0.1"}
        for place in self._mounts(self.services):
            self._table[place] = str(self._make(place))
        self._make_programs()
        self._make_secrets()
        self.ordinary = self._ordinary()
        self.contained = _runs(self._contained("probe", [folder], ["touch", str(folder / "probe")]))
        self._postgres = self._hand_over()

    @property
    def home(self) -> Path:
        """HUB_HOME, a volume."""
        return self.folder / "var/lib/hub"

    def here(self, text: str, service: str) -> str:
        """Put this machine's places, ports and addresses into a word of the file."""
        table = self._table | {SECRETS: f"{self.folder}{SECRETS}/{service}"}
        names = "|".join(re.escape(name) for name in sorted(table, key=len, reverse=True))
        return re.sub(rf"(?:(?<![\w.])|(?=@))({names})(?![\w-])", lambda found: table[found[1]], text)

    def environment(self, service: str) -> dict[str, str]:
        """Give a service's environment: the image's, and what the file says."""
        told = self.services[service].get("environment", {})
        image = {
            "PATH": f"{self.folder / 'bin'}:{programs()}:/usr/bin:/bin:/usr/sbin:/sbin",
            "USER": "hub",  # the name that the image gives to its user
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self._make(f"/tmp/{service}")),  # noqa: S108
        }
        return image | {name: self.here(str(value), service) for name, value in told.items()}

    def up(self) -> None:
        """Start everything, each when what it depends on is as the file wants it."""
        waiting, done = list(self.services), set[str]()
        while waiting:
            for name in [name for name in waiting if self._wanted(name) <= done]:
                waiting.remove(name)
                for number in range(1, self.replicas(name) + 1):
                    self.start(name, number)
            for name in {one for later in waiting for one in self._wanted(later)} - done - {*waiting}:
                self.wait(name)
                done.add(name)
        for name in self.services.keys() - done:
            self.wait(name)

    def start(self, service: str, number: int = 1) -> None:
        """Start a service with its own command."""
        command = [self.here(word, service) for word in self.services[service]["command"]]
        if service == "database":
            command = ["/bin/sh", "-c", ENTRY_POINT, "entrypoint", *command]
        with self._log(service, number).open("ab") as log:
            self.running[service, number] = subprocess.Popen(
                self._wrapped(service, number, command),
                env=self.environment(service),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, service: str, *command: str, number: int = 1) -> subprocess.CompletedProcess[str]:
        """Run a command beside a service, in its environment, as ``docker compose exec`` does."""
        return subprocess.run(
            self._wrapped(service, number, command),
            env=self.environment(service),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def is_healthy(self, service: str, number: int = 1) -> bool:
        """Run a service's own health check."""
        kind, *test = self.services[service]["healthcheck"]["test"]
        command = [self.here(word, service) for word in test]
        shell = ["/bin/sh", "-c"] if kind == "CMD-SHELL" else []
        return self.run(service, *shell, *command, number=number).returncode == 0

    def wait(self, service: str, patience: float = 120) -> None:
        """Wait until a service is healthy in all its replicas; one without a health check has to end well."""
        end = time.monotonic() + patience
        for number in range(1, self.replicas(service) + 1):
            process = self.running[service, number]
            if "healthcheck" not in self.services[service]:
                assert process.wait(patience) == 0, self.last_words(service, number)
                continue
            while not self.is_healthy(service, number):
                assert process.poll() is None, self.last_words(service, number)
                assert time.monotonic() < end, self.last_words(service, number)
                time.sleep(1)

    def replicas(self, service: str) -> int:
        """Tell how many of a service run."""
        return int(self.services[service].get("deploy", {}).get("replicas", 1))

    def kill(self, service: str, number: int = 1) -> None:
        """Kill a service with -9, all of it at once, as the kernel does when a container is killed."""
        process = self.running.pop((service, number))
        assert kill_session(process.pid)
        process.wait()

    def end(self) -> None:
        """Kill whatever runs."""
        for service, number in list(self.running):
            self.kill(service, number)

    def last_words(self, service: str, number: int = 1) -> str:
        """Give the end of what a service wrote."""
        return f"{service}: {self._log(service, number).read_text(errors='replace')[-4000:]}"

    def _log(self, service: str, number: int) -> Path:
        return self.folder / f"{service}-{number}.log"

    def _wanted(self, service: str) -> set[str]:
        return set(self.services[service].get("depends_on", {}))

    def _mounts(self, services: Iterable[str]) -> list[str]:
        """List the places at which these services may write."""
        told = [self.services[name] for name in services]
        volumes = [words.split(":") for one in told for words in one.get("volumes", ())]
        writable = [words[1] for words in volumes if words[2:] != ["ro"]]
        return writable + [words.partition(":")[0] for one in told for words in one.get("tmpfs", ())]

    def _make(self, place: str) -> Path:
        inner = self.folder / place.removeprefix("/")
        inner.mkdir(parents=True, exist_ok=True, mode=0o700)
        return inner

    def _make_programs(self) -> None:
        for name, text in PROGRAMS.items():
            program = self._make("/bin") / name
            program.write_text(text, encoding="utf-8")
            program.chmod(0o755)

    def _make_secrets(self) -> None:
        """Have the secrets made by the deployment's own script, and show each service its own."""
        made = self.folder / "secrets"
        command = ["/bin/sh", str(ROOT / "deploy" / "secrets.sh"), str(made)]
        subprocess.run(command, check=True, capture_output=True)
        for service, told in self.services.items():
            for name in told.get("secrets", ()):
                file = self._make(f"{SECRETS}/{service}") / name
                file.write_text(self.here((made / name).read_text("ascii"), service), encoding="ascii")
                file.chmod(0o600)

    def _ordinary(self) -> Launcher:
        """Find the way from root to the file's user without capabilities that can still read this program.

        Either that user itself, or root's own files seen from a namespace in which they are that user's.
        """
        user = self.services["init"]["user"].partition(":")[0]
        ids = (f"--reuid={user}", f"--regid={user}", "--clear-groups")
        ways = [
            Launcher(
                ("setpriv", *ids, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"), int(user)
            ),
            Launcher(("unshare", "--user", f"--map-user={user}", f"--map-group={user}"), os.geteuid()),
        ]
        probe = ("/bin/sh", "-c", '"$0" -c "import json, pydantic; open(\'$1/hub/settings.py\')"')
        for way in ways if os.geteuid() == 0 else ():
            if _runs([*way.prefix, *probe, sys.executable, str(ROOT)]):
                return way
        return Launcher((), os.geteuid())

    def _hand_over(self) -> Launcher:
        """Give the folders to whom they belong; PostgreSQL's to the user that it runs as on this machine."""
        settle(self.folder, self.ordinary.owner)
        way = launcher(self.folder)
        for place in (*self._mounts(["database"]), f"{SECRETS}/database"):
            settle(self.folder / place.removeprefix("/"), way.owner)
        return way

    def _contained(self, name: str, writable: Iterable[Path], command: Sequence[str]) -> list[str]:
        return [*UNSHARE, "/bin/sh", "-c", CONTAINER, "sh", name, *map(str, writable), "--", *command]

    def _wrapped(self, service: str, number: int, command: Sequence[str]) -> list[str]:
        way = (self._postgres if service == "database" else self.ordinary).prefix
        if not self.contained:
            return [*way, *command]
        writable = [self.folder / "tmp" / service]
        writable += [Path(self._table[place]) for place in self._mounts([service])]
        return self._contained(f"{service}-{number}", writable, [*way, *command])


def _runs(command: Sequence[str], status: int = 0) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == status
