"""``hub log search``: entries of the transfer log by what they say."""

from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from hub.cli.answers import Json, say, table, told
from hub.cli.periods import beginning, end
from hub.errors import Refused
from hub.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.audit import Line
    from hub.ledger.entry import Actor
    from hub.office import Office

As = Annotated[
    str | None,
    typer.Option("--as", help="Who reads: a member of staff who may; otherwise it is the operator."),
]
COLUMNS = ("index", "recorded", "kind", "submission", "agreement", "from", "to", "actor", "reason", "counts")
SHOWN_COUNTS = ("received", "delivered", "read", "new", "withdrawn")


def search(  # noqa: PLR0913, PLR0917 -- one option for each thing that is asked for
    since: Annotated[str | None, typer.Option("--from", help="First day, or first instant.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last day, or the instant after.")] = None,
    partner: Annotated[str | None, typer.Option(help="Sender or recipient, by id.")] = None,
    agreement: Annotated[str | None, typer.Option(help="Such as E3.")] = None,
    purpose: Annotated[str | None, typer.Option(help="As the agreement says, or what follows its #.")] = None,
    legal_basis: Annotated[
        str | None, typer.Option(help="statute, consent, one paragraph, or one template.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="A reason, of the event or of rows.")] = None,
    actor: Annotated[str | None, typer.Option(help="Role, id, staff pseudonym or user name.")] = None,
    kind: Annotated[str | None, typer.Option(help="Such as intent, outcome, log_read.")] = None,
    submission: Annotated[str | None, typer.Option(help="A submission's id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most, newest first.")] = 50,
    older: Annotated[
        int | None, typer.Option(min=0, max=2**53 - 1, help="Go on from this index, as the answer says.")
    ] = None,
    reader: As = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Search the transfer log; the search is itself logged before anything is shown."""
    from hub import audit  # noqa: PLC0415
    from hub.ledger.search import Criteria  # noqa: PLC0415
    from hub.runtime import open_office  # noqa: PLC0415

    with told(as_json=as_json), open_office(Settings()) as office:
        criteria = Criteria(
            since=beginning(since),
            until=end(until),
            partner=partner,
            agreement=agreement,
            purpose=purpose,
            legal_basis=legal_basis,
            reason=reason,
            actor=actor,
            kind=_kind(kind),
            submission=submission,
        )
        found = audit.browse(
            office, reading_as(office, reader), criteria, upto=older, limit=limit, purpose="search"
        )
        more = f"older entries: --older {found.older}" if found.older is not None else "no older entries"
        say(
            {
                "entries": [
                    {
                        "index": line.index,
                        "recorded_at": line.recorded_at.isoformat(),
                        "erased": line.erased,
                        "entry": line.entry,
                    }
                    for line in found.lines
                ],
                "older": found.older,
                "size": found.size,
            },
            as_json=as_json,
            text=lambda: table(COLUMNS, [*map(_cells, found.lines), (more,)]),
        )


def reading_as(office: "Office", name: str | None) -> "Actor":
    """Name who reads at the command line, for the log."""
    from hub import audit  # noqa: PLC0415
    from hub.ledger.entry import Actor  # noqa: PLC0415

    return Actor(role="operator", id="hub-log") if name is None else audit.reader_named(office, name)


def _kind(name: str | None) -> Any:
    from hub.ledger.entry import Kind  # noqa: PLC0415

    if name is not None and name not in get_args(Kind):
        raise Refused(
            "search.kind",
            "expected a kind of event that the log knows",
            f"one of: {', '.join(get_args(Kind))}",
        )
    return name


def _cells(line: "Line") -> tuple[object, ...]:
    said = line.entry
    actor = cast("Mapping[str, Any]", said.get("actor") or {})
    counts = cast("Mapping[str, int]", said.get("counts") or {})
    return (
        line.index,
        line.recorded_at,
        "(erased)" if line.erased else said.get("kind"),
        *(said.get(name) for name in ("submission", "agreement", "sender", "recipient")),
        "/".join(str(actor[part]) for part in ("role", "id") if part in actor),
        said.get("reason"),
        " ".join(f"{name} {counts[name]}" for name in SHOWN_COUNTS if name in counts),
    )
