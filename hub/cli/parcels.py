"""``hub parcel``: what recipients are given, as they get it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.answers import Json, say, table, told
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(
    recipient: Annotated[str | None, typer.Option(help="Only this recipient's.")] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """List the parcels that were sent, newest first."""
    from hub import collection  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        parcels = collection.offered(office, recipient)
        say(
            {"parcels": [asdict(parcel) for parcel in parcels]},
            as_json=as_json,
            text=lambda: table(
                ("parcel", "recipient", "rows", "sent", "collected"),
                [(p.id, p.recipient, p.rows, p.sent_at, p.collected_at) for p in parcels],
            ),
        )


@app.command()
def fetch(
    parcel: Annotated[str, typer.Argument(help="The parcel's id, see: hub parcel list.")],
    key: Annotated[Path, typer.Option(help="The recipient's private key (OpenSSH form).", exists=True)],
    out: Annotated[Path, typer.Option(help="Into which folder.", file_okay=False)] = Path(),
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Fetch a parcel as its recipient, who proves to be it by its private key."""
    from connectors.sshkeys import public_key_of  # noqa: PLC0415
    from hub import collection, registry  # noqa: PLC0415
    from hub.runtime import open_office, outbox  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        with office.database.transaction() as session:
            recipient = registry.partner_of_key(session, public_key_of(key))
        one = collection.find(office, parcel, recipient)
        target = out / one.name
        collection.collect(office, outbox(office.settings).place(recipient, one.name), one, target)
        say(
            {**asdict(one), "file": target},
            as_json=as_json,
            text=lambda: f"{target}: {one.rows} rows, sha256 {one.sha256}",
        )
