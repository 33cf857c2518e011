"""A search for a person's values wherever they could have come to lie, in every form they could take."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from psycopg import sql

from tests.e2e.hub import Hub

BLOCK_EDGES = 2  # signs of a base64 text that depend on what stands beside it


def forms(value: str) -> dict[str, bytes]:
    """Every form in which a value is looked for; letter case plays no role but in base64."""
    bare = re.sub(r"[^0-9A-Za-z]", "", value)
    words = {"plain": value, "bare": bare, "turned": value[::-1]}
    found: dict[str, bytes] = {}
    for name, word in words.items():
        encoded = word.encode()
        found[name] = encoded.lower()
        found[f"{name} utf-16"] = word.encode("utf-16-le").lower()
        found[f"{name} utf-16-be"] = word.encode("utf-16-be").lower()
        found[f"{name} hex"] = encoded.hex().encode()
        found[f"{name} hex, spaced"] = encoded.hex(" ").encode()
    found["percent"] = quote(value, safe="").encode().lower()
    found["percent, every sign"] = "".join(f"%{sign:02x}" for sign in value.encode()).encode()
    found["escaped"] = "".join(f"\\u{ord(sign):04x}" for sign in value).encode()
    return {name: form for name, form in found.items() if len(form) >= len(bare)}


def base64_forms(value: str) -> list[bytes]:
    """A value inside a base64 text, whatever stands before it, in both alphabets."""
    found = []
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + value.encode()).rstrip(b"=")
        inner = text[BLOCK_EDGES * (shift > 0) + (shift > 0) : len(text) - BLOCK_EDGES]
        found += [inner, inner.translate(bytes.maketrans(b"+/", b"-_"))]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Hit:
    """Where a value was found, and as what; never shown with the value's neighbours."""

    place: str
    value: str
    form: str


class Search:
    """Looks for some values."""

    def __init__(self, values: Iterable[str]) -> None:
        self._forms = {value: forms(value) for value in values}
        self._base64 = {
            value: {form for cased in (value, value.lower(), value.upper()) for form in base64_forms(cased)}
            for value in self._forms
        }

    def within(self, place: str, content: bytes) -> list[Hit]:
        """Look through some bytes."""
        low = content.lower()
        hits = [
            Hit(place, value, name)
            for value, kinds in self._forms.items()
            for name, form in kinds.items()
            if form in low
        ]
        return hits + [
            Hit(place, value, "base64")
            for value, kinds in self._base64.items()
            if any(form in content for form in kinds)
        ]

    def everywhere(self, places: Iterable[tuple[str, bytes]]) -> list[Hit]:
        """Look through many places."""
        return [hit for place, content in places for hit in self.within(place, content)]


def said(hub: Hub) -> Iterator[tuple[str, bytes]]:
    """Everything that the hub has said on stdout and stderr."""
    yield "stdout and stderr", "\0".join(hub.said).encode()


def files(hub: Hub) -> Iterator[tuple[str, bytes]]:
    """Every file under HUB_HOME with its name: keys, sealed files, logs, the database's own and its WAL."""
    with hub.superuser() as database:
        database.execute("CHECKPOINT")
        database.execute("SELECT pg_switch_wal()")
        database.execute("CHECKPOINT")
    for path in sorted(hub.home.rglob("*")):
        name = str(path.relative_to(hub.home))
        yield f"name of {name}", name.encode()
        if path.is_file():
            # Log segments end in megabytes of zeros; one is kept, for it may be half of a last sign.
            yield name, path.read_bytes().rstrip(b"\0") + b"\0"


def replies(hub: Hub, submissions: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Receipts and reports as senders get them, receipts also unpacked."""
    for submission in submissions:
        for name, path in hub.saved(submission).items():
            content = path.read_bytes()
            yield f"{submission} {name}", content
            if name.endswith(".jwt"):
                for part in content.strip().split(b"."):
                    yield (
                        f"{submission} {name} unpacked",
                        base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)),
                    )


def tables(hub: Hub, database: str = "hub") -> Iterator[tuple[str, bytes]]:
    """Every table's rows as PostgreSQL writes them, as text and as raw bytes; statistics of columns too."""
    listed = """
        SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'm') AND (n.nspname NOT IN ('pg_catalog', 'information_schema')
            OR c.relname IN ('pg_statistic', 'pg_description', 'pg_largeobject', 'pg_shdescription'))
    """
    with hub.superuser(database) as connection:
        connection.execute("ANALYZE")
        for schema, name in connection.execute(listed).fetchall():
            table = sql.Identifier(schema, name)
            for kind, query in (
                ("text", sql.SQL("COPY (SELECT t::text FROM {} t) TO STDOUT").format(table)),
                ("raw", sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(table)),
            ):
                if (schema, kind) == ("pg_catalog", "raw"):
                    continue  # columns of any type are written as text only
                with connection.cursor() as cursor, cursor.copy(query) as copy:
                    yield f"{database}: {schema}.{name} as {kind}", b"".join(bytes(piece) for piece in copy)


def told_apart(hits: Iterable[Hit]) -> Mapping[str, set[str]]:
    """Places by value, for a failing test to show."""
    found: dict[str, set[str]] = {}
    for hit in hits:
        found.setdefault(f"{hit.value} ({hit.form})", set()).add(hit.place)
    return found
