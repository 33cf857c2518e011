"""``hub log prove``: proofs to carry away, and the check of one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.text import Text

from hub.cli.answers import Json, fail, progress, say, told
from hub.cli.log_search import As, reading_as
from hub.errors import Refused
from hub.settings import Settings

if TYPE_CHECKING:
    from hub.ledger.notes import VerifierKey

FLAWS = {
    "malformed": "this is no proof file as docs/log-search-and-proofs.md describes it",
    "signature": "no log that is trusted signed this checkpoint",
    "path": "the proof does not lead from this entry to the root of its checkpoint",
    "kind": "this entry commits to no rows",
    "row": "this row is not one of the transfer that the entry tells of",
    "quorum": "fewer witnesses than the trust file asks for have cosigned this checkpoint",
}
TARGET = "A submission, a parcel's id or name, or an entry's index in the log."


def prove(
    target: Annotated[str | None, typer.Argument(help=TARGET)] = None,
    row: Annotated[int | None, typer.Option(help="Prove this row, counted from 1 below the header.")] = None,
    parcel: Annotated[
        Path | None,
        typer.Option(help="The parcel as its recipient fetched it.", exists=True, dir_okay=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write into this folder; a row's proof always is.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Check this proof file instead.", exists=True, dir_okay=False)
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="Whom you trust, to check by.", exists=True, dir_okay=False)
    ] = None,
    reader: As = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Prove that a transfer or another event is in the log, or a row in a transfer; or check such a proof."""
    with told(as_json=as_json):
        if (target is None) == (check is None):
            raise Refused("prove.target", "expected either what to prove or --check FILE", "give one of them")
        if check is not None:
            _check(check, trust, as_json=as_json)
        elif row is None:
            _prove_entry(str(target), out, reader, as_json=as_json)
        else:
            _prove_row(str(target), row, parcel, out or Path(), reader, as_json=as_json)


def _prove_entry(target: str, out: Path | None, name: str | None, *, as_json: bool) -> None:
    from hub import row_proofs  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with open_office(Settings()) as office:
        index = int(target) if target.isdecimal() else row_proofs.transfer(office, target).intent
        shown, proof = row_proofs.of_entry(office, reading_as(office, name), index)
        stem, files = f"entry-{index}", []
        if out is not None:
            files = [
                _write(out, f"{stem}.json", proof["entry"]),
                _write(out, f"{stem}.tlog-proof", proof["proof"]),
                _write(out, f"{stem}.proof.json", json.dumps(proof, ensure_ascii=False)),
            ]
        say(
            {"index": index, **proof, "key": shown.key, "files": [str(file) for file in files]},
            as_json=as_json,
            text=lambda: Text(
                "\n".join(map(str, files))
                or f"Entry {index}, its exact text and its proof:\n\n"
                f"{proof['entry']}\n\n{proof['proof'].rstrip()}"
            ),
        )


def _prove_row(
    target: str, number: int, parcel: Path | None, out: Path, name: str | None, *, as_json: bool
) -> None:
    from hub import row_proofs  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    if parcel is None:
        raise Refused(
            "prove.parcel",
            "expected the parcel that holds the row: the hub keeps none in the clear",
            "fetch it as its recipient (hub parcel fetch), then add --parcel FILE",
        )
    with open_office(Settings()) as office, parcel.open("rb") as source, progress("proving the row"):
        sent = row_proofs.transfer(office, target)
        proof = row_proofs.of_row(office, reading_as(office, name), sent, number, source)
        written = json.dumps(proof, ensure_ascii=False)
        file = _write(out, f"{sent.parcel}.row-{number}.proof.json", written)
        say(
            {"index": sent.intent, "row": number, "rows": proof["rows"], "files": [str(file)]},
            as_json=as_json,
            text=lambda: Text(str(file)),
        )


def _write(folder: Path, name: str, text: str) -> Path:
    """Write a new file that only its owner reads; never into HUB_HOME, where no plain content rests."""
    target = folder / name
    if target.resolve().is_relative_to(Settings().root.resolve()) or target.exists():
        raise Refused(
            "prove.out",
            f"expected a new file outside of HUB_HOME, got {target}",
            "choose another folder: --out",
        )
    folder.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600, exist_ok=False)
    target.write_text(text, encoding="utf-8")
    return target


def _check(file: Path, trust: Path | None, *, as_json: bool) -> None:
    from hub.ledger.evidence import Unsound  # noqa: PLC0415
    from hub.ledger.row_proof import check, checkpoint  # noqa: PLC0415

    text = file.read_bytes().decode("utf-8", "replace")
    try:
        key = _trusted(trust, checkpoint(text))
        shown = check(text, key.name, key.public)
    except Unsound as unsound:
        flaw = unsound.flaw if unsound.flaw in FLAWS else "malformed"
        _fail(f"proof.{flaw}", FLAWS[flaw], as_json=as_json)
    promise = shown.proved.promise
    answer: dict[str, Any] = {
        "ok": True,
        "log": key.name,
        "trusted": "this hub's own key" if trust is None else str(trust),
        "index": shown.proved.index,
        "size": promise.size,
        "root": promise.root.hex(),
        "kind": shown.entry.get("kind"),
        "submission": shown.entry.get("submission"),
        "row": shown.place,
        "rows": shown.rows,
    }
    what = f"row {shown.place} of {shown.rows} of the transfer in " if shown.place is not None else ""
    say(
        answer,
        as_json=as_json,
        text=lambda: Text(
            f"Proved: {what}entry {shown.proved.index} ({answer['kind']}) of {key.name}, under the root of"
            f" its {promise.size} entries. Trusted: {answer['trusted']}."
        ),
    )


def _trusted(trust: Path | None, note: str) -> "VerifierKey":
    """Give the trusted key that signed a checkpoint: by the trust file, or this hub's own public key."""
    from hub.ledger.evidence import Unsound  # noqa: PLC0415
    from hub.ledger.notes import LOG, read_key  # noqa: PLC0415
    from hub.ledger.policy import read_trust, weigh  # noqa: PLC0415

    if trust is not None:
        weighed = weigh(read_trust(trust.read_bytes()), note)
        if not weighed.reached:
            raise Unsound(flaw="quorum")
        return weighed.log
    own = Settings().public / "log.vkey"
    if not own.is_file():
        raise Refused("trust.missing", "there is no key to check by", "bring a trust file: --trust FILE")
    return read_key(own.read_text(encoding="utf-8").strip(), LOG)


def _fail(code: str, message: str, *, as_json: bool) -> NoReturn:
    """Answer that a proof fails, and end with exit status 1."""
    if as_json:
        say({"ok": False, "code": code}, as_json=True, text=str)
    fail(code, message, "ask for the proof anew, and show this one to the data protection officer")
