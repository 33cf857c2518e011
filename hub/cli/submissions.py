"""``hub submit`` and ``hub submission``: files in, and what became of them."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.answers import DONE, FAILED, STDERR, Json, fail, progress, say, table, told
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)
FATES = ("received", "delivered", "already_delivered", "refused", "withheld", "quarantined")
Identity = Annotated[str, typer.Argument(help="The submission's id, such as S-20261122-7KQ2M9XW4T.")]


def submit(
    file: Annotated[Path, typer.Argument(help="The file, CSV or XLSX.", exists=True, dir_okay=False)],
    agreement: Annotated[str, typer.Option(help="Under which agreement it is sent, such as E3.")],
    rows: Annotated[
        int | None, typer.Option(min=0, help="Control total: how many rows it must hold.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Control total: its SHA-256 in hex.")] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Take one file through all six steps. Run again after a crash, it resumes where it was."""
    from hub.suite_process import SuiteProcess  # noqa: PLC0415

    suite = SuiteProcess()
    suite.get_ready()  # it takes longest to load, so it begins before everything else is loaded here
    from hub import exchange, intake  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with (
        told(as_json=as_json),
        closing(suite),
        open_office(Settings(), suite) as office,
        progress(f"submitting {agreement}") as tell,
    ):
        intake.sweep(office)
        with file.open("rb") as source:
            identity = intake.accept(office, source, agreement, intake.Totals(sha256, rows))
        tell("received")
        try:
            exchange.carry(office, identity, tell)
        finally:
            STDERR.print(f"submission {identity}") if not as_json else None
        _show(office, identity, as_json=as_json)


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, newest first.")] = 50,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """List submissions, newest first."""
    from hub import overview  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        lines = overview.listed(office, state=state, limit=limit)
        say(
            {"submissions": lines},
            as_json=as_json,
            text=lambda: table(
                ("submission", "agreement", "state", "reason", *FATES),
                [
                    (
                        *(line[name] for name in ("submission", "agreement", "state", "reason")),
                        *(line["rows"][fate] for fate in FATES),
                    )
                    for line in lines
                ],
            ),
        )


@app.command()
def show(
    submission: Identity,
    save: Annotated[
        Path | None, typer.Option(help="Also write the sender's receipts and reports into this folder.")
    ] = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show what became of a submission; with --save, write what its sender gets."""
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        if save is not None:
            from hub import replies  # noqa: PLC0415

            replies.save(office, submission, save)
        _show(office, submission, as_json=as_json, verdict=False)


@app.command()
def retry(submission: Identity, as_json: Json = False) -> None:  # noqa: FBT002
    """Take a submission on from where it was left, by a crash or a passing failure."""
    from hub import exchange, intake  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office, progress(f"retrying {submission}") as tell:
        intake.sweep(office)
        exchange.carry(office, submission, tell)
        _show(office, submission, as_json=as_json)


@app.command()
def recall(submission: Identity, as_json: Json = False) -> None:  # noqa: FBT002
    """Recall a submission on its sender's behalf, as long as nothing of it was sent."""
    from hub import exchange  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        exchange.recall(office, submission)
        _show(office, submission, as_json=as_json, verdict=False)


def _show(office: Any, identity: str, *, as_json: bool, verdict: bool = True) -> None:
    from hub import overview  # noqa: PLC0415
    from schemas.reasons import reason  # noqa: PLC0415

    answer = overview.of_submission(office, identity)
    say(answer, as_json=as_json, text=lambda: _text(answer))
    if verdict and answer["state"] in ("refused", "quarantined", "awaiting_review"):
        told_why = reason(answer["reason"])
        fail(told_why.code, told_why.en, told_why.remedy_en)
    raise typer.Exit(DONE if answer["state"] == "acknowledged" or not verdict else FAILED)


def _text(answer: dict[str, Any]) -> str:
    rows = answer["rows"]
    lines = [
        " ".join(("[bold]" + answer["submission"] + "[/]", answer["agreement"], answer["state"])),
        "  ".join(f"{fate} {rows[fate]}" for fate in FATES),
        *(f"  {code}: {count}" for code, count in answer["reasons"].items()),
        *(f"notice: {code}" for code in answer["notices"]),
        *(f"warning: {code}" for code in answer["warnings"]),
        *(
            f"parcel {p['name']}  {p['rows']} rows  sha256 {p['sha256']}  {p['state']}"
            for p in answer["parcels"]
        ),
        f"log index {answer['log_index']}",
    ]
    return "\n".join(lines)
