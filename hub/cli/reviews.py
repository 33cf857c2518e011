"""``hub review``: what is held back, and the word of two people on it, each signed with a key."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.answers import Json, say, table, told
from hub.roles import GROUNDS, Verdict
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)
Identity = Annotated[str, typer.Argument(help="The submission's id, see: hub review list.")]
Approver = Annotated[str, typer.Option("--as", help="Your user name, see: hub staff list.")]
Key = Annotated[Path, typer.Option(help="Your private key (Ed25519, OpenSSH form).", exists=True)]
Seen = Annotated[
    str | None, typer.Option("--matter", help="The matter's digest as you were shown it; another is refused.")
]


@app.command("list")
def list_(as_json: Json = False) -> None:  # noqa: FBT002
    """List what waits for people, what is nearest to its deadline first."""
    from hub import review  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        lines = review.waiting(office)
        say(
            {"waiting": lines},
            as_json=as_json,
            text=lambda: table(
                ("submission", "agreement", "state", "reason", "rows", "until", "approved by"),
                [
                    (
                        *(line[name] for name in ("submission", "agreement", "state", "reason")),
                        line["rows"]["received"],
                        line["deadline"],
                        ", ".join(_approvers(line)),
                    )
                    for line in lines
                ],
            ),
        )


@app.command()
def show(submission: Identity, as_json: Json = False) -> None:  # noqa: FBT002
    """Show what is to be decided, why it is held back, and every decision with what proves it."""
    from hub import review  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        answer = review.shown(office, submission)
        say(answer, as_json=as_json, text=lambda: _text(answer))


@app.command()
def approve(
    submission: Identity,
    approver: Approver,
    key: Key,
    grounds: Annotated[str | None, typer.Option(help=f"One of {', '.join(GROUNDS['approve'])}.")] = None,
    seen: Seen = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Approve what is held back; the second approval, by another person, releases it."""
    _decide(submission, "approve", approver, key, grounds, seen, as_json=as_json)


@app.command()
def reject(
    submission: Identity,
    approver: Approver,
    key: Key,
    grounds: Annotated[str | None, typer.Option(help=f"One of {', '.join(GROUNDS['reject'])}.")] = None,
    seen: Seen = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Reject what is held back: the file is refused, and its sender reads why."""
    _decide(submission, "reject", approver, key, grounds, seen, as_json=as_json)


def _decide(
    submission: str,
    verdict: Verdict,
    approver: str,
    key: Path,
    grounds: str | None,
    seen: str | None,
    *,
    as_json: bool,
) -> None:
    from hub import review  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        private = review.read_key(key, lambda: str(typer.prompt("passphrase", hide_input=True, err=True)))
        decided = review.sign_and_decide(office, submission, verdict, approver, private, grounds, seen)
        say(asdict(decided), as_json=as_json, text=lambda: f"{submission}: {_EFFECTS[decided.effect]}")


_EFFECTS = {
    "awaiting_second": "approved; a second person has to approve it as well",
    "released": "released by two people; the hub takes it on (without Airflow: hub submission retry)",
    "refused": "rejected; the sender is told",
}


def _approvers(line: dict[str, Any]) -> list[str]:
    return [word["approver"] for word in line["decisions"] if word["round"] == line["round"]]


def _text(answer: dict[str, Any]) -> str:
    rows = answer["rows"]
    lines = [
        f"[bold]{answer['submission']}[/] {answer['agreement']} {answer['state']} {answer['reason'] or ''}",
        f"{answer['sender']} -> {answer['recipient']}, {rows['received']} rows",
        *(f"  found on rows: {code} {count}" for code, count in answer["found"].items()),
        *(f"  found on the whole: {code}" for code in answer["warnings"]),
        "the agreement is in force" if answer["in_force"] else "the agreement is no longer in force",
        *(
            [f"to be decided until {answer['deadline']}, round {answer['round']}"]
            if answer["deadline"]
            else []
        ),
        *([f"matter {answer['matter']}"] if answer["matter"] else []),
        *(
            f"round {word['round']}: {word['verdict']} by {word['approver']} ({word['role']}),"
            f" {word['grounds']}, {word['fingerprint']}, {word['at']}, log index {word['log_index']},"
            f" {'holds' if word['valid'] else 'does not hold'}"
            for word in answer["decisions"]
        ),
    ]
    return "\n".join(lines)
