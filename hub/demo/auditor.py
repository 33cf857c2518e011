"""The auditor of the demonstration: takes a kit and a trust file away, and verifies with Python alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from hub import public_log, staging
from hub.kit.export import Period, export
from hub.ledger.entry import Actor
from hub.ledger.notes import LOG, VerifierKey, read_key
from hub.ledger.trust import trust_text
from hub.office import Office

READER: Final = Actor(role="auditor", id="demo")
LONGEST: Final = 120  # seconds that the verification may take


def take_away(office: Office, folder: Path) -> Path:
    """Export the whole log, and write the trust file that the auditor would have from elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    kit = folder / "kit.zip"
    staging.discard(kit)  # of an earlier demonstration in the same home
    export(office, READER, kit, Period(), lambda _: None)
    origin = office.settings.origin
    receipts = VerifierKey(
        f"{origin.partition('/')[0]}/receipts", LOG, office.ring.receipt_public().public_bytes_raw()
    )
    log = read_key(office.ring.verifier_key(origin), LOG)
    trusted = trust_text(public_log.known_witnesses(office), log, receipts, None)
    (folder / "trust.txt").write_text(trusted, encoding="utf-8")
    return kit


def verify(kit: Path, receipts: list[Path], drops: int) -> list[str]:
    """Run the kit's own program in a process of its own; gives what is not as it must be, in sentences."""
    with ZipFile(kit) as archive:
        archive.extract("pruefen.py", kit.parent)
    words = [word for path in receipts for word in ("--receipt", str(path))]
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-S", str(kit.parent / "pruefen.py"), "--json"),
            *("--trust", str(kit.parent / "trust.txt"), *words, str(kit)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    if done.returncode not in {0, 1}:
        return [f"the kit's verifier ended with {done.returncode}"]
    told: dict[str, Any] = json.loads(done.stdout)
    wrong = [f"kit: {one['code']} at {one['place']}: {one['en']}" for one in told["findings"]]
    if not all(one["in"] for one in told["receipts"]):
        wrong.append("the kit does not hold every receipt")
    submissions = sum(counts["submissions"] for counts in told["counts"].values())
    if submissions < drops:
        wrong.append(f"expected at least {drops} submissions in the kit, found {submissions}")
    return wrong
