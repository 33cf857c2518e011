"""``hub log checkpoint`` and ``hub log cosign``: the log's signed word, and what witnesses put below it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.answers import BERLIN, Json, say, told
from hub.settings import Settings

LARGEST = 100_000


def checkpoint(
    *,
    trust: Annotated[
        bool, typer.Option("--trust", help="Print a trust file: keys, witnesses, this checkpoint.")
    ] = False,
    paper: Annotated[bool, typer.Option("--paper", help="Print it to be kept on paper.")] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="First lay it open with its tiles, and mend what is damaged.")
    ] = False,
    cosigned: Annotated[
        bool, typer.Option("--cosigned", help="Take the newest that a witness has cosigned.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the log's newest checkpoint with its cosignatures; --trust and --paper for an auditor to keep."""
    from hub import public_log  # noqa: PLC0415
    from hub.errors import Corrupt, Refused  # noqa: PLC0415
    from hub.ledger import cosignature  # noqa: PLC0415
    from hub.ledger import trust as trusted  # noqa: PLC0415
    from hub.ledger.evidence import Unsound  # noqa: PLC0415
    from hub.ledger.notes import LOG, VerifierKey, read_key  # noqa: PLC0415
    from hub.ledger.policy import weigh  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    if trust and paper:
        message = "give one of --trust and --paper"
        raise typer.BadParameter(message)
    with told(as_json=as_json), open_office(Settings()) as office:
        if publish:
            public_log.publish(office, anew=True)
        with office.database.audit() as session:
            size = cosignature.newest_cosigned(session) if cosigned else None
            if cosigned and size is None:
                remedy = "hand one in: hub log cosign FILE; see docs/witnessing.md"
                raise Refused("cosignature.none", "no checkpoint has been cosigned yet", remedy)
            note = cosignature.cosigned(session, size)
        policy = public_log.known_witnesses(office)
        log = read_key(office.ring.verifier_key(office.settings.origin), LOG)
        issuer = f"{office.settings.origin.partition('/')[0]}/receipts"
        receipts = VerifierKey(issuer, LOG, office.ring.receipt_public().public_bytes_raw())
        try:
            weighed = weigh(replace(policy, logs=(log,)), note)
        except Unsound:
            message = "the stored checkpoint, or a cosignature on it, does not verify"
            remedy = "stop sending, run `hub log verify`, and keep the database as it is for the auditor"
            raise Corrupt("checkpoint.signature", message, remedy) from None
        at = datetime.now(UTC).astimezone(BERLIN)
        times = {
            name: datetime.fromtimestamp(seconds, UTC).astimezone(BERLIN)
            for name, seconds in weighed.cosigned.items()
        }
        texts = {
            "trust": lambda: trusted.trust_text(policy, log, receipts, weighed.promise),
            "paper": lambda: trusted.paper_text(log, weighed.promise, times, at),
            "note": lambda: note,
        }
        chosen = "trust" if trust else "paper" if paper else "note"
        answer = {
            "origin": log.name,
            "size": weighed.promise.size,
            "root": weighed.promise.root.hex(),
            "note": note,
            "log_key": log.text,
            "receipt_key": receipts.text,
            "cosigned": weighed.cosigned,
            "quorum": weighed.reached,
        }
        answer |= {chosen: texts[chosen]()}
        say(answer, as_json=as_json, text=lambda: texts[chosen]().rstrip("\n"))


def cosign(
    file: Annotated[Path, typer.Argument(help="What a witness gave back.", exists=True, dir_okay=False)],
    *,
    as_json: Json = False,
) -> None:
    """Take in a witness's cosignature: it is proved, stored, and laid open below the checkpoint."""
    from hub import public_log  # noqa: PLC0415
    from hub.errors import Refused  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        with file.open("rb") as source:
            content = source.read(LARGEST + 1)
        try:
            note = content.decode()
        except UnicodeDecodeError:
            message = "expected a signed checkpoint as text, found other content"
            remedy = "hand in the file that `hub log witness --out` wrote"
            raise Refused("cosignature.malformed", message, remedy) from None
        taken = public_log.take_cosignature(office, note)
        said = f"Size {taken.size}: cosigned by {', '.join(taken.witnesses)}"
        say(
            {"size": taken.size, "witnesses": list(taken.witnesses), "new": taken.new},
            as_json=as_json,
            text=lambda: f"{said}{'' if taken.new else ' (known before)'}.",
        )
