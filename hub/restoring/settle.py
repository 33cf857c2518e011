"""What the gap left open, settled: what never left is stopped, what was lost is refused, what left is told.

Nothing in the log stays without its end: each intent gets an outcome, each lost file a receipt that says so.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from hub import settlement
from hub.case import Case, now
from hub.database.models import Parcel, Submission
from hub.lease import Lease
from hub.office import Office
from hub.registry import version
from hub.restoring import put_back
from hub.restoring.gap import Gap
from hub.states import FINAL, Fate, State
from hub.tally import Tally

LOST = "submission.lost"


def settle(session: Session, office: Office, gap: Gap) -> dict[str, int]:
    """Bring to its end what the gap left open; gives how many parcels were stopped, files lost, and so on."""
    lost = [_lost_row(session, office, entry) for _, entry in gap.of_kind("submission")]
    stopped = _stop(session, office, gap)
    told = [picture["submission"]["id"] for picture in gap.pictures.values() if "leaving" in picture]
    for identity in told:
        left = session.get_one(Submission, identity)
        if State(left.state) is State.DELIVERED:
            settlement.close(session, _case(session, office, left), left, State.ACKNOWLEDGED)
    refused = 0
    for row in lost:
        if State(row.state) not in FINAL:
            _refuse(session, office, row)
            refused += 1
    return {"stopped": stopped, "lost": refused, "sent_or_not": len(told)}


def _lost_row(session: Session, office: Office, entry: Mapping[str, Any]) -> Submission:
    """Give a submission that came in in the gap; the key of its file went with the database."""
    row = put_back.known(session, entry["submission"])
    if row is None:
        put_back.agreement(session, office, entry["agreement"], entry["agreement_version"])
        row = Submission(
            id=entry["submission"],
            agreement=entry["agreement"],
            agreement_version=entry["agreement_version"],
            sender=entry["sender"],
            sha256=entry["details"]["sha256"],
            bytes=entry["details"]["bytes"],
            created_at=datetime.fromisoformat(entry["time"]),
        )
        session.add(row)
        session.flush()
    return row


def _stop(session: Session, office: Office, gap: Gap) -> int:
    """Stop every parcel that was intended in the gap and never left."""
    count = 0
    for index, entry in gap.of_kind("intent"):
        row = session.get_one(Submission, entry["submission"])
        identity = f"P-{row.id}-{entry['attempt']}"
        if session.get(Parcel, identity) is None:
            parcel = entry["parcel"]
            session.add(
                Parcel(
                    id=identity,
                    submission=row.id,
                    recipient=entry["recipient"],
                    attempt=entry["attempt"],
                    name=parcel["name"],
                    sha256=parcel["sha256"],
                    bytes=parcel["bytes"],
                    rows=entry["counts"]["delivered"],
                    state="stopped" if parcel["name"] in gap.stopped() else "intended",
                    intent_index=index,
                )
            )
            session.flush()
        if session.get_one(Parcel, identity).state == "intended":
            settlement.stop_parcels(session, _case(session, office, row), row)
            count += 1
    return count


def _refuse(session: Session, office: Office, row: Submission) -> None:
    case = _case(session, office, row)
    row.reason = LOST
    tally = Tally()
    tally.received = row.received or 0
    tally.add(Fate.REFUSED, LOST, tally.received)
    tally.settle(session, row)
    settlement.close(session, case, row, State.REFUSED)


def _case(session: Session, office: Office, row: Submission) -> Case:
    """Open a case to end it: nothing sealed is opened for that, so it needs no key."""
    agreement = version(session, row.agreement, row.agreement_version)
    at = row.created_at or now(session)
    return Case(office, Lease(row.id, row.fence), agreement, b"", row.sha256, row.bytes, at, {})
