"""``hub retention``: how long what is kept, and the end of what is over."""

from collections.abc import Mapping
from typing import Annotated

import typer

from hub.cli.answers import Json, progress, say, table, told
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)


@app.command()
def show(as_json: Json = False) -> None:  # noqa: FBT002
    """Tell how long what is kept, on which legal ground, and how much of it is over."""
    from hub.retention import run as retention  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        found = retention.show(office)
        say(
            {
                "rules": [
                    {
                        "record": record,
                        "what": due.rule.en,
                        "action": due.rule.action,
                        "period": due.rule.period.words("en"),
                        "counted_from": due.rule.since_en,
                        "ground": due.rule.ground_en,
                        "confirmed": due.rule.confirmed,
                        "before": due.before and due.before.isoformat(timespec="seconds"),
                        "over": due.waiting,
                    }
                    for record, due in found.items()
                ]
            },
            as_json=as_json,
            text=lambda: table(
                ("what", "action", "period", "counted from", "legal ground", "over"),
                [
                    (
                        record,
                        due.rule.action,
                        due.rule.period.words("en"),
                        due.rule.since_en,
                        due.rule.ground_en + ("" if due.rule.confirmed else " ?"),
                        sum(due.waiting.values()) or None,
                    )
                    for record, due in found.items()
                ],
            ),
        )


@app.command()
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what is over.")] = False,  # noqa: FBT002
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """End what is over, key first; each batch is announced in the transfer log; run again, it goes on."""
    from hub.retention import run as retention  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office, progress("retention") as step:
        if dry_run:
            ended = {record: due.waiting for record, due in retention.show(office).items() if due.waiting}
        else:
            ended = dict(retention.run(office, step))
        say(
            {"dry_run": dry_run, "ended": ended},
            as_json=as_json,
            text=lambda: (
                "\n".join(
                    f"{record}: {_counts(counts)} {'would end' if dry_run else 'ended'}"
                    for record, counts in ended.items()
                )
                or "Nothing is over."
            ),
        )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
