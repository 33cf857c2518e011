"""``hub backup``: one folder to come back from."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.answers import Json, progress, say, told
from hub.settings import Settings


def backup(
    target: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    keys: Annotated[  # noqa: FBT002
        bool, typer.Option("--keys", help="With the keys: then guard it as you guard them.")
    ] = False,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Back up database and sealed files into a new folder; keys are left out. The hub may be running."""
    from hub.backup import back_up  # noqa: PLC0415

    with told(as_json=as_json), progress("backing up") as tell:
        done = back_up(Settings(), target, tell, keys=keys)
        line = f"{done.files} files, {done.bytes} bytes, a log of {done.log_size} entries: {done.folder}"
        say(asdict(done), as_json=as_json, text=lambda: line)
