"""The export of the auditor's kit: one archive, from one moment of the log, logged before anything is read.

What stands in it is described in docs/reference/kit.md. It streams: the memory that it takes does not grow
with the log.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import IO, Final
from zoneinfo import ZoneInfo

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from hub import logbook
from hub.case import now
from hub.database.models import LedgerCheckpoint, LedgerCosignature, LedgerEntry
from hub.errors import Refused
from hub.kit import table
from hub.kit.archive import Archive, created, must_be_new
from hub.kit.browser import build_page
from hub.kit.program import build_program, sentences
from hub.ledger import store, tiles
from hub.ledger.entry import Actor, Entry
from hub.office import Office

BERLIN: Final = ZoneInfo("Europe/Berlin")
EXPLAINS: Final = ("retention", "restore")
"""Kinds of entries that say why others have no body; they go into every kit."""

_AT_ONCE: Final = 1000  # entries between two writes
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Period:
    """The days of a kit, both included, as Berlin's clocks have them; None is the log's beginning or end."""

    first: date | None = None
    last: date | None = None

    def limits(self) -> tuple[datetime | None, datetime | None]:
        """Give the first instant of the period, and the first after it."""
        begin = datetime.combine(self.first, time(), BERLIN) if self.first else None
        end = datetime.combine(self.last + timedelta(days=1), time(), BERLIN) if self.last else None
        return begin, end


@dataclass(frozen=True)
class Kit:
    """A kit that was written: its file, the tree's size, its entries, and how many of them are erased."""

    file: Path
    origin: str
    size: int
    first: int
    last: int
    erased: int


def export(office: Office, reader: Actor, target: Path, period: Period, told: Tell) -> Kit:
    """Log the reading, durably, and write the kit of a period.

    Raises:
        Refused: ``kit.exists``; ``kit.period`` where nothing was logged in that time; ``ledger.empty``.
        Transient: ``disk.full``, ``disk.write``, and as the database does.
    """
    must_be_new(target)
    with office.database.transaction() as session:
        days = {"from": period.first, "to": period.last}
        details: dict[str, str | int] = {name: day.isoformat() for name, day in days.items() if day}
        reading = Entry(
            kind="log_read", time=now(session), actor=reader, reason="export", details=details or None
        )
        logbook.append(session, office, [reading])
    with office.database.audit() as session:
        return write(session, target, office.settings.origin, period, told)


def write(session: Session, target: Path, origin: str, period: Period, told: Tell) -> Kit:
    """Write the kit of a period as the session sees the log; it must see one moment. Raises as `export`."""
    store.latest_checkpoint(session)  # refuses an empty log
    size = session.scalars(select(func.max(LedgerCheckpoint.size))).one()
    first, last = _span(session, period)
    at = now(session)
    days = (day and day.isoformat() for day in (period.first, period.last))
    contents = {"format": 1, "origin": origin, "from": next(days), "to": next(days)} | {
        "first": first,
        "last": last,
        "size": size,
        "made_at": at.isoformat(timespec="seconds"),
        "hub": _version(),
    }
    with created(target) as archive:
        _add_program(archive)
        archive.add("manifest.json", json.dumps(contents, indent=1).encode() + b"\n")
        told("checkpoints")
        _add_checkpoints(session, archive, size)
        told("hash tiles")
        for path, hashes in tiles.of(session, size):
            archive.add_hashes(path, hashes)
        drawn = archive.scratch / "entries.csv"
        with archive.stream("entries.tsv") as sink, drawn.open("wb") as rows:
            erased = _add_entries(session, sink, rows, (first, last), told)
        archive.add("retention.tsv", _explanations(session, first, last, size))
        told("tables")
        parquet = archive.scratch / "entries.parquet"
        table.write_parquet(drawn, parquet)
        archive.take_in("tables/entries.csv", drawn)
        archive.take_in("tables/entries.parquet", parquet)
    return Kit(target, origin, size, first, last, erased)


def _span(session: Session, period: Period) -> tuple[int, int]:
    begin, end = period.limits()
    chosen = select(func.min(LedgerEntry.index), func.max(LedgerEntry.index))
    if begin:
        chosen = chosen.where(LedgerEntry.recorded_at >= begin)
    if end:
        chosen = chosen.where(LedgerEntry.recorded_at < end)
    first, last = session.execute(chosen).one()
    if first is None:
        message = "expected entries in this period, found none"
        raise Refused("kit.period", message, "name other days, or none for the whole log")
    return first, last


def _add_program(archive: Archive) -> None:
    archive.add("README.txt", (files("hub.kit") / "paper" / "README.txt").read_bytes())
    archive.add("pruefen.py", build_program().encode())
    archive.add("pruefen.html", build_page(sentences()).encode())


def _add_checkpoints(session: Session, archive: Archive, size: int) -> None:
    table, below = LedgerCheckpoint, LedgerCosignature
    ordered = aggregate_order_by(literal(""), below.witness, below.key_id)
    lines = select(func.string_agg(below.line, ordered)).where(below.size == table.size).scalar_subquery()
    notes = select(table.size, table.note + func.coalesce(lines, literal(""))).order_by(table.size)
    newest = ""
    with archive.stream("checkpoints.jsonl") as sink:
        stored = session.execute(notes.where(table.size <= size).execution_options(yield_per=1000))
        for some in stored.partitions(_AT_ONCE):
            written = (
                json.dumps({"size": at, "note": note}, ensure_ascii=False, separators=(",", ":"))
                for at, note in some
            )
            sink.write("".join(f"{line}\n" for line in written).encode())
            newest = some[-1][1]
    archive.add("checkpoint", newest.encode())


def _add_entries(
    session: Session, sink: IO[bytes], rows: IO[bytes], span: tuple[int, int], told: Tell
) -> int:
    """Write the entries and their table; returns how many have no body any more."""
    rows.write(table.heading())
    erased = 0
    for some in _batched(store.entries(session, *span)):
        entries = [(one.index, one.body or b"") for one in some]
        sink.write(_lines(entries))
        rows.write(table.lines(entries))
        erased += sum(not body for _, body in entries)
        told(f"entry {entries[-1][0]} of {span[0]} to {span[1]}")
    return erased


def _explanations(session: Session, first: int, last: int, size: int) -> bytes:
    """Write the entries outside the period that explain erased bodies: a few in a year."""
    chosen = select(LedgerEntry.index, LedgerEntry.body).where(
        LedgerEntry.kind.in_(EXPLAINS), LedgerEntry.index < size, ~LedgerEntry.index.between(first, last)
    )
    return _lines(
        [(index, body or b"") for index, body in session.execute(chosen.order_by(LedgerEntry.index))]
    )


def _batched(entries: Iterator[store.Stored]) -> Iterator[list[store.Stored]]:
    while some := list(islice(entries, _AT_ONCE)):
        yield some


def _lines(entries: list[tuple[int, bytes]]) -> bytes:
    sink = io.BytesIO()
    for index, body in entries:
        sink.write(b"%d\t%b\n" % (index, body))
    return sink.getvalue()


def _version() -> str:
    try:
        return version("landkreis-data-exchange-hub")
    except PackageNotFoundError:  # run from its sources
        return "unreleased"
