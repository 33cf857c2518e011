"""The account: what came of every drop, held against the script, as all who took part see it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
from sqlalchemy import select

from hub import overview
from hub.database.models import Submission
from hub.demo.cast import Cast
from hub.demo.script import Drop
from hub.ledger.verify import verify_database
from hub.office import Office

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Line:
    """One drop's line: what was found, and every deviation from the script in a sentence."""

    drop: Drop
    answer: dict[str, Any]
    deviations: list[str] = field(default_factory=list)


def submission_of(office: Office, drop: Drop) -> str | None:
    """Find the newest submission of a dropped file by its content."""
    digest = hashlib.sha256(drop.file.read_bytes()).hexdigest()
    with office.database.transaction() as session:
        return session.scalar(
            select(Submission.id)
            .where(Submission.agreement == drop.agreement, Submission.sha256 == digest)
            .order_by(Submission.created_at.desc())
            .limit(1)
        )


def line(office: Office, drop: Drop) -> Line:
    """Hold what came of a drop against the script."""
    identity = submission_of(office, drop)
    if identity is None:
        return Line(drop, {}, ["is not known to the hub"])
    answer = overview.of_submission(office, identity)
    deviations = []
    if answer["state"] != drop.state.value:
        deviations.append(f"expected to be {drop.state.value}, is {answer['state']}")
    found = {fate: count or 0 for fate, count in answer["rows"].items()}
    if found != dict(drop.rows):
        deviations.append(f"expected the rows {dict(drop.rows)}, found {found}")
    if dict(answer["reasons"]) != dict(drop.reasons):
        deviations.append(f"expected the reasons {dict(drop.reasons)}, found {answer['reasons']}")
    return Line(drop, answer, deviations)


def fetch(office: Office, cast: Cast, lines: list[Line], desk: Path) -> list[str]:
    """Let senders fetch their receipts and recipients their parcels; gives what is not as it must be.

    A receipt must verify with the published key and tell the counts; a parcel must have the digest that the
    log has of it.
    """
    wrong = []
    for one in lines:
        told = desk / one.drop.partner / "receipts"
        cast.clients[one.drop.partner].fetch(f"receipts/*{one.answer['submission']}*", told)
        wrong += _receipts(office, one, sorted(told.glob(f"*{one.answer['submission']}*.jwt")))
        for parcel in one.answer["parcels"]:
            if parcel["state"] != "sent":
                continue
            folder = desk / parcel["recipient"] / one.drop.agreement
            cast.clients[parcel["recipient"]].fetch(f"outbox/{one.drop.agreement}/{parcel['name']}", folder)
            content = (folder / parcel["name"]).read_bytes()
            if hashlib.sha256(content).hexdigest() != parcel["sha256"]:
                wrong.append(f"{parcel['name']} has another digest than the log says")
    return wrong


def _receipts(office: Office, one: Line, files: list[Path]) -> list[str]:
    kinds: dict[str, Mapping[str, Any]] = {}
    for file in files:
        claims = jwt.decode(
            file.read_text(encoding="ascii").strip(),
            office.ring.receipt_public(),
            algorithms=["EdDSA"],
            audience=one.drop.partner,
        )
        ((urn, event),) = claims["events"].items()
        kinds[urn.rpartition(":")[2]] = event
    expected = one.answer["receipts"][-1]["kind"]
    wrong = [
        f"the receipt {kind} of {one.drop.file.name} is missing"
        for kind in ("received", expected)
        if kind not in kinds
    ]
    if expected in kinds and dict(kinds[expected]["rows"]) != dict(one.drop.rows):
        wrong.append(f"the receipt of {one.drop.file.name} tells other counts")
    return wrong


def prove(office: Office, receipts: list[Path]) -> tuple[int, list[str]]:
    """Verify the whole log as an auditor, against the receipts that senders hold; gives its size too."""
    with office.database.audit() as session:
        found = verify_database(
            session.connection(),
            log_key=office.ring.log_public(),
            receipt_key=office.ring.receipt_public(),
            origin=office.settings.origin,
            kept=[],
            receipts=[path.read_text(encoding="ascii").strip() for path in receipts],
        )
    return found.size, [f"{f.code} at {f.place}: {f.en}" for f in found.findings]
