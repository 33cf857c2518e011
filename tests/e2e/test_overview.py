"""The lists that pages show: every submission once, newest first, wherever one turns."""

import io

from hub import intake, overview
from hub.office import Office
from hub.runtime import open_office
from schemas.samples import csv_bytes, sample
from tests.e2e.hub import Hub, agreement


def file(name: str, seed: int) -> io.BytesIO:
    """A small file of an agreement."""
    return io.BytesIO(csv_bytes(sample(agreement(name), 3, seed)))


def turned(office: Office, limit: int, agreement: str | None = None) -> list[str]:
    """All submissions, page by page."""
    found: list[str] = []
    while lines := overview.listed(
        office, agreement=agreement, before=found[-1] if found else None, limit=limit
    ):
        assert len(lines) <= limit
        found += [line["submission"] for line in lines]
    return found


def test_turning_the_pages_shows_every_submission_once(hub: Hub) -> None:
    names = ["E2", "E3", "E2", "E2", "E3", "E2", "E3"]
    with open_office(hub.settings) as office:
        sent = [
            intake.accept(
                office, io.BytesIO(csv_bytes(sample(agreement(name), 3, at))), name, intake.Totals()
            )
            for at, name in enumerate(names)
        ]
        with hub.superuser() as database:  # two came in at the very same instant
            change = "UPDATE hub.submission SET created_at = %s WHERE id IN (%s, %s)"
            database.execute(change, ["2026-01-01T12:00:00Z", sent[0], sent[1]])
        newest_first = [*reversed(sent[2:]), *sorted(sent[:2], reverse=True)]
        for limit in (1, 2, 3, 50):
            assert turned(office, limit) == newest_first
        of_e3 = [one for one in newest_first if names[sent.index(one)] == "E3"]
        assert turned(office, 2, "E3") == of_e3
        assert turned(office, 2, "E9") == []
        assert overview.states(office) == {"received": 7}
        assert overview.states(office, agreement="E3") == {"received": 3}
        assert overview.listed(office, state="acknowledged") == []
        assert [change["state"] for change in overview.history(office, sent[0])] == ["received"]
        way = overview.routes(office)["E3", agreement("E3").version]
        assert (way["sender"], way["title"]["de"]) == (agreement("E3").sender.name, agreement("E3").title.de)
        assert overview.reasons_of(office, sent) == {}
