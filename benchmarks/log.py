"""The transfer log: its tree, an auditor's kit and durable appends, each beside its floor in the same run.

The tree stands beside bare SHA-256 of the same entries, each hashed by itself, and beside pymerkle; the kit,
verified by its own ``pruefen.py``, beside the same; appends beside bare inserts of the same bytes into one
table of the same PostgreSQL, a commit for each batch. All but the database is single-threaded: one core.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from base64 import b64decode
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import text

from benchmarks import measure, peers, synthetic_log
from hub import logbook
from hub.errors import Refused
from hub.kit.export import Period, write
from hub.ledger.checkpoint import verifier_key
from hub.ledger.entry import Entry, canonical
from hub.office import Office
from hub.runtime import initialise, open_office
from hub.settings import Settings

GOALS = {"tree_to_sha256": ("at most", 3.0), "kit_to_sha256": ("at most", 20.0)}
HERE = Path(__file__).parent
BATCHES = (1, 10, 100, 1_000, 10_000)
_FILL = 1_000  # entries in each append that makes the log
_COMMITS, _MOST = 100, 20_000  # of a batch size, in each run: so many commits, and no more entries
_BARE = "INSERT INTO hub.bare SELECT unnest(CAST(:bodies AS bytea[]))"
Told = Callable[[str], None]
Seconds = dict[str, list[float]]


def bench(entries: int, runs: int, told: Told) -> dict[str, Any]:
    """Measure, alternating, and give the figures: ratios of medians, their parts beside them.

    Raises:
        Refused: ``bench.root`` when two of them come to different roots, ``bench.run``, ``bench.peer``.
    """
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as name:
        folder = Path(name)
        told("installing pymerkle into an environment of its own")
        peer = peers.environment(folder / "pymerkle", peers.PYMERKLE)
        told(f"logging {entries} entries, then measuring durable appends")
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            made, durable = apart.submit(_logged, folder, entries, runs).result()
        jobs: dict[str, Callable[[], float]] = {
            "sha256": partial(_job, folder, "each"),
            "stream": partial(_job, folder, "stream"),
            "tree": partial(_job, folder, "tree", made["root"]),
            "pymerkle": partial(_pymerkle, folder, peer, made["root"]),
            "kit": partial(_kit, folder),
        }
        seconds: Seconds = {name: [] for name in jobs}
        for turn in range(runs):
            for what, job in jobs.items():
                told(f"run {turn + 1} of {runs}: {what}")
                seconds[what].append(job())
    return {
        "entries": entries,
        "runs": runs,
        **_figures(seconds, durable),
        **made,
        "load": os.getloadavg()[0],
    }


def _figures(seconds: Seconds, durable: Mapping[str, Any]) -> dict[str, Any]:
    medians = {name: median(of) for name, of in seconds.items()}
    return {
        "tree_to_sha256": round(medians["tree"] / medians["sha256"], 2),
        "kit_to_sha256": round(medians["kit"] / medians["sha256"], 2),
        "pymerkle_to_tree": round(medians["pymerkle"] / medians["tree"], 2),
        "tree_to_stream": round(medians["tree"] / medians["stream"], 2),
        "kit_to_stream": round(medians["kit"] / medians["stream"], 2),
        **durable,
        **{f"{name}_seconds": round(one, 3) for name, one in medians.items()},
        **{f"{name}_all_seconds": [round(one, 3) for one in of] for name, of in seconds.items()},
    }


def _logged(folder: Path, count: int, runs: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make a log of so many entries and its kit; then measure what is appended to it."""
    settings = Settings(home=folder / "home")
    initialise(settings)
    with open_office(settings) as office:
        waiting = synthetic_log.entries(count - _size(office))
        while some := list(islice(waiting, _FILL)):
            with office.database.transaction() as session:
                logbook.append(session, office, some)
        with office.database.audit() as session:
            kit = write(session, folder / "kit.zip", settings.origin, Period(), lambda _: None)
        key = verifier_key(settings.origin, office.ring.log_public())
        (folder / "trust.txt").write_text(f"log {key}\n", encoding="utf-8")
        with zipfile.ZipFile(kit.file) as archive:
            archive.extract("pruefen.py", folder)
            archive.extract("entries.tsv", folder)
            note = archive.read("checkpoint").decode()
        durable = _durable(office, count, runs)
    root = b64decode(note.split("\n")[2]).hex()
    return {"kit_mb": round(kit.file.stat().st_size / 1e6, 1), "size": kit.size, "root": root}, durable


def _durable(office: Office, count: int, runs: int) -> dict[str, Any]:
    """Append batches, and insert the same bodies barely, in turn; entries a second, and the ratio of both."""
    with office.database.restoring() as session:
        session.execute(text("CREATE TABLE hub.bare (body bytea NOT NULL)"))
        session.execute(text("GRANT INSERT ON hub.bare TO hub_application"))
    figures: dict[str, Any] = {}
    waiting = synthetic_log.entries(10**9, seed=2)
    for batch in (size for size in BATCHES if size <= count):
        entries = min(_MOST, _COMMITS * batch, max(batch, count // 10))
        told: Seconds = {"log": [], "bare": []}
        for _ in range(runs):
            batches = [list(islice(waiting, batch)) for _ in range(entries // batch)]
            told["log"].append(_timed(partial(_append, office, batches)))
            bodies = [[canonical(entry) for entry in some] for some in batches]
            told["bare"].append(_timed(partial(_insert, office, bodies)))
        log, bare = median(told["log"]), median(told["bare"])
        name, done = f"durable_{batch}", entries // batch * batch
        figures |= {
            f"{name}_to_bare": round(log / bare, 2),
            f"{name}_per_second": round(done / log),
            f"{name}_bare_per_second": round(done / bare),
            f"{name}_all_seconds": [round(one, 3) for one in told["log"]],
            f"{name}_bare_all_seconds": [round(one, 3) for one in told["bare"]],
        }
    return figures


def _append(office: Office, batches: list[list[Entry]]) -> None:
    for some in batches:
        with office.database.transaction() as session:
            logbook.append(session, office, some)


def _insert(office: Office, batches: list[list[bytes]]) -> None:
    for bodies in batches:
        with office.database.transaction() as session:
            session.execute(text(_BARE), {"bodies": bodies})


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _job(folder: Path, what: str, root: str | None = None) -> float:
    return _told(sys.executable, "-m", "benchmarks.log_job", what, folder / "entries.tsv", root=root)


def _pymerkle(folder: Path, python: Path, root: str) -> float:
    return _told(python, "-I", peers.PROGRAM, "append", folder / "entries.tsv", root=root)


def _told(*command: object, root: str | None) -> float:
    """Run a job; it tells its own seconds, and the root that it came to."""
    done = subprocess.run([*map(str, command)], capture_output=True, check=False, text=True, cwd=HERE.parent)
    if done.returncode:
        raise Refused("bench.run", done.stderr.strip()[-200:], "run that job by itself to see more")
    told = json.loads(done.stdout)
    if root is not None and told["root"] != root:
        message = f"expected the root {root}, got {told['root']}"
        raise Refused(
            "bench.root", message, "two implementations of RFC 9162 disagree: find out which is wrong"
        )
    return float(told["seconds"])


def _kit(folder: Path) -> float:
    """Verify the kit as an auditor does: the whole process, from the interpreter's start to its verdict."""
    words = ["-I", "-S", folder / "pruefen.py", "--json", "--trust", folder / "trust.txt", folder / "kit.zip"]
    return measure.run([sys.executable, *map(str, words)]).seconds


def _size(office: Office) -> int:
    with office.database.audit() as session:
        return int(session.scalar(text("SELECT count(*) FROM ledger.entry")) or 0)
