"""Authorisation: the decision, row by row, whether a row may leave, on exactly one legal basis.

The statute that the agreement names allows every valid row; a consent allows the rows of the persons who have
given one that is valid now. What has been delivered before is not delivered again. The result is the
Clearance (Freigabe); no later step runs without one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from psycopg import Connection

from hub import consent, delivered, minimisation, persons
from hub.case import Case, Result
from hub.database.session import raw
from hub.delivered import Register
from hub.errors import Corrupt
from hub.office import Office
from hub.side_by_side import side_by_side
from hub.states import Fate
from hub.tally import Tally
from schemas.agreement import Agreement, ConsentBasis

ROWS_ASKED = 1_000_000  # rows whose persons are looked up in one question to the database
FATES = pl.Enum([fate.value for fate in Fate])
_PLACES = {fate.value: place for place, fate in enumerate(Fate)}
CODES = (None, "person.unknown", "delivery.already_delivered", *consent.CODES[1:])
PERSON_UNKNOWN, ALREADY_DELIVERED = 1, 2
_OF_CONSENT = np.array([0, *range(3, len(CODES))], dtype=np.int32)  # consent.CODES to CODES


@dataclass(frozen=True)
class Decisions:
    """The decisions on a part: ``frame`` has place, fate, code, and the person as two 64-bit words."""

    frame: pl.DataFrame
    macs: NDArray[np.uint8]


@dataclass(frozen=True)
class Standing:
    """How the persons of some rows stand: their ids (n, 16), and the verdict on each as a place in CODES."""

    ids: NDArray[np.uint8]
    verdicts: NDArray[np.int32]


def decided(case: Case, judged: Result, register: Register, at: datetime) -> Iterator[Decisions]:
    """Decide on all valid rows of a submission as they stand at an instant, part after part."""

    def read_and_decide(part: tuple[int, Standing]) -> Decisions:
        rows = case.part(judged, "rows", part[0])
        return decide(case.office, case.agreement, register, rows, part[1])

    asked = case.agreement.person.number if case.agreement.person else "place"
    parts_asked = max(1, ROWS_ASKED // case.office.settings.part_rows)
    for first in range(1, judged.parts + 1, parts_asked):
        span = range(first, min(first + parts_asked, judged.parts + 1))
        numbers = [frame[asked] for frame in case.parts(judged, "rows", span, [asked])]
        with case.office.database.transaction() as session:
            persons_of = list(standing(raw(session), case.office, case.agreement, numbers, at))
        yield from side_by_side(read_and_decide, zip(span, persons_of, strict=True))


def standing(
    connection: Connection, office: Office, agreement: Agreement, parts: Sequence[pl.Series], at: datetime
) -> Iterator[Standing]:
    """Find the persons behind the numbers of some parts, and ask once for all whether they consent.

    One question for a million numbers costs the database little more than one for a hundred thousand.
    """
    sizes = [len(numbers) for numbers in parts]
    verdicts = np.zeros(sum(sizes), dtype=np.int32)
    ids = np.zeros((sum(sizes), 16), dtype=np.uint8)
    if agreement.person is not None:
        space = agreement.person.space
        macs = np.concatenate([persons.number_macs(office.ring, space, numbers) for numbers in parts])
        ids, known = persons.find(connection, space, macs)
        verdicts[~known] = PERSON_UNKNOWN
        if isinstance(agreement.legal_basis, ConsentBasis):
            verdicts[known] = _OF_CONSENT[consent.decide(connection, agreement, ids[known], at)]
    done = 0
    for size in sizes:
        yield Standing(ids[done : done + size], verdicts[done : done + size])
        done += size


def decide(
    office: Office, agreement: Agreement, register: Register, rows: pl.DataFrame, persons_of: Standing
) -> Decisions:
    """Decide on the rows of a part (place and canonical fields) by the standing of their persons."""
    ids, verdicts = persons_of.ids, persons_of.verdicts.copy()
    contents = delivered.row_macs(
        office, agreement, rows.select(agreement.delivery.key), minimisation.content(rows, agreement, ids)
    )
    repeated = (verdicts == 0) & delivered.known(register, contents)
    verdicts[repeated] = ALREADY_DELIVERED
    fates = np.full(rows.height, _PLACES[Fate.WITHHELD.value], dtype=np.uint32)
    fates[verdicts == 0] = _PLACES[Fate.DELIVERED.value]
    fates[repeated] = _PLACES[Fate.ALREADY_DELIVERED.value]
    words = np.ascontiguousarray(ids).view("<u8").reshape(-1, 2)
    frame = pl.DataFrame(
        {
            "place": rows["place"],
            "fate": pl.Series(fates).replace_strict(
                list(_PLACES.values()), list(_PLACES), return_dtype=FATES
            ),
            "code": pl.Series(verdicts).replace_strict(
                list(range(len(CODES))), list(CODES), return_dtype=pl.Categorical
            ),
            "person_high": words[:, 0],
            "person_low": words[:, 1],
        }
    )
    return Decisions(frame, contents)


def count(decisions: pl.DataFrame, tally: Tally) -> None:
    """Add the decisions on a part to a submission's tally."""
    for fate, code, rows in decisions.group_by("fate", "code").len().rows():
        if fate == Fate.DELIVERED.value:
            tally.delivered += rows
        else:
            tally.add(Fate(fate), code, rows)


def person_ids(decisions: pl.DataFrame) -> NDArray[np.uint8]:
    """Give the persons of decisions as ids of shape (n, 16)."""
    words = decisions.select("person_high", "person_low").to_numpy(order="c")
    return np.ascontiguousarray(words, dtype="<u8").view(np.uint8).reshape(-1, 16)


class Digest:
    """The running digest over all decisions, by which a Clearance is frozen."""

    def __init__(self, agreement: Agreement) -> None:
        self._hash = hashlib.sha256(agreement.digest.encode())

    def add(self, decisions: pl.DataFrame) -> None:
        """Take in the decisions of the next part."""
        self._hash.update(decisions["place"].to_numpy().astype("<u4").tobytes())
        self._hash.update(decisions["fate"].to_physical().to_numpy().astype("u1").tobytes())
        self._hash.update(person_ids(decisions).tobytes())

    def must_be(self, frozen: str) -> None:
        """Hold the decisions taken in against those that a Clearance has frozen.

        Raises:
            Corrupt: ``clearance.changed``; nothing made of other decisions may leave.
        """
        if self.hexdigest() != frozen:
            raise Corrupt(
                "clearance.changed",
                "expected the decisions that the Clearance has frozen, found others",
                "keep the submission as it is and find out who wrote to HUB_HOME/data",
            )

    def hexdigest(self) -> str:
        """Give the digest in hex."""
        return self._hash.hexdigest()
