"""``hub consent``: consents brought in, looked up and withdrawn."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.answers import Json, say, table, told
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)
Collector = Annotated[str, typer.Option(help="The agency that collected the consents.")]
Number = Annotated[
    str, typer.Option(help="The agency's own number of the person; '-' reads it from standard input.")
]


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The file of consents (CSV).", exists=True, dir_okay=False)],
    collector: Collector,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Take in consents; a reference that is known changes only by being withdrawn."""
    from connectors.consents import read_consents  # noqa: PLC0415
    from hub import consent_register  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        done = consent_register.bring_in(office, collector, read_consents(file))
        say(
            {"collector": collector, **asdict(done)},
            as_json=as_json,
            text=lambda: f"{done.rows} consents read: {done.new} new, {done.withdrawn} withdrawn",
        )


@app.command()
def show(collector: Collector, number: Number, as_json: Json = False) -> None:  # noqa: FBT002
    """Show the consents of one person, as the agency's register has them."""
    from hub import consent_register  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        held = consent_register.of_person(office, collector, _read(number))
        say(
            {"consents": [asdict(one) for one in held]},
            as_json=as_json,
            text=lambda: table(
                ("template", "recipient", "given", "valid until", "withdrawn", "fields"),
                [
                    (c.template, c.recipient, c.given_at, c.valid_until, c.withdrawn_at, " ".join(c.fields))
                    for c in held
                ],
            ),
        )


@app.command()
def withdraw(collector: Collector, number: Number, as_json: Json = False) -> None:  # noqa: FBT002
    """Withdraw all consents of one person, effective for everything that was not sent yet."""
    from hub import consent_register  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        count = consent_register.end(office, collector, _read(number))
        say(
            {"collector": collector, "withdrawn": count},
            as_json=as_json,
            text=lambda: f"{count} consents withdrawn; nothing that rests on them leaves from now on",
        )


def _read(number: str) -> str:
    return typer.get_text_stream("stdin").readline().strip() if number == "-" else number
