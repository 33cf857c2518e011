"""``hub review``: what is held back, and the word of two people on it, each signed with a key."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from hub.cli.answers import Json, say, table, told
from hub.roles import GROUNDS, Verdict
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)
Identity = Annotated[str, typer.Argument(help="The submission's id, see: hub review list.")]
Approver = Annotated[str, typer.Option("--as", help="Your user name, see: hub staff list.")]
Key = Annotated[
    Path | None, typer.Option(help="Your private key (Ed25519, OpenSSH form, no passphrase).", exists=True)
]
Signature = Annotated[
    Path | None, typer.Option(help="What ssh-keygen -Y sign made of the file of --to-sign.", exists=True)
]
ToSign = Annotated[Path | None, typer.Option(help="Only write here what you have to sign.", dir_okay=False)]
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
    key: Key = None,
    signature: Signature = None,
    to_sign: ToSign = None,
    grounds: Annotated[str | None, typer.Option(help=f"One of {', '.join(GROUNDS['approve'])}.")] = None,
    seen: Seen = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Approve what is held back; the second approval, by another person, releases it."""
    proof = _Proof(key, signature, to_sign)
    _decide(submission, "approve", approver, proof, grounds, seen, as_json=as_json)


@app.command()
def reject(
    submission: Identity,
    approver: Approver,
    key: Key = None,
    signature: Signature = None,
    to_sign: ToSign = None,
    grounds: Annotated[str | None, typer.Option(help=f"One of {', '.join(GROUNDS['reject'])}.")] = None,
    seen: Seen = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Reject what is held back: the file is refused, and its sender reads why."""
    proof = _Proof(key, signature, to_sign)
    _decide(submission, "reject", approver, proof, grounds, seen, as_json=as_json)


class _Proof(NamedTuple):
    """How an approver proves to be the one: by a key, or by a signature that ssh-keygen made."""

    key: Path | None
    signature: Path | None
    to_sign: Path | None


def _decide(
    submission: str,
    verdict: Verdict,
    approver: str,
    proof: _Proof,
    grounds: str | None,
    seen: str | None,
    *,
    as_json: bool,
) -> None:
    from hub import review, sshsig  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    if sum(given is not None for given in proof) != 1:
        message = "give one of --key, --signature and --to-sign"
        raise typer.BadParameter(message)
    with told(as_json=as_json), open_office(Settings()) as office:
        said = review.to_sign(office, submission, verdict, approver, grounds)
        if proof.to_sign is not None:
            proof.to_sign.write_bytes(said)
            line = f"ssh-keygen -Y sign -n {review.NAMESPACE} -f YOUR_KEY {proof.to_sign}"
            say({"file": proof.to_sign, "command": line}, as_json=as_json, text=lambda: f"now: {line}")
            return
        if proof.key is not None:
            evidence = sshsig.sign(sshsig.read_key(proof.key), review.NAMESPACE, said)
        else:
            text = proof.signature.read_text("ascii", "replace") if proof.signature else ""
            evidence = sshsig.unarmored(text)
        decided = review.decide(
            office, submission, verdict, approver, "key", evidence, grounds=grounds, seen=seen
        )
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
