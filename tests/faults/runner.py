"""Runs the hub's command line in a process of its own, with a tracer in it.

The processes are forked from a server that has imported the slow libraries once (multiprocessing's
forkserver); each is a process that can be killed, stopped and waited for like any other.
"""

import contextlib
import io
import json
import multiprocessing
import os
import sys
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.faults.tracer import Mode, Tracer

PRELOAD = [
    "connectors.drop.server",
    "great_expectations",
    "pandas",
    "polars",
    "sqlalchemy.dialects.postgresql.psycopg",
    "hub.cli.program",
    "hub.runtime",
    "hub.exchange",
    "tests.faults.tracer",
]


@dataclass(frozen=True)
class Run:
    """One run of ``hub`` in a process of its own."""

    process: ForkServerProcess
    log: Path
    output: Path

    def wait(self, seconds: float = 120) -> int:
        """Wait for the end and give the exit status (negative: the signal that killed it)."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "the hub hangs"
        return self.process.exitcode

    def trace(self) -> dict[str, list[str]]:
        """Give the points that were found."""
        found: dict[str, list[str]] = json.loads(self.log.read_text(encoding="utf-8"))
        return found

    def said(self) -> str:
        """Give what was said on stdout and stderr."""
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""


def start(
    home: Path,
    arguments: list[str],
    folder: Path,
    mode: Mode = "trace",
    at: int = 0,
    *,
    journal: bool = False,
) -> Run:
    """Start ``hub ARGUMENTS`` on a HUB_HOME, with a tracer on its data folder, and on its journal."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    log, output = folder / "trace.json", folder / "output.txt"
    process = context.Process(
        target=_run, args=(str(home), arguments, mode, at, str(log), str(output)), kwargs={"journal": journal}
    )
    process.start()
    return Run(process, log, output)


def _run(
    home: str, arguments: list[str], mode: Mode, at: int, log: str, output: str, *, journal: bool
) -> None:
    os.environ.update({"HUB_HOME": home, "HUB_PART_ROWS": "60"})
    os.setpgid(0, 0)
    tracer = Tracer(Path(home) / "data", mode, at, Path(log), Path(f"{home}-journal") if journal else None)
    tracer.install()
    from hub.cli import main  # noqa: PLC0415

    said = io.StringIO()
    sys.argv = ["hub", *arguments]
    status = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    Path(output).write_text(said.getvalue(), encoding="utf-8")
    tracer.save()
    os._exit(status)
