"""What the journal pictures, put back into the database: as if the hub had never forgotten it.

States change along the transition table as they always do, counts must add up, and no guard of the database
is switched off. What is in the database already stays as it is.
"""

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from hub import delivered, disk, registry
from hub.database.models import AgreementVersion, Parcel, Staff, Submission
from hub.database.session import raw
from hub.errors import Refused
from hub.office import Office
from hub.restoring.gap import Gap, Picture
from hub.states import FINAL, TRANSITIONS, Fate, State

FENCES: Final = 1000
"""By how much fences rise: no lease, folder or word from before can be taken for one from afterwards."""

_TABLES: Final = {"parcels": "hub.parcel", "reasons": "hub.reason_count", "receipts": "hub.receipt"}


def withdrawals(session: Session, gap: Gap) -> int:
    """Withdraw again what was withdrawn; a reference that the register has lost can never come in again."""
    connection = raw(session)
    for collector, reference in sorted(gap.late):
        at = gap.withdrawn[collector, reference]
        known = connection.execute(
            """
            UPDATE hub.consent SET withdrawn_at = %s, change = nextval('hub.consent_change_seq')
            WHERE collector = %s AND reference_mac = decode(%s, 'hex') AND withdrawn_at IS NULL
            """,
            [at, collector, reference],
        ).rowcount
        if not known:
            connection.execute(
                "INSERT INTO hub.partner (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                [collector, collector],
            )
            connection.execute(
                """
                INSERT INTO hub.ended_consent (collector, reference_mac)
                VALUES (%s, decode(%s, 'hex')) ON CONFLICT DO NOTHING
                """,
                [collector, reference],
            )
    return len(gap.late)


def suspensions(session: Session, gap: Gap) -> None:
    """Suspend again whoever was suspended."""
    for _, entry in gap.of_kind("key", "staff_suspended"):
        alias = entry["details"]["staff"]
        session.execute(update(Staff).where(Staff.alias == alias, Staff.active).values(active=False))


def pictures(session: Session, office: Office, gap: Gap) -> None:
    """Put submissions back where they had come to rest, with their parcels, reasons and receipts.

    Raises:
        Refused: ``restore.agreement`` when the file of an agreement of then is missing.
    """
    for picture in gap.pictures.values():
        wanted = picture["submission"]
        agreement(session, office, wanted["agreement"], wanted["agreement_version"])
        target = State.DELIVERED if "leaving" in picture else State(wanted["state"])
        if target is State.AWAITING_REVIEW:
            target = State.QUARANTINED  # words from before do not count: people decide anew
        row = _row(session, wanted)
        raw(session).execute("DELETE FROM hub.reason_count WHERE submission = %s", [row.id])
        _insert(session, "reasons", picture["reasons"])
        for name in ("reason", "notices", "received", *(fate.value for fate in Fate)):
            setattr(row, name, wanted[name])
        row.fence = max(row.fence, wanted["fence"])
        _walk(session, row, target)
        _parcels(session, office, picture)
        _insert(session, "receipts", picture["receipts"])


def collections(session: Session, gap: Gap) -> None:
    """Note again which parcels were collected."""
    for _, entry in gap.of_kind("collected"):
        chosen = (Parcel.name == entry["parcel"]["name"], Parcel.collected_at.is_(None))
        session.execute(update(Parcel).where(*chosen).values(collected_at=entry["time"]))


def fences(session: Session) -> None:
    """Raise the fence of everything that is not done, and take all leases away."""
    ended = [state.value for state in FINAL]
    session.execute(
        update(Submission)
        .where(Submission.state.not_in(ended))
        .values(fence=Submission.fence + FENCES, lease_holder=None, lease_until=None)
    )


def agreement(session: Session, office: Office, identity: str, version: str) -> None:
    """File an agreement that was filed in the gap. Raises Refused ``restore.agreement`` without its file."""
    if session.get(AgreementVersion, (identity, version)) is not None:
        return
    for one in registry.read_agreements([office.settings.agreements or registry.SHIPPED]):
        if (one.id, one.version) == (identity, version):
            registry.file_agreement(session, one)
            session.flush()
            return
    raise Refused(
        "restore.agreement",
        f"expected the file of agreement {identity} {version}, found none",
        "put it into the folder of agreements (HUB_AGREEMENTS), then approve again",
    )


def _row(session: Session, wanted: Mapping[str, Any]) -> Submission:
    row = session.get(Submission, wanted["id"])
    if row is None:
        fresh = {"state": "received", "lease_holder": None, "lease_until": None, "held_by": None}
        raw(session).execute(
            "INSERT INTO hub.submission SELECT * FROM jsonb_populate_record(null::hub.submission, %s)",
            [json.dumps(dict(wanted) | fresh)],
        )
        row = session.get_one(Submission, wanted["id"])
    return row


def _walk(session: Session, row: Submission, target: State) -> None:
    """Take a submission along the transition table to where it had come."""
    ways: deque[tuple[State, ...]] = deque([(State(row.state),)])
    seen = {State(row.state)}
    while ways:
        way = ways.popleft()
        if way[-1] is target:
            for state in way[1:]:
                row.state = state.value
                session.flush()
            return
        for step in TRANSITIONS:
            if step.source is way[-1] and step.target not in seen:
                seen.add(step.target)
                ways.append((*way, step.target))


def _parcels(session: Session, office: Office, picture: Picture) -> None:
    for parcel in picture["parcels"]:
        left = parcel["id"] == picture.get("leaving")
        image = parcel | ({"state": "sent", "sent_at": picture["at"]} if left else {})
        known = session.get(Parcel, parcel["id"])
        if known is None:
            _insert(session, "parcels", [image])
        else:
            for name in ("state", "outcome_index", "sent_at", "collected_at"):
                setattr(known, name, image[name])
    session.flush()
    kept = office.journal.folder / "delivered"
    for rows in picture["delivered"]:
        wrapped = bytes.fromhex(rows["wrapped_key"].removeprefix("\\x"))
        raw(session).execute(
            """
            INSERT INTO hub.delivered_rows (parcel, agreement, rows, wrapped_key)
            VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
            """,
            [rows["parcel"], rows["agreement"], rows["rows"], wrapped],
        )
        file = delivered.file_of(office, rows["parcel"], wrapped)
        disk.make_folder(file.parent)
        if not file.exists() and (kept / file.name).exists():
            disk.keep_copy(kept / file.name, file)


def _insert(session: Session, what: str, images: list[dict[str, Any]]) -> None:
    table = _TABLES[what]
    for image in images:
        raw(session).execute(
            f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(null::{table}, %s)"  # noqa: S608
            " ON CONFLICT DO NOTHING",
            [json.dumps(image)],
        )


def known(session: Session, submission: str) -> Submission | None:
    """Give a submission that the database has."""
    return session.scalar(select(Submission).where(Submission.id == submission))
