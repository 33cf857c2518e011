"""``hub agreement``: agreements checked, listed, shown, and sample files made for them."""

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.answers import Json, say, table, told
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(help="Agreement files, or folders of them.", exists=True)],
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Check agreement files: every problem with file, line and remedy."""
    from hub.registry import read_agreements  # noqa: PLC0415

    with told(as_json=as_json):
        sound = read_agreements(paths)
        say(
            {"sound": [{"id": a.id, "version": a.version, "digest": a.digest} for a in sound]},
            as_json=as_json,
            text=lambda: "\n".join(f"{a.id} {a.version} is sound ({a.title.en})" for a in sound),
        )


@app.command("list")
def list_(as_json: Json = False) -> None:  # noqa: FBT002
    """List the filed agreements, every version."""
    from hub import registry  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        with office.database.transaction() as session:
            filed = registry.listed(session)
        say(
            {
                "agreements": [
                    {
                        "id": one.agreement.id,
                        "version": one.agreement.version,
                        "status": one.status,
                        "sender": one.agreement.sender.id,
                        "recipient": one.agreement.recipient.id,
                        "digest": one.agreement.digest,
                    }
                    for one in filed
                ]
            },
            as_json=as_json,
            text=lambda: table(
                ("agreement", "version", "status", "from", "to", "what"),
                [
                    (
                        one.agreement.id,
                        one.agreement.version,
                        one.status,
                        one.agreement.sender.id,
                        one.agreement.recipient.id,
                        one.agreement.title.en,
                    )
                    for one in filed
                ],
            ),
        )


@app.command()
def show(
    agreement: Annotated[str, typer.Argument(help="The agreement's id, such as E3.")],
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show the active version of an agreement: law, purpose, fields and what happens to each."""
    from hub import logbook, registry  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        with office.database.transaction() as session:
            one = registry.active(session, agreement)
        say(
            {**one.model_dump(mode="json"), "digest": one.digest},
            as_json=as_json,
            text=lambda: table(
                (f"{one.id} {one.version}", f"{one.sender.name} -> {one.recipient.name}", one.title.en, ""),
                [
                    ("legal basis", logbook.basis_text(one), "", ""),
                    ("purpose", one.purpose_text.en, "", ""),
                    *((f.header, f.title.en, f.treatment, f.released_as) for f in one.fields),
                ],
            ),
        )


@app.command()
def sample(
    agreement: Annotated[str, typer.Argument(help="The agreement's id, such as E3.")],
    out: Annotated[Path, typer.Option(help="Into which folder.", file_okay=False)] = Path(),
    rows: Annotated[int, typer.Option(min=1, help="How many rows.")] = 300,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 1,
    errors: Annotated[bool, typer.Option(help="With every typical error.")] = False,  # noqa: FBT002
    form: Annotated[
        str | None, typer.Option("--format", help="csv or xlsx; default: the agreement's first.")
    ] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Make a synthetic file for an agreement (and the consents to it), with the expected outcome."""
    from hub import rehearsal  # noqa: PLC0415

    with told(as_json=as_json):
        made = rehearsal.write(Settings(), agreement, out, rows=rows, seed=seed, errors=errors, form=form)
        say(made, as_json=as_json, text=lambda: "\n".join(f"{name}: {value}" for name, value in made.items()))
