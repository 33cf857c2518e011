"""``hub demo``: the whole hub alive, with reference partners and real drops."""

import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hub.cli.answers import DONE, FAILED, STDERR, Json, say, told
from hub.settings import Settings

if TYPE_CHECKING:
    from hub.demo import Outcome
    from hub.service import Running

FATES = ("received", "delivered", "already_delivered", "refused", "withheld", "quarantined")
HEADINGS = ("received", "delivered", "already", "refused", "withheld", "quarantined")


def demo(
    leave: Annotated[  # noqa: FBT002 -- a flag of the command line
        bool,
        typer.Option("--exit", help="Stop afterwards; exit status 0 only if every number was as expected."),
    ] = False,
    desk: Annotated[
        Path | None, typer.Option(help="Where the partners' files lie; a new temporary folder unless given.")
    ] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Start the hub, let reference partners drop files by sftp, and give an account of what came of them."""
    from hub.demo import play  # noqa: PLC0415
    from hub.runtime import initialise, open_office  # noqa: PLC0415
    from hub.service import running  # noqa: PLC0415

    settings = Settings()
    with told(as_json=as_json):
        STDERR.print("preparing the hub")
        initialise(settings)
        with running(settings, STDERR.print) as alive:
            place = desk or Path(tempfile.mkdtemp(prefix="hub-demo-"))
            with open_office(settings) as office:
                outcome = play(office, place, STDERR.print)
            say(_answer(outcome), as_json=as_json, text=lambda: _table(outcome))
            for deviation in outcome.deviations:
                STDERR.print(f"not as expected: {deviation}", markup=False)
            _tell(outcome, alive)
            if not leave:
                STDERR.print("The hub goes on. Ctrl-C ends it.")
                with suppress(KeyboardInterrupt):
                    threading.Event().wait()
        raise typer.Exit(FAILED if outcome.deviations else DONE)


def _answer(outcome: "Outcome") -> dict[str, Any]:
    return {
        "ok": not outcome.deviations,
        "exchanges": [
            {
                "agreement": line.drop.agreement,
                "file": line.drop.file.name,
                "expected": dict(line.drop.rows),
                "submission": line.answer.get("submission"),
                "state": line.answer.get("state"),
                "rows": line.answer.get("rows"),
                "reasons": line.answer.get("reasons"),
                "log_index": line.answer.get("log_index"),
            }
            for line in outcome.lines
        ],
        "deviations": outcome.deviations,
        "log_size": outcome.log_size,
        "drop_to_receipt_seconds": round(outcome.drop_to_receipt, 1),
        "desk": str(outcome.desk),
    }


def _table(outcome: "Outcome") -> Table:
    drawn = Table("exchange", "file", *HEADINGS, "log", box=None, pad_edge=False, header_style="bold")
    drawn.add_column("reasons", max_width=60, overflow="fold")
    for line in outcome.lines:
        rows, reasons = line.answer.get("rows", {}), line.answer.get("reasons", {})
        drawn.add_row(
            line.drop.agreement,
            line.drop.file.name,
            *(str(rows.get(fate) or 0) for fate in FATES),
            ", ".join(f"{code} {count}" for code, count in reasons.items())
            or line.answer.get("reason")
            or "",
            str(line.answer.get("log_index", "")),
        )
    return drawn


def _tell(outcome: "Outcome", alive: "Running") -> None:
    verdict = "all as expected" if not outcome.deviations else f"{len(outcome.deviations)} not as expected"
    STDERR.print(
        f"log: {outcome.log_size} entries verified; from drop to receipt {outcome.drop_to_receipt:.1f} s"
    )
    STDERR.print(f"partners' files, receipts and parcels: {outcome.desk}")
    for name, address in alive.addresses.items():
        STDERR.print(f"{name}: {address}")
    for name, password in alive.logins.items():
        STDERR.print(f"login {name} / {password}")
    STDERR.print(f"[bold]{verdict}[/]")
