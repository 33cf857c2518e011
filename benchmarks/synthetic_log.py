"""A synthetic transfer log: submissions with all that becomes of them, as the hub would log them.

The same seed tells the same stories; only the nonces differ, because the log makes them.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hub.ledger.entry import Actor, Commitment, Entry, Kind, Parcel, ReceiptDigest

HUB: Final = Actor(role="hub", id="exchange")
BEGIN: Final = datetime(2025, 3, 4, 7, tzinfo=UTC)


@dataclass(frozen=True)
class Terms:
    """What an agreement puts into each entry."""

    id: str
    version: str
    sender: str
    recipient: str
    purpose: str
    legal_basis: str
    columns: tuple[str, ...]
    digest: str = field(default="")

    @property
    def shared(self) -> dict[str, Any]:
        """The fields that every entry about a submission has of its agreement."""
        return {
            "agreement": self.id,
            "agreement_version": self.version,
            "agreement_digest": digest(self.id, self.version),
            "sender": self.sender,
            "recipient": self.recipient,
            "purpose": self.purpose,
            "legal_basis": self.legal_basis,
        }


AGREEMENTS: Final = (
    Terms(
        *("E3", "1.0.0", "kreisvolkshochschule", "integrationsbegleitung", "language_progress"),
        *(
            "consent: e3-einwilligung-v1",
            ("pseudonym", "course_kind", "cefr_reading", "cefr_writing", "hours"),
        ),
    ),
    Terms(
        *("E2", "1.1.0", "kreisvolkshochschule", "jobcenter", "irregular_attendance"),
        *("statute: AufenthG §88a(1), IntV §8(3)", ("last_name", "first_name", "birth_date", "missed_hours")),
    ),
    Terms(
        *("E7", "1.0.0", "arbeitgeber", "auslaenderbehoerde", "premature_end"),
        *("statute: AufenthG §4a(5)", ("last_name", "first_name", "birth_date", "fact", "date")),
    ),
)


def digest(*parts: object) -> str:
    """Make a digest up."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def entries(count: int, seed: int = 1, begin: datetime = BEGIN) -> Iterator[Entry]:
    """Tell ``count`` entries: whole stories as long as there is room, then readings of the log."""
    told = Telling(seed, begin)
    first = [told.entry("agreement", **_in_force(terms), reason="activated") for terms in AGREEMENTS][:count]
    yield from first
    left = count - len(first)
    number = 0
    while left:
        number += 1
        story = told.story(number)
        if len(story) > left:
            story = [told.entry("log_read", reason="entries", details={"first": 0, "last": number})]
        yield from story
        left -= len(story)


def _in_force(terms: Terms) -> dict[str, Any]:
    return {name: value for name, value in terms.shared.items() if name.startswith("agreement")}


class Telling:
    """Tells stories by a seed, a few seconds after each other."""

    def __init__(self, seed: int, begin: datetime = BEGIN) -> None:
        self._chance, self._now = random.Random(seed), begin  # noqa: S311 -- nothing here is secret

    def entry(self, kind: Kind, **said: Any) -> Entry:
        """Tell one entry, some seconds later."""
        self._now += timedelta(microseconds=self._chance.randrange(1_000, 9_000_000))
        return Entry(**{"kind": kind, "time": self._now, "actor": HUB, **said})

    def story(self, number: int) -> list[Entry]:
        """Tell what became of one submission: sent, refused, or held back and released by two people."""
        terms, fate = self._chance.choice(AGREEMENTS), self._chance.random()
        about = {"submission": f"S-{number:09d}", **terms.shared}
        content = {"sha256": digest(number, "file"), "bytes": self._chance.randrange(900, 90_000)}
        told = [self.entry("submission", **about, details=content), self._receipt(about, "received")]
        received = self._chance.randrange(1, 800)
        if fate < 0.1:  # noqa: PLR2004 -- one in ten
            counts = _counts(received, refused=received)
            reasons = {"file.columns": received}
            told.append(self.entry("outcome", **about, reason="file.columns", counts=counts, reasons=reasons))
            return [*told, self._receipt(about, "refused")]
        if fate < 0.15:  # noqa: PLR2004 -- one in twenty
            told += self._held_back(about, received)
        return told + self._sent(about, terms, number, received)

    def _sent(self, about: dict[str, Any], terms: Terms, number: int, received: int) -> list[Entry]:
        refused, withheld = self._chance.randrange(received), 0
        if terms.id == "E3":
            withheld = self._chance.randrange(received - refused)
        counts = _counts(
            received, delivered=received - refused - withheld, refused=refused, withheld=withheld
        )
        codes = {
            code: rows for code, rows in (("value.missing", refused), ("consent.missing", withheld)) if rows
        }
        parcel = Parcel(
            name=f"{terms.id}_{about['submission']}_1.csv",
            sha256=digest(number, "parcel"),
            bytes=self._chance.randrange(900, 90_000),
        )
        intent = self.entry(
            "intent",
            **about,
            counts=counts,
            columns=terms.columns,
            parcel=parcel,
            attempt=1,
            commitment=Commitment(
                scheme="rows-sha256-v1", root=digest(number, "rows"), rows=counts["delivered"]
            ),
            key_versions={"pseudonym": 1} if terms.id == "E3" else None,
            consent_policy_digest=digest("consents") if terms.id == "E3" else None,
        )
        outcome = self.entry(
            "outcome", **about, reason="acknowledged", counts=counts, reasons=codes or None, parcel=parcel
        )
        kind = "partially_accepted" if refused + withheld else "accepted"
        receipt = self._receipt(about, kind)
        taken = self.entry(
            "collected", **about | {"actor": Actor(role="partner", id=terms.recipient)}, parcel=parcel
        )
        return [intent, outcome, receipt, taken]

    def _held_back(self, about: dict[str, Any], received: int) -> list[Entry]:
        counts = _counts(received, quarantined=received)
        told = [
            self.entry(
                "outcome",
                **about,
                reason="batch.row_count",
                counts=counts,
                reasons={"batch.row_count": received},
            ),
            self._receipt(about, "quarantined"),
        ]
        for person in ("staff-1", "staff-2"):
            signed = {
                "round": 1,
                "matter": digest(about["submission"]),
                "grounds": "examined",
                "method": "key",
            }
            told.append(
                self.entry(
                    "review",
                    **about | {"actor": Actor(role="steward", id=person)},
                    reason="approve",
                    details=signed,
                )
            )
        return told

    def _receipt(self, about: dict[str, Any], kind: str) -> Entry:
        said = {name: about[name] for name in ("submission", "agreement", "sender")}
        return self.entry(
            "receipt", **said, receipt=ReceiptDigest(kind=kind, sha256=digest(about["submission"], kind))
        )


def _counts(received: int, **fates: int) -> dict[str, int]:
    names = ("delivered", "already_delivered", "refused", "withheld", "quarantined")
    return {"received": received, **{name: fates.get(name, 0) for name in names}}
