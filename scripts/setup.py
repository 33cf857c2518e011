# ruff: noqa: INP001, T201 -- a program of its own, run before anything is installed
"""Make the virtual environment from requirements.lock, install the project into it, and run ``hub init``.

Needs nothing but Python's standard library. A second run finds its own mark and is done at once.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
NEEDS = ROOT / "scripts" / "test-needs.txt"
STAMP = VENV / "set-up-by"
FREE_BYTES = 3_000_000_000
BIN = VENV / "bin"

Command = Sequence[str | Path]


def main() -> None:
    """Set up whatever is missing."""
    fresh = not is_current()
    if fresh:
        require_venv()
        require_space()
        make_environment()
        install_locked()
        install_project()
        STAMP.write_text(mark(), encoding="ascii")
    install_needs()
    home = Path(os.environ.get("HUB_HOME", ROOT / ".hub"))
    if fresh or not home.exists():
        run([BIN / "hub", "init"])
    print(f"ready: {BIN / 'hub'}")


def mark() -> str:
    """Name what the environment was made from: this Python, this place, the lock, pyproject.toml."""
    digest = hashlib.sha256(f"{sys.version}|{sys.executable}|{ROOT}".encode())
    for file in (LOCK, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def is_current() -> bool:
    """Tell whether the environment was made, to the end, from what lies here now."""
    return STAMP.is_file() and STAMP.read_text(encoding="ascii") == mark() and (BIN / "hub").exists()


def require_venv() -> None:
    """Make sure that this Python can make virtual environments (Debian ships that apart)."""
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        fail(
            "setup.venv",
            f"Python {version} at {sys.executable} lacks its module venv or ensurepip",
            f"Debian: apt install python{version}-venv; or name another Python: make setup PYTHON=...",
        )


def require_space() -> None:
    """Make sure that environment and database find room."""
    free = shutil.disk_usage(ROOT).free
    if free < FREE_BYTES and not VENV.exists():
        fail(
            "setup.space",
            f"expected {FREE_BYTES / 1e9:.0f} GB free at {ROOT}, found {free / 1e9:.1f} GB",
            "free some space, or clone to a larger disk",
        )


def make_environment() -> None:
    """Make the environment anew; what an earlier or cut run left is dropped."""
    print(f"making {VENV} with Python {sys.version.split()[0]}", flush=True)
    run([sys.executable, "-m", "venv", "--clear", VENV])


def install_locked() -> None:
    """Install exactly what the lock names: with uv where it is to be had, else with pip (slower)."""
    print("installing requirements.lock", flush=True)
    locked: Command = ["--require-hashes", "--requirement", LOCK]
    if install_uv():
        install: Command = [
            BIN / "uv",
            "pip",
            "install",
            "--python",
            BIN / "python",
            "--compile-bytecode",
            "--quiet",
        ]
        if run([*install, *locked], check=False):
            return
        print("uv could not install it; trying pip", flush=True)
    if not run([*pip(), *locked], check=False):
        fail(
            "setup.packages",
            "not every package of requirements.lock could be installed",
            "check the network and pip's configuration (index, proxy), then run make setup again",
        )


def install_uv() -> bool:
    """Install the uv that the lock names, with its hashes."""
    block = re.search(r"^uv==.*(?:\n    --hash=.*)+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if block is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        only = Path(folder) / "uv.txt"
        only.write_text(block.group() + "\n", encoding="utf-8")
        return run([*pip(), "--require-hashes", "--requirement", only], check=False)


def pip() -> Command:
    """Call the environment's pip, quietly."""
    return [BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def install_project() -> None:
    """Install the project itself, editable: what lies here is what runs."""
    run([*pip(), "--no-deps", "--no-build-isolation", "--editable", ROOT])
    run(
        [
            BIN / "python",
            "-m",
            "compileall",
            "-q",
            *(ROOT / name for name in ("hub", "connectors", "schemas")),
        ]
    )


def install_needs() -> None:
    """Install what tests need of the system, where apt and root are there; elsewhere say what is missing."""
    missing = {}
    for line in NEEDS.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            program, package, _why = line.split(maxsplit=2)
            if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
                missing[program] = package
    if not missing:
        return
    packages = sorted(set(missing.values()))
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing for tests: {', '.join(packages)}", flush=True)
        patience = ("-o", "Acquire::http::Timeout=30", "-o", "Acquire::Retries=1")
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *patience, *packages]
        if run(install, check=False, environment=quiet):
            return
        run(["apt-get", "update", "-qq", *patience], check=False, environment=quiet)
        if run(install, check=False, environment=quiet):
            return
    print(f"for all tests, install: {', '.join(packages)} (programs: {', '.join(sorted(missing))})")


def run(command: Command, *, check: bool = True, environment: dict[str, str] | None = None) -> bool:
    """Run a program where the project lies; a failure ends the set-up unless ``check`` is off."""
    status = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=environment, check=False
    ).returncode
    if status != 0 and check:
        fail("setup.failed", f"{Path(command[0]).name} ended with status {status}", "see the lines above")
    return status == 0


def fail(code: str, message: str, remedy: str) -> None:
    """Say what is wrong and what to do, and end."""
    print(f"{code}: {message}\nRemedy: {remedy}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
