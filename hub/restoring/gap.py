"""The gap: what a database that was put back lacks, as the journal tells it."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hub import standing
from hub.database.models import LedgerCheckpoint
from hub.database.session import raw
from hub.errors import Refused
from hub.ledger.journal import Record
from hub.ledger.tree import EMPTY_ROOT
from hub.ledger.turn import Floor
from hub.office import Office

Picture = dict[str, Any]
"""A submission as `hub.pictures.of` gives it; ``leaving`` in it names a parcel that was about to leave."""


@dataclass
class Gap:
    """What is missing: from which size of the log on, and everything that the journal has of it.

    ``entries`` are the bodies of the missing entries (None for an erased one) by index; ``pictures`` the
    newest of each submission; ``leaving`` names parcels that were about to leave.
    """

    base: Floor
    known: Floor
    lost_journal: bool = False
    records: list[Record] = field(default_factory=list)
    entries: dict[int, Mapping[str, Any] | None] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    leaving: dict[str, str] = field(default_factory=dict)
    withdrawn: dict[tuple[str, str], str] = field(default_factory=dict)
    late: set[tuple[str, str]] = field(default_factory=set)

    @property
    def first(self) -> int:
        """The index of the first missing entry."""
        return self.base.size

    def of_kind(self, kind: str, reason: str | None = None) -> list[tuple[int, Mapping[str, Any]]]:
        """Give the missing entries of a kind, each with its index."""
        return [
            (index, entry)
            for index, entry in sorted(self.entries.items())
            if entry and entry["kind"] == kind and (reason is None or entry.get("reason") == reason)
        ]

    def stopped(self) -> set[str]:
        """Name the parcels that were stopped in the gap."""
        return {entry["parcel"]["name"] for _, entry in self.of_kind("outcome", "stopped")}

    def told(self) -> dict[str, Any]:
        """Tell people what is missing, in ids and counts."""
        kinds = Counter(entry["kind"] for entry in self.entries.values() if entry)
        begun = {entry["submission"] for _, entry in self.of_kind("submission")}
        settled = {entry["submission"] for _, entry in self.of_kind("outcome") if "counts" in entry}
        sent = {entry["parcel"]["name"] for _, entry in self.of_kind("outcome") if "parcel" in entry}
        unsettled = sorted(set(self.leaving.values()) - sent)
        return {
            "entries": {
                "here": self.base.size,
                "known": self.known.size,
                "kinds": dict(sorted(kinds.items())),
            },
            "withdrawals": len(self.late),
            "sent": sorted(sent - self.stopped()),
            "sent_or_not": unsettled,
            "hand_in_again": sorted(begun - settled - set(self.pictures)),
            "repeat": {
                "consent_imports": len(self.of_kind("consent", "imported")),
                "staff_and_keys": len(self.of_kind("key")),
                "agreements": len(self.of_kind("agreement")),
                "reviews": len(self.of_kind("review")),
            },
        }


def find(office: Office) -> Gap:
    """Find what the database lacks.

    Raises:
        Refused: ``restore.nothing`` where it lacks nothing.
        Corrupt: ``journal.damaged``.
    """
    stand = standing.look(office)
    if stand.flaw is None:
        raise Refused(
            "restore.nothing", "the database lacks nothing: the hub is open", "there is nothing to approve"
        )
    with office.database.transaction() as session:
        base = _base(session)
    if not office.journal.exists():
        return Gap(base, Floor(0, EMPTY_ROOT), lost_journal=True)
    gap = Gap(base, office.journal.tip().floor)
    for record in office.journal.records():
        _take(gap, record)
    with office.database.transaction() as session:
        _leave_out_what_is_known(session, gap)
    return gap


def _take(gap: Gap, record: Record) -> None:
    content = record.content
    match record.kind:
        case "log" if record.size > gap.base.size:
            gap.records.append(record)
            rested = set()
            for index, (body, _, kind, submission, _) in enumerate(content["entries"], content["first"]):
                if index >= gap.base.size:
                    gap.entries[index] = json.loads(body) if body is not None else None
                    rested |= {submission} if kind == "outcome" else set()
            _picture(gap, [one for one in content["images"] if one["submission"]["id"] in rested])
        case "sent" if record.size > gap.base.size:
            _picture(gap, content["sent"])
        case "sending":
            (parcel,) = [one for one in content["parcels"] if one["state"] == "intended"]
            _picture(gap, [content | {"leaving": parcel["id"]}])
            gap.leaving[parcel["id"]] = parcel["name"]
        case "withdrawn":
            for one in content["withdrawn"]:
                gap.withdrawn[one["collector"], one["reference"]] = one["at"]


def _picture(gap: Gap, found: Iterable[Picture]) -> None:
    for picture in found:
        gap.pictures[picture["submission"]["id"]] = picture
        for parcel in picture["parcels"]:
            if parcel["state"] != "intended":
                gap.leaving.pop(parcel["id"], None)


def _leave_out_what_is_known(session: Session, gap: Gap) -> None:
    """Keep only what the database does not have: a journal tells of everything since it was begun."""
    connection = raw(session)
    known = connection.execute(
        """
        SELECT id FROM hub.parcel WHERE id = ANY(%s) AND state IN ('sent', 'stopped')
        """,
        [list(gap.leaving)],
    )
    for (parcel,) in known:
        del gap.leaving[parcel]
    for parcel, name in list(gap.leaving.items()):
        if name in gap.stopped():
            del gap.leaving[parcel]
    rows = connection.execute(
        "SELECT id, state FROM hub.submission WHERE id = ANY(%s)", [list(gap.pictures)]
    ).fetchall()
    final = {identity for identity, state in rows if state in ("acknowledged", "refused", "withdrawn")}
    gap.pictures = {
        name: picture
        for name, picture in gap.pictures.items()
        if name not in final and picture.get("leaving", "") in {"", *gap.leaving}
    }
    collectors, references = [key[0] for key in gap.withdrawn], [key[1] for key in gap.withdrawn]
    done = connection.execute(
        """
        SELECT g.collector, g.reference FROM unnest(%s::text[], %s::text[]) AS g (collector, reference)
        WHERE EXISTS (SELECT FROM hub.consent c WHERE c.collector = g.collector
                AND c.reference_mac = decode(g.reference, 'hex') AND c.withdrawn_at IS NOT NULL)
            OR EXISTS (SELECT FROM hub.ended_consent e WHERE e.collector = g.collector
                AND e.reference_mac = decode(g.reference, 'hex'))
        """,
        [collectors, references],
    ).fetchall()
    gap.late = set(gap.withdrawn) - set(done)


def _base(session: Session) -> Floor:
    newest = select(LedgerCheckpoint.size, LedgerCheckpoint.root)
    found = session.execute(newest.order_by(LedgerCheckpoint.size.desc()).limit(1)).one_or_none()
    return Floor(found.size, found.root) if found else Floor(0, EMPTY_ROOT)
