"""Other people's packages that the log is held against, each in an environment of its own.

Their licences (pymerkle: GPL) and what they need stay out of the hub's environment; they are called as
programs, and answer in JSON.
"""

import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hub.errors import Refused

PYMERKLE = (
    "pymerkle==7.0.0 --hash=sha256:506817f2a78cf9b2b49fcabb1d00c0dc76f0efa90fb0b14d998bab4e6729ad4f",
    "cachetools==7.2.1 --hash=sha256:63aa53dfe7473c10cccdd5a01dedf76ef2c4b73a58840d9396e7d0752cbdac3b",
)
"""Another Merkle tree of RFC 9162, and what it stands on, by version and digest."""

PROGRAM = Path(__file__).with_name("pymerkle_job.py")
_PATIENCE_SECONDS = 120


def environment(folder: Path, packages: Sequence[str]) -> Path:
    """Make an environment with just these packages below a new folder; gives its Python.

    Raises:
        Refused: ``bench.peer`` when they cannot be had: no network, no index.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    wanted = folder / "packages.txt"
    wanted.write_text("\n".join(packages) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--retries=1", "--timeout=15", "-r", str(wanted)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE_SECONDS)
        words = done.stderr.decode(errors="replace").strip().splitlines()[-1:] if done.returncode else None
    except subprocess.TimeoutExpired:
        words = ["no answer in time"]
    if words is not None:
        message = f"{packages[0].split()[0]} cannot be had: {' '.join(words)}"
        raise Refused("bench.peer", message, "check the network and pip's configuration (index, proxy)")
    return python


def ask(python: Path, *words: object) -> Any:
    """Ask the peer's program one thing, and read what it answers."""
    done = subprocess.run(
        [str(python), "-I", str(PROGRAM), *map(str, words)], capture_output=True, check=True, text=True
    )
    return json.loads(done.stdout)
