"""Proofs to carry away: that an entry is in the log, and that a row was in a transfer.

A row's text is brought by whoever holds the parcel: the hub opens no parcel for a proof, and keeps none. What
it adds are the salt and the way to the root, from the seed it keeps apart from the log (`hub.salts`).
"""

import hashlib
import json
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

from sqlalchemy import or_, select

from hub import audit, egress, registry, salts
from hub.audit import Exhibit
from hub.database.models import Parcel, Submission
from hub.errors import Corrupt, Refused
from hub.ledger import commitment
from hub.ledger.entry import Actor
from hub.office import Office
from schemas.agreement import Agreement

FORMAT = 1


@dataclass(frozen=True)
class Transfer:
    """A parcel as it was sent: its id and name, digest, rows, the agreement, and where its intent stands."""

    parcel: str
    name: str
    sha256: str
    rows: int
    intent: int
    agreement: Agreement


def transfer(office: Office, name: str) -> Transfer:
    """Find a transfer by the submission it came from, or by its parcel's id or name.

    Of a submission whose parcels were stopped and made anew it is the last.

    Raises:
        Refused: ``prove.unknown``.
    """
    query = (
        select(Parcel, Submission)
        .join(Submission, Submission.id == Parcel.submission)
        .where(or_(Parcel.submission == name, Parcel.id == name, Parcel.name == name))
        .order_by(Parcel.attempt.desc())
        .limit(1)
    )
    with office.database.transaction() as session:
        found = session.execute(query).one_or_none()
        if found is None:
            raise Refused(
                "prove.unknown",
                "no transfer of this submission or parcel was intended here",
                "see: hub submission list, hub parcel list; or give an entry's index in the log",
            )
        parcel, row = found
        agreement = registry.version(session, row.agreement, row.agreement_version)
        return Transfer(parcel.id, parcel.name, parcel.sha256, parcel.rows, parcel.intent_index, agreement)


def of_entry(office: Office, reader: Actor, index: int) -> tuple[Exhibit, dict[str, Any]]:
    """Prove an entry; the reading is noted before. Returns it, and the proof as a file holds it.

    Raises:
        Refused: ``ledger.index``, and ``prove.erased`` for an entry whose body has been erased.
        Corrupt: ``prove.flaw`` where the hub's own verifier finds none of it proved.
    """
    shown = audit.examine(office, reader, index, purpose="proof")
    return shown, _entry_part(shown)


def of_row(
    office: Office, reader: Actor, sent: Transfer, number: int, parcel: BufferedReader
) -> dict[str, Any]:
    """Prove one row of a transfer, by its number (from 1) in the parcel as its recipient has it.

    Raises:
        Refused: ``prove.parcel`` for another file than the parcel, ``prove.row`` for a row that it has not,
            ``prove.shredded`` once the salts are gone, ``prove.uncommitted`` for an intent that commits to no
            rows, and as `of_entry` does.
        Corrupt: ``prove.commitment`` where parcel, salts and log do not fit together.
    """
    with office.database.transaction() as session:
        seed = salts.seed(session, office, sent.parcel)
    if seed is None:
        raise Refused(
            "prove.shredded",
            f"the salts of {sent.name} were deleted at the end of their period",
            "its rows can no longer be proved; the transfer can: leave --row out",
        )
    texts = _texts(sent, parcel)
    if not 1 <= number <= len(texts):
        raise Refused(
            "prove.row", f"expected a row from 1 to {len(texts)}, got {number}", "the header does not count"
        )
    shown = audit.examine(office, reader, sent.intent, purpose="row_proof")
    file = _entry_part(shown)
    said = json.loads(file["entry"]).get("commitment")
    if said is None:
        raise Refused(
            "prove.uncommitted",
            f"the intent of {sent.name} is older than row commitments",
            "the transfer can be proved: leave --row out",
        )
    made = commitment.prove(seed, texts, number - 1)
    if said != {"scheme": commitment.SCHEME, "root": made.root.hex(), "rows": made.rows}:
        raise Corrupt(
            "prove.commitment",
            f"the rows of {sent.name} under their salts do not have the root that the log names",
            "run `hub log verify`, and find out who wrote to the hub's database",
        )
    return file | {
        "scheme": commitment.SCHEME,
        "index": made.index,
        "rows": made.rows,
        "salt": made.salt.hex(),
        "row": made.row.decode(),
        "path": [sibling.hex() for sibling in made.path],
    }


def _texts(sent: Transfer, parcel: BufferedReader) -> list[bytes]:
    """Read the rows of a parcel as the egress gate read them, once it is known to be the very file."""
    if hashlib.file_digest(parcel, "sha256").hexdigest() != sent.sha256:
        raise Refused(
            "prove.parcel",
            f"expected the parcel {sent.name} byte for byte, got another file",
            "fetch it as its recipient (hub parcel fetch), and save it from no other program",
        )
    parcel.seek(0)
    texts: list[bytes] = []
    for frame in egress.frames(parcel, sent.agreement):
        texts += commitment.row_texts(frame)
    return texts


def _entry_part(shown: Exhibit) -> dict[str, Any]:
    if shown.body is None:
        raise Refused(
            "prove.erased",
            f"the body of entry {shown.index} was erased at the end of its period",
            "that it was there is proved by its leaf hash: see the log's page of the entry",
        )
    if shown.flaw is not None:
        raise Corrupt(
            "prove.flaw",
            f"entry {shown.index} is not proved ({shown.flaw})",
            "run `hub log verify`, and keep the database as it is for the auditor",
        )
    return {"format": FORMAT, "entry": shown.body.decode(), "proof": shown.proof}
