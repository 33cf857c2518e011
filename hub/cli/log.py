"""``hub log``: the transfer log and its proofs."""

from pathlib import Path
from typing import Annotated

import typer

from hub.cli import log_checkpoint, log_export, log_prove, log_search, log_witness
from hub.cli.answers import Json, fail, progress, say, told
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)
app.command("checkpoint")(log_checkpoint.checkpoint)
app.command("cosign")(log_checkpoint.cosign)
app.command("witness")(log_witness.witness)
app.command("prove")(log_prove.prove)
app.command("search")(log_search.search)
app.command("export")(log_export.export)


@app.callback()
def _log() -> None:
    """The transfer log and its proofs."""


@app.command()
def verify(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A checkpoint kept from earlier; repeatable.", exists=True),
    ] = None,
    receipt: Annotated[
        list[Path] | None, typer.Option(help="A receipt of a sender; may be given again.", exists=True)
    ] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Prove the log complete and unaltered: entries, tree, signatures, and what others have kept."""
    from hub.ledger.verify import verify_database  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office, progress("verifying the log"):
        with office.database.audit() as session:
            found = verify_database(
                session.connection(),
                log_key=office.ring.log_public(),
                receipt_key=office.ring.receipt_public(),
                origin=office.settings.origin,
                kept=[path.read_text(encoding="utf-8") for path in checkpoint or []],
                receipts=[path.read_text(encoding="utf-8").strip() for path in receipt or []],
            )
        gone = f", {found.erased} of them erased" if found.erased else ""
        verdict = "all proved" if found.ok else "NOT PROVED"
        findings = [{"code": f.code, "place": f.place, "de": f.de, "en": f.en} for f in found.findings]
        say(
            {
                "ok": found.ok,
                "size": found.size,
                "root": found.root,
                "erased": found.erased,
                "findings": findings,
            },
            as_json=as_json,
            text=lambda: "\n".join(
                [f"{found.size} entries{gone}, root {found.root}: {verdict}"]
                + [f"{f.code} at {f.place}: {f.en}" for f in found.findings]
            ),
        )
        if not found.ok:
            first = found.findings[0]
            fail(
                first.code,
                first.en,
                "keep the database as it is, and show this to the data protection officer",
            )
