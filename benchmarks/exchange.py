"""One million E3 rows through all six steps, beside a bare Polars rewrite and an ordinary job.

Every measured hub run starts from the same HUB_HOME, with the persons and consents in it; making that, and
copying it, is not measured. The hub's processes include its embedded database.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Measured
from connectors.consents import read_consents
from hub import consent_register, registry
from hub.runtime import initialise, open_office
from hub.settings import Settings
from schemas import samples
from schemas.samples.consents import LACKS

HERE = Path(__file__).parent
HUB = [sys.executable, "-c", "from hub.cli import main; main()"]
GOALS = {
    "hub_to_rewrite": ("at most", 20.0),
    "ordinary_to_hub": ("at least", 5.0),
    "hub_peak_mb": ("at most", 800.0),
}


def bench(rows: int, runs: int, told: Callable[[str], None]) -> dict[str, Any]:
    """Measure, alternating, and give the figures: ratios of medians, their parts beside them."""
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as name:
        folder = Path(name)
        told(f"making {rows} rows and their consents")
        # In a process of its own: a measured one begins with the memory peak of the one that starts it.
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            file, consents = apart.submit(_prepare, folder, rows).result()
        jobs = {
            "rewrite": lambda turn: _rewrite(file, folder / f"rewrite-{turn}.csv"),
            "hub": lambda turn: _hub(folder, file, turn),
            "ordinary": lambda turn: _ordinary(file, consents, folder / f"ordinary-{turn}.enc"),
        }
        measured = measure.alternate(runs, jobs, told)
    seconds = {name: measure.median_seconds(of) for name, of in measured.items()}
    return {
        "rows": rows,
        "runs": runs,
        "hub_to_rewrite": round(seconds["hub"] / seconds["rewrite"], 2),
        "ordinary_to_hub": round(seconds["ordinary"] / seconds["hub"], 2),
        "hub_peak_mb": round(measure.peak(measured["hub"]) / 1e6),
        "ordinary_peak_mb": round(measure.peak(measured["ordinary"]) / 1e6),
        "rewrite_peak_mb": round(measure.peak(measured["rewrite"]) / 1e6),
        **{f"{name}_seconds": round(median, 2) for name, median in seconds.items()},
        **{f"{name}_all_seconds": [round(one.seconds, 2) for one in of] for name, of in measured.items()},
    }


def _prepare(folder: Path, rows: int) -> tuple[Path, Path]:
    (agreement,) = [one for one in registry.read_agreements([registry.SHIPPED]) if one.id == "E3"]
    lacks = [lack.name for lack in LACKS]  # a file that the peers can read as well
    made = samples.sample(agreement, rows, seed=1, errors=lacks)
    file, consents = folder / "e3.csv", folder / "consents.csv"
    samples.write_sample(made, file)
    samples.write_consents(made, consents)
    settings = Settings(home=folder / "template")
    initialise(settings)
    with open_office(settings) as office:
        consent_register.bring_in(office, agreement.sender.id, read_consents(consents))
    return file, consents


def _rewrite(file: Path, out: Path) -> Measured:
    measured = measure.run([sys.executable, str(HERE / "rewrite.py"), str(file), str(out)])
    out.unlink()
    return measured


def _hub(folder: Path, file: Path, turn: int) -> Measured:
    home = folder / f"home-{turn}"
    shutil.copytree(folder / "template", home, symlinks=True)
    measured = measure.run(
        [*HUB, "submit", str(file), "--agreement", "E3", "--json"], {"HUB_HOME": str(home)}
    )
    shutil.rmtree(home)
    return measured


def _ordinary(file: Path, consents: Path, out: Path) -> Measured:
    measured = measure.run(
        [sys.executable, str(HERE / "ordinary_job.py"), str(file), str(consents), str(out)]
    )
    out.unlink()
    return measured
