"""``hub bench``: measurements as ratios against a floor or a peer in the same run."""

from typing import Annotated, Any

import typer

from hub.cli.answers import Json, progress, say, table, told

NAMES = ("exchange", "log")


def bench(
    name: Annotated[str, typer.Argument(help=f"Which: {', '.join(NAMES)}.")],
    rows: Annotated[
        int, typer.Option("--rows", "--entries", min=1_000, help="How many rows, or entries of the log.")
    ] = 1_000_000,
    runs: Annotated[int, typer.Option(min=1, help="How many alternating runs; figures are medians.")] = 3,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Measure the hub against a floor and a peer; nothing outside a temporary folder is touched."""
    if name not in NAMES:
        message = f"expected one of {', '.join(NAMES)}"
        raise typer.BadParameter(message, param_hint="NAME")
    from benchmarks import exchange, log, measure  # noqa: PLC0415

    of = exchange if name == "exchange" else log

    with told(as_json=as_json), progress(f"bench {name}") as tell:
        figures = of.bench(rows, runs, tell)
        goals = {figure: _judged(figures[figure], *goal) for figure, goal in of.GOALS.items()}
        say(
            {"bench": name, "machine": measure.machine(), "figures": figures, "goals": goals},
            as_json=as_json,
            text=lambda: table(
                ("figure", "value", "goal", "holds"),
                [
                    (figure, value, goals.get(figure, {}).get("goal"), goals.get(figure, {}).get("holds"))
                    for figure, value in figures.items()
                ],
            ),
        )


def _judged(value: float, sense: str, bound: float) -> dict[str, Any]:
    holds = value <= bound if sense == "at most" else value >= bound
    return {"value": value, "goal": f"{sense} {bound:g}", "holds": holds}
