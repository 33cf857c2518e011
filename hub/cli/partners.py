"""``hub partner``: partner agencies and the keys by which they prove who they are."""

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.answers import Json, say, table, told
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)


@app.command()
def add(
    partner: Annotated[
        str, typer.Argument(help="The partner's id as agreements name it, such as jobcenter-peine.")
    ],
    public_key: Annotated[Path, typer.Option(help="Its public key file (OpenSSH form, .pub).", exists=True)],
    name: Annotated[str | None, typer.Option(help="Its name, if it is not known yet.")] = None,
    key_name: Annotated[str, typer.Option(help="What the key is called.")] = "first key",
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Register a partner's public key, and the partner if it is new."""
    from hub import partners  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        with office.database.transaction() as session:
            text = public_key.read_text(encoding="utf-8", errors="replace")
            mark = partners.add_key(session, office, partner, name, text, key_name)
        say(
            {"partner": partner, "fingerprint": mark},
            as_json=as_json,
            text=lambda: f"{partner} is known by {mark}",
        )


@app.command("list")
def list_(as_json: Json = False) -> None:  # noqa: FBT002
    """List partners and the fingerprints of their keys."""
    from hub import registry  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        with office.database.transaction() as session:
            lines = registry.partners(session)
        say(
            {"partners": [{"partner": p, "name": n, "status": s, "keys": k} for p, n, s, k in lines]},
            as_json=as_json,
            text=lambda: table(
                ("partner", "name", "status", "keys"), [(p, n, s, ", ".join(k)) for p, n, s, k in lines]
            ),
        )
