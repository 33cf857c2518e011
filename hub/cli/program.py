"""The program ``hub``: its verbs, gathered."""

import signal
import sys

import typer

from hub.cli import (
    agreements,
    backups,
    bench,
    consents,
    demo,
    drop,
    log,
    parcels,
    partners,
    restores,
    retention,
    reviews,
    staff,
    submissions,
    up,
)
from hub.cli.answers import Json, progress, say, told
from hub.settings import Settings

app = typer.Typer(
    name="hub",
    help="The data exchange hub: consent-checked, pseudonymised transfers with a provable log.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("submit")(submissions.submit)
app.add_typer(submissions.app, name="submission", help="What became of submissions.")
app.add_typer(parcels.app, name="parcel", help="What recipients are given, as they get it.")
app.add_typer(agreements.app, name="agreement", help="The agreements: who sends what to whom, on which law.")
app.add_typer(partners.app, name="partner", help="The partner agencies and their keys.")
app.add_typer(consents.app, name="consent", help="The consent register.")
app.add_typer(staff.app, name="staff", help="Who works with the hub, and in which role.")
app.add_typer(reviews.app, name="review", help="What is held back, and the word of two people on it.")
app.add_typer(log.app, name="log", help="The transfer log and its proofs.")
app.add_typer(retention.app, name="retention", help="How long what is kept, and its end.")
app.command("backup")(backups.backup)
app.add_typer(restores.app, name="restore", help="Coming back from a backup, on the word of two people.")
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("drop")(drop.drop)
app.command("bench")(bench.bench)
# What follows the first word is Airflow's own.
app.command("airflow", context_settings={"allow_interspersed_args": False})(up.airflow)


@app.command()
def init(as_json: Json = False) -> None:  # noqa: FBT002 -- a flag of the command line
    """Make keys, database and folders under HUB_HOME (default .hub/); running it again changes nothing."""
    from hub.runtime import initialise  # noqa: PLC0415 -- the parts load when they are needed

    with told(as_json=as_json), progress("preparing the hub"):
        made = initialise(Settings())
        say(
            {"home": made.home, "agreements": made.agreements, "activated": made.newly_active},
            as_json=as_json,
            text=lambda: f"The hub is ready in {made.home}. Agreements: {', '.join(made.agreements)}.",
        )


def main() -> None:
    """Run the command line. Asked to end (SIGTERM), it gives leases back and stops what it started."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.argv[0] = "hub"
    app()
