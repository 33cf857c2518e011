"""Reading the log: every reading is logged, what cannot be logged cannot be read, a spoiled entry shows."""

import itertools
from typing import Any

import psycopg
import pytest

from hub import audit
from hub.errors import Corrupt, Refused
from hub.ledger.entry import Actor
from hub.ledger.search import Criteria
from hub.runtime import open_office
from tests.e2e.hub import Hub

READERS = itertools.count()


def anybody() -> Actor:
    """A reader who has read nothing yet."""
    return Actor(role="auditor", id=f"M-{next(READERS):08}")


def newest(hub: Hub) -> tuple[int, dict[str, Any]]:
    log = hub.log()
    return len(log) - 1, log[-1]


def test_a_list_is_logged_with_what_it_showed(hub: Hub) -> None:
    with open_office(hub.settings) as office:
        before, reader = len(hub.log()), anybody()
        shown = audit.browse(office, reader, limit=1)
        assert (shown.size, [line.index for line in shown.lines]) == (before, [before - 1])
        assert shown.older == before - 2
        index, entry = newest(hub)
        assert index == before
        assert (entry["kind"], entry["reason"]) == ("log_read", "entries")
        assert entry["actor"] == {"id": reader.id, "role": "auditor"}
        assert entry["details"] == {"first": before - 1, "last": before - 1}
        only = audit.browse(office, reader, Criteria(kind="agreement"), upto=before, limit=50)
        assert {line.entry["kind"] for line in only.lines} == {"agreement"}
        indexes = sorted(line.index for line in only.lines)
        assert newest(hub)[1]["details"] == {"first": indexes[0], "last": indexes[-1], "of_kind": "agreement"}
        assert audit.browse(office, reader, Criteria(submission="S-20261122-7KQ2M9XW4T")).lines == ()
        assert newest(hub)[1]["details"] == {"of_submission": "unknown"}


def test_every_entry_is_proved_by_the_verifiers_own_code(hub: Hub) -> None:
    with open_office(hub.settings) as office:
        for index in range(len(hub.log())):
            size = newest(hub)[0] + 1
            shown = audit.examine(office, anybody(), index)
            assert shown.proved is not None
            assert shown.proved.promise.size == size, "proved in the log as it was before this look"
            told = newest(hub)[1]
            assert (told["reason"], told["details"]) == ("entry", {"first": index, "last": index})
        assert hub.run("log", "verify").json["ok"]


def test_an_entry_that_is_not_there_is_refused(hub: Hub) -> None:
    with open_office(hub.settings) as office, pytest.raises(Refused) as refused:
        audit.examine(office, anybody(), 1_000_000)
    assert refused.value.code == "ledger.index"


def test_what_cannot_be_logged_cannot_be_read(hub: Hub) -> None:
    with open_office(hub.settings) as office, hub.superuser() as database:
        database.execute("REVOKE INSERT ON ledger.entry FROM hub_application")
        try:
            for look in (
                lambda: audit.browse(office, anybody()),
                lambda: audit.examine(office, anybody(), 0),
            ):
                with pytest.raises(Corrupt):
                    look()
        finally:
            database.execute("GRANT INSERT ON ledger.entry TO hub_application")


def test_a_changed_entry_is_shown_as_not_proved(hub: Hub) -> None:
    def spoil(database: psycopg.Connection, old: bytes, new: bytes) -> None:
        database.execute("UPDATE ledger.entry SET body = %s WHERE index = 0 AND body = %s", (new, old))

    with open_office(hub.settings) as office, hub.superuser() as database:
        whole = audit.examine(office, anybody(), 0).body
        assert whole is not None
        for broken in (whole.replace(b"activated", b"suspended"), b"not JSON"):
            spoil(database, whole, broken)
            shown = audit.examine(office, anybody(), 0)
            assert (shown.proved, shown.flaw) == (None, "path")
            assert audit.browse(office, anybody(), upto=0).lines[0].index == 0
            spoil(database, broken, whole)
        assert audit.examine(office, anybody(), 0).flaw is None
