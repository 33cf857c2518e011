"""Measuring whole processes: wall seconds and peak memory, alternating, as medians."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hub.errors import Refused

# Linux begins a process's peak of memory with that of the process that starts it: this one is small.
LAUNCHER = """
import json, os, sys, time
began = time.monotonic()
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.monotonic() - began
with open(sys.argv[1], "w") as sink:
    json.dump([seconds, os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024], sink)
"""


@dataclass(frozen=True)
class Measured:
    """One finished process: wall seconds and the peak of its resident memory in bytes."""

    seconds: float
    peak_bytes: int


Job = Callable[[int], Measured]  # what is measured, told which turn it is


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end and measure it; what it says is dropped.

    Raises:
        Refused: ``bench.run`` with its last words if it ended with another status than 0.
    """
    with tempfile.TemporaryFile() as said, tempfile.NamedTemporaryFile() as result:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", LAUNCHER, result.name, *command],
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, **(environment or {})},
            check=True,
        )
        seconds, status, peak_bytes = json.load(result)
        if status != 0:
            said.seek(0)
            words = said.read().decode(errors="replace").strip().splitlines()[-1:]
            message = f"a measured job ended with status {status}: {' '.join(words)}"
            raise Refused("bench.run", message, "run that job by itself to see more")
    return Measured(seconds, peak_bytes)


def alternate(runs: int, jobs: Mapping[str, Job], told: Callable[[str], None]) -> dict[str, list[Measured]]:
    """Run the jobs in turn, A B C A B C …, so that a drifting machine meets all of them alike."""
    measured: dict[str, list[Measured]] = {name: [] for name in jobs}
    for turn in range(runs):
        for name, job in jobs.items():
            told(f"run {turn + 1} of {runs}: {name}")
            measured[name].append(job(turn))
    return measured


def median_seconds(measured: Sequence[Measured]) -> float:
    """Give the median of the wall seconds."""
    return statistics.median(one.seconds for one in measured)


def peak(measured: Sequence[Measured]) -> int:
    """Give the highest peak of memory in bytes."""
    return max(one.peak_bytes for one in measured)


def machine() -> dict[str, str | int | None]:
    """Say on what was measured."""
    return {
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
