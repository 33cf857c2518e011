"""``hub staff``: who works with the hub, in which role, and by which key they prove who they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.answers import Json, say, table, told
from hub.roles import Role
from hub.settings import Settings

if TYPE_CHECKING:
    from hub.staff import Member

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The user name, as in the login to the pages, such as steward.")]


@app.command()
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="The one role of this person.")],
    public_key: Annotated[
        Path | None,
        typer.Option(help="The public key to decide with (Ed25519, .pub).", exists=True),
    ] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Register a member of staff in one role, with the key by which decisions are signed."""
    from hub import staff  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        key = public_key.read_text(encoding="utf-8", errors="replace") if public_key else None
        member = staff.ensure(office, name, role, key)
        _say(member, as_json=as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:  # noqa: FBT002
    """List the staff: role, name in the transfer log, key, and who is suspended."""
    from hub import staff  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        with office.database.transaction() as session:
            members = staff.listed(session)
        say(
            {"staff": [_answer(member) for member in members]},
            as_json=as_json,
            text=lambda: table(
                ("name", "role", "in the log", "key", "active", "since"),
                [
                    (m.name, m.role, m.alias, m.fingerprint, "yes" if m.active else "no", m.since)
                    for m in members
                ],
            ),
        )


@app.command()
def suspend(name: Name, as_json: Json = False) -> None:  # noqa: FBT002
    """End a person's rights for good, for one who leaves or whose key is lost."""
    from hub import staff  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        with office.database.transaction() as session:
            member = staff.suspend(session, office, name)
        _say(member, as_json=as_json)


def _say(member: "Member", *, as_json: bool) -> None:
    known = f"by {member.fingerprint}" if member.fingerprint else "without a key"
    state = "" if member.active else ", suspended"
    say(
        _answer(member),
        as_json=as_json,
        text=lambda: f"{member.name} is {member.role} {known}{state}; the log says {member.alias}",
    )


def _answer(member: "Member") -> dict[str, Any]:
    return {
        "name": member.name,
        "role": member.role.value,
        "alias": member.alias,
        "fingerprint": member.fingerprint,
        "active": member.active,
        "since": member.since.isoformat(timespec="seconds"),
    }
