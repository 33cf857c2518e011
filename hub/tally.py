"""The tally of a submission: what became of its rows, fate by fate and reason by reason.

Every row received is counted exactly once (the conservation of rows); a tally that does not add up stops its
submission, loudly.
"""

from collections import Counter

import polars as pl
from sqlalchemy import delete
from sqlalchemy.orm import Session

from hub.database.models import ReasonCount, Submission
from hub.errors import Corrupt
from hub.states import Fate


class Tally:
    """Counts by fate and reason code; rows that are delivered need no reason."""

    def __init__(self) -> None:
        self.received = 0
        self.delivered = 0
        self.reasons: Counter[tuple[Fate, str]] = Counter()

    def refuse_first_reasons(self, findings: pl.DataFrame) -> None:
        """Count rows with findings (place, column, code, fate): once each, by their first finding.

        A row that the hub itself cannot judge is quarantined, whatever else is found on it.
        """
        ranked = findings.with_columns(rank=pl.when(pl.col("fate") == "quarantined").then(0).otherwise(1))
        first = ranked.sort("rank", maintain_order=True).unique("place", keep="first", maintain_order=True)
        for fate, code, rows in first.group_by("fate", "code").len().rows():
            self.reasons[Fate(fate), code] += rows

    def add(self, fate: Fate, code: str, rows: int) -> None:
        """Count rows that met a fate for one reason."""
        if rows:
            self.reasons[fate, code] += rows

    def of(self, fate: Fate) -> int:
        """Tell how many rows met a fate."""
        if fate is Fate.DELIVERED:
            return self.delivered
        return sum(rows for (met, _), rows in self.reasons.items() if met is fate)

    def codes(self, *fates: Fate) -> dict[str, int]:
        """Give the counts by reason code, of some fates or of all."""
        codes: Counter[str] = Counter()
        for (fate, code), rows in self.reasons.items():
            if not fates or fate in fates:
                codes[code] += rows
        return dict(sorted(codes.items()))

    def counts(self) -> dict[str, int]:
        """Give received and the count of every fate."""
        return {"received": self.received, **{fate.value: self.of(fate) for fate in Fate}}

    def facts(self) -> list[list[str | int]]:
        """Give the reasons in a form that a step result keeps."""
        return [[fate.value, code, rows] for (fate, code), rows in sorted(self.reasons.items())]

    def take(self, facts: list[list[str | int]]) -> None:
        """Take in the reasons that a step result kept."""
        for fate, code, rows in facts:
            self.reasons[Fate(str(fate)), str(code)] += int(rows)

    def settle(self, session: Session, row: Submission) -> None:
        """Write the tally to the submission, where the database holds it as well.

        Raises:
            Corrupt: ``rows.lost`` if it does not add up.
        """
        counts = self.counts()
        found = sum(counts[fate.value] for fate in Fate)
        if found != self.received:
            raise Corrupt(
                "rows.lost",
                f"{row.id}: expected the fate of {self.received} rows, found that of {found}",
                "keep the submission as it is and report this: it is a defect of the hub",
            )
        for name, rows in counts.items():
            setattr(row, name, rows)
        session.execute(delete(ReasonCount).where(ReasonCount.submission == row.id))
        session.add_all(
            ReasonCount(submission=row.id, fate=fate.value, code=code, rows=rows)
            for (fate, code), rows in self.reasons.items()
        )
        session.flush()
