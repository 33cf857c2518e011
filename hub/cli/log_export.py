"""``hub log export``: the auditor's kit, one archive that is verified elsewhere."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.answers import BERLIN, Json, progress, say, told
from hub.cli.log_search import As, reading_as
from hub.settings import Settings

DAY = ["%Y-%m-%d"]


def export(
    since: Annotated[
        datetime | None, typer.Option("--from", formats=DAY, help="First day; otherwise the log's beginning.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=DAY, help="Last day; otherwise the log's end.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The archive to write; it must not exist.")] = None,
    reader: As = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Write the auditor's kit: entries, hash tiles, checkpoints and two verifiers, in one archive."""
    from hub.kit.export import Period, export  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    first, last = (day.date() if day else None for day in (since, until))
    if first and last and last < first:
        message = "--to is before --from"
        raise typer.BadParameter(message)
    target = (out or Path(_name(first, last))).absolute()
    with told(as_json=as_json), open_office(Settings()) as office, progress("writing the kit") as tell:
        kit = export(office, reading_as(office, reader), target, Period(first, last), tell)
        say(
            {
                "file": str(kit.file),
                "origin": kit.origin,
                "size": kit.size,
                "first": kit.first,
                "last": kit.last,
                "erased": kit.erased,
                "bytes": kit.file.stat().st_size,
            },
            as_json=as_json,
            text=lambda: (
                f"{kit.file}\nEntries {kit.first} to {kit.last} of {kit.size}, {kit.erased} of them erased.\n"
                "Verify it elsewhere, with a trust file of your own: docs/auditing.md."
            ),
        )


def _name(first: date | None, last: date | None) -> str:
    """Name the archive after its period, or after the day on which it is made."""
    days = [day.isoformat() for day in (first, last) if day] or [datetime.now(BERLIN).date().isoformat()]
    return f"pruefpaket-{'-bis-'.join(days)}.zip"
