"""``hub restore``: coming back from a backup, and the word of two people before the hub opens again."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.answers import Json, progress, say, told
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)
Approver = Annotated[str, typer.Option("--as", help="Your user name, see: hub staff list.")]


@app.command("from")
def from_(
    folder: Annotated[Path, typer.Argument(help="What hub backup made.", exists=True, file_okay=False)],
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Put a backup back; the database that was there is kept under another name."""
    from hub.backup import restore  # noqa: PLC0415

    with told(as_json=as_json), progress("putting the backup back") as tell:
        done = restore(Settings(), folder, tell)
        lines = [
            f"The backup of {done.made_at} is back, with a log of {done.log_size} entries.",
            *([f"The database that was there is kept as {done.kept_as}."] if done.kept_as else []),
            "The hub is open." if done.open else "The hub is closed; now: hub restore show",
        ]
        say(asdict(done), as_json=as_json, text=lambda: "\n".join(lines))


@app.command()
def show(as_json: Json = False) -> None:  # noqa: FBT002
    """Show what a database that was put back lacks, and who has approved to go on."""
    from hub.restoring import approval  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        answer = approval.shown(office)
        say(answer, as_json=as_json, text=lambda: _text(answer))


@app.command()
def approve(
    approver: Approver,
    key: Annotated[
        Path | None,
        typer.Option(help="Your private key (Ed25519, OpenSSH form, no passphrase).", exists=True),
    ] = None,
    signature: Annotated[
        Path | None, typer.Option(help="What ssh-keygen -Y sign made of the file of --to-sign.", exists=True)
    ] = None,
    to_sign: Annotated[
        Path | None, typer.Option(help="Only write here what you have to sign.", dir_okay=False)
    ] = None,
    seen: Annotated[
        str | None, typer.Option("--matter", help="The digest that you were shown; another is refused.")
    ] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Approve that the hub goes on; the second approval, by another person, puts all back and opens it."""
    from hub import dual_control, sshsig  # noqa: PLC0415
    from hub.restoring import approval  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    if sum(given is not None for given in (key, signature, to_sign)) != 1:
        message = "give one of --key, --signature and --to-sign"
        raise typer.BadParameter(message)
    with told(as_json=as_json), open_office(Settings()) as office, progress("approving"):
        if to_sign is not None:
            to_sign.write_bytes(approval.to_sign(office, approver))
            line = f"ssh-keygen -Y sign -n {dual_control.NAMESPACE} -f YOUR_KEY {to_sign}"
            say({"file": to_sign, "command": line}, as_json=as_json, text=lambda: f"now: {line}")
            return
        if key is not None:
            said = approval.to_sign(office, approver)
            evidence = sshsig.sign(sshsig.read_key(key), dual_control.NAMESPACE, said)
        else:
            evidence = sshsig.unarmored(signature.read_text("ascii", "replace") if signature else "")
        done = approval.approve(office, approver, "key", evidence, seen=seen)
        counts = ", ".join(f"{name} {count}" for name, count in done.done.items())
        opened = f"The hub is open again: {counts}."
        text = opened if done.open else "Approved; a second person has to approve it as well."
        say(asdict(done), as_json=as_json, text=lambda: text)


def _text(answer: dict[str, Any]) -> str:
    sizes = answer["entries"]
    if answer["open"]:
        return f"The hub is open: its log of {sizes['here']} entries is the one that is known."
    repeat = ", ".join(f"{name} {count}" for name, count in answer["repeat"].items() if count)
    kinds = ", ".join(f"{kind} {count}" for kind, count in sizes["kinds"].items())
    lines = [
        f"[bold]closed[/] ({answer['code']}): the log holds {sizes['here']} entries and had {sizes['known']}",
        f"missing entries: {kinds or 'unknown, the journal is lost'}",
        f"withdrawals to be made again: {answer['withdrawals']}",
        *(f"sent since then: {name}" for name in answer["sent"]),
        *(f"sent or not, ask the recipient: {name}" for name in answer["sent_or_not"]),
        *(f"lost, its sender is told: {name}" for name in answer["hand_in_again"]),
        *([f"to be repeated by hand: {repeat}"] if repeat else []),
        f"matter {answer['matter']}",
        f"approved by: {', '.join(answer['approved_by']) or 'nobody yet'}",
    ]
    return "\n".join(lines)
