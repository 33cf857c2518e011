"""The life of a submission, as data.

The table is the only truth: migrations write it into PostgreSQL, where a trigger holds every change of state
to it; ``docs/submission-states.md`` is drawn from it; the steps and the pages ask it.
"""

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where a submission is; the first six are the straight way."""

    RECEIVED = "received"
    VALIDATED = "validated"
    AUTHORISED = "authorised"
    PROTECTED = "protected"
    DELIVERED = "delivered"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    AWAITING_REVIEW = "awaiting_review"
    WITHDRAWN = "withdrawn"


class Transition(NamedTuple):
    """One allowed change of state: who makes it, and why it exists."""

    source: State
    target: State
    made_by: str
    why: str


class Fate(StrEnum):
    """What became of a row; every row received has exactly one at the end."""

    DELIVERED = "delivered"
    ALREADY_DELIVERED = "already_delivered"
    REFUSED = "refused"
    WITHHELD = "withheld"
    QUARANTINED = "quarantined"


TRANSITIONS: tuple[Transition, ...] = (
    Transition(State.RECEIVED, State.VALIDATED, "validate", "rows and batch hold against the agreement"),
    Transition(State.RECEIVED, State.REFUSED, "receive", "the file cannot be taken as a whole"),
    Transition(State.RECEIVED, State.QUARANTINED, "validate", "the batch fails its expectations"),
    Transition(State.RECEIVED, State.WITHDRAWN, "sender", "recalled before anything was sent"),
    Transition(State.VALIDATED, State.AUTHORISED, "authorise", "every row has a decision: the Clearance"),
    Transition(State.VALIDATED, State.WITHDRAWN, "sender", "recalled before anything was sent"),
    Transition(State.AUTHORISED, State.PROTECTED, "protect", "the parcel holds what the Clearance covers"),
    Transition(State.AUTHORISED, State.WITHDRAWN, "sender", "recalled before anything was sent"),
    Transition(State.PROTECTED, State.DELIVERED, "deliver", "the gate passed it and the recipient has it"),
    Transition(State.PROTECTED, State.VALIDATED, "deliver", "a consent ended meanwhile: decide again"),
    Transition(State.PROTECTED, State.QUARANTINED, "deliver", "the egress gate stopped the parcel"),
    Transition(State.PROTECTED, State.WITHDRAWN, "sender", "recalled before anything was sent"),
    Transition(State.DELIVERED, State.ACKNOWLEDGED, "acknowledge", "outcome logged, receipt issued"),
    Transition(State.QUARANTINED, State.AWAITING_REVIEW, "reviewers", "the first of two has approved it"),
    Transition(State.QUARANTINED, State.REFUSED, "reviewers, retention", "rejected or out of time"),
    Transition(State.QUARANTINED, State.WITHDRAWN, "sender", "recalled before anything was sent"),
    Transition(State.AWAITING_REVIEW, State.VALIDATED, "reviewers", "released by two people"),
    Transition(State.AWAITING_REVIEW, State.REFUSED, "reviewers, retention", "rejected or out of time"),
    Transition(State.AWAITING_REVIEW, State.WITHDRAWN, "sender", "recalled before anything was sent"),
)

FINAL = frozenset({State.ACKNOWLEDGED, State.REFUSED, State.WITHDRAWN})
RESTING = frozenset({State.QUARANTINED, State.AWAITING_REVIEW})


def diagram() -> str:
    """Draw the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> received: intake"]
    lines += [f"    {t.source} --> {t.target}: {t.made_by}" for t in TRANSITIONS]
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines) + "\n"
