"""``hub log witness``: watch a transfer log from elsewhere; needs the public files and nothing of a hub."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.answers import STDERR, Json, say, told

if TYPE_CHECKING:
    from hub.ledger.notes import VerifierKey

EVERY = 300


def witness(  # noqa: PLR0913 -- the options of a verb
    *,
    log: Annotated[str, typer.Option(help="Where the public log lies: a web address or a folder.")],
    state: Annotated[Path, typer.Option(help="The witness's own folder: key, memory, evidence.")],
    log_key: Annotated[
        str | None, typer.Option(help="The log's verifier key (HUB_HOME/public/log.vkey).")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Or a policy that names it.", exists=True, dir_okay=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="The new witness's name, such as agency.de/w1.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the cosigned checkpoint here as well.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once; --json looks once as well.")] = False,
    every: Annotated[int, typer.Option(min=1, help="Seconds between two looks.")] = EVERY,
    patience: Annotated[
        int | None, typer.Option(min=0, help="Seconds for which an older checkpoint may be shown (3600).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch a log as a witness: check that it only grows, cosign that, and name what contradicts it."""
    from connectors.log_source import open_source  # noqa: PLC0415
    from hub import disk  # noqa: PLC0415
    from hub import witness as watching  # noqa: PLC0415
    from hub.errors import Transient  # noqa: PLC0415
    from hub.witness_state import open_state  # noqa: PLC0415

    if log_key and policy:
        message = "give one of --log-key and --policy"
        raise typer.BadParameter(message)
    with told(as_json=as_json):
        fetch, key = open_source(log), _log_key(log_key, policy)
        with open_state(state.absolute(), name=name, log=key) as held:
            for _ in _rounds(every, once=once or as_json):
                try:
                    seen = watching.look(
                        held,
                        fetch,
                        seconds=int(time.time()),
                        patience=watching.PATIENCE if patience is None else patience,
                    )
                except Transient as passing:
                    if once or as_json:
                        raise
                    STDERR.print(f"{passing.code}: {passing.message}", markup=False)
                    continue
                if out:
                    disk.replace(out.absolute(), seen.note.encode())
                answer = {
                    "outcome": seen.outcome,
                    "size": seen.size,
                    "root": seen.root.hex(),
                    "note": seen.note,
                    "witness": held.key.text,
                    "log": held.log.text,
                }
                words = f"{seen.outcome}: {seen.size} entries, root {seen.root.hex()}"
                say(
                    answer,
                    as_json=as_json,
                    text=lambda words=words, seen=seen: "\n".join(  # type: ignore[misc]
                        [f"witness {held.key.text}", words, "", seen.note.rstrip("\n")]
                    ),
                )


def _rounds(every: int, *, once: bool) -> Iterator[None]:
    """Begin a round at once and, unless only one is wanted, another one after each pause."""
    yield
    while not once:
        time.sleep(every)
        yield


def _log_key(text: str | None, policy: Path | None) -> "VerifierKey | None":
    from hub.errors import Refused  # noqa: PLC0415
    from hub.ledger.evidence import Unsound  # noqa: PLC0415
    from hub.ledger.notes import LOG, read_key  # noqa: PLC0415
    from hub.ledger.policy import load_policy  # noqa: PLC0415

    if text is not None:
        try:
            return read_key(text.strip(), LOG)
        except Unsound:
            message = "expected a verifier key of a log: name+id+base64"
            remedy = "copy the line from the hub's public/log.vkey as it is"
            raise Refused("witness.log_key", message, remedy) from None
    if policy is None:
        return None
    logs = load_policy(policy).logs
    if len(logs) != 1:
        message = f"expected a policy that names one log, found {len(logs)}"
        raise Refused("witness.log_key", message, "give --log-key, or a policy with one log line")
    return logs[0]
