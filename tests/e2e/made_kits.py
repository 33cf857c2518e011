"""Kits made by hand, for the page that verifies them: any log, any damage, without a hub.

The format is that of docs/reference/kit.md. Keys are fresh in each `Log`; everything else is a rule of its
arguments, so that a test can say what it expects.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import jwt
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.kit import table
from hub.ledger.checkpoint import Checkpoint, sign_checkpoint, verifier_key

ORIGIN = "hub.landkreis.example/log"
BEGIN = datetime(2026, 1, 5, 8, tzinfo=UTC)
FATES = ("delivered", "already_delivered", "refused", "withheld", "quarantined")
Body = dict[str, Any]


def digest(text: str) -> str:
    """A digest for whatever needs one."""
    return sha256(text.encode()).hexdigest()


def counts(received: int, **fates: int) -> dict[str, int]:
    """All six counts; what is not told was delivered."""
    told = dict.fromkeys(FATES, 0) | fates
    return {"received": received, **told, "delivered": received - sum(fates.values())}


def story(number: int) -> list[Body]:
    """One submission from its arrival to its receipt: six entries."""
    name, rows = f"S-20260105-{number:010d}", 10 + number % 7
    whose = {"submission": name, "agreement": f"E{1 + number % 3}", "agreement_version": "1.0.0"}
    parcel = {"name": f"{name}.csv", "sha256": digest(name), "bytes": 100 * rows}
    sent = {
        **whose,
        "agreement_digest": digest("agreement"),
        "sender": "Jobcenter",
        "recipient": "Jugendamt Gräfin-Straße",
        "purpose": "Beratung",
        "legal_basis": 'SGB X § 69, "Erfüllung"',
        "columns": ["vorname", "größe"],
        "counts": counts(rows, refused=2),
        "parcel": parcel,
        "attempt": 1,
        "commitment": {"scheme": "rows-sha256-v1", "root": digest(f"{name} rows"), "rows": rows - 2},
    }
    return [
        {"kind": "submission", **whose},
        {"kind": "receipt", **whose, "receipt": {"kind": "received", "sha256": digest(f"{name} r")}},
        {"kind": "decision", **whose, "counts": counts(rows, refused=2), "reasons": {"row.format": 2}},
        {"kind": "intent", **sent},
        {
            "kind": "outcome",
            **whose,
            "reason": "acknowledged",
            "counts": counts(rows, refused=2),
            "parcel": parcel,
        },
        {"kind": "receipt", **whose, "receipt": {"kind": "partial", "sha256": digest(f"{name} p")}},
    ]


@dataclass
class Witness:
    """Somebody elsewhere who cosigns (C2SP tlog-cosignature, cosignature/v1)."""

    name: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def material(self) -> bytes:
        """Type and key, as vkeys and key ids take them."""
        return b"\x04" + self.key.public_key().public_bytes_raw()

    @property
    def vkey(self) -> str:
        """The key as a trust file names it."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(self.material).decode()}"

    @property
    def key_id(self) -> bytes:
        """The first four bytes of the digest over name and key."""
        return sha256(self.name.encode() + b"\n" + self.material).digest()[:4]

    def cosign(self, note: str, at: datetime) -> str:
        """Add a line to a checkpoint."""
        text, seconds = note.rpartition("\n\n")[0] + "\n", int(at.timestamp())
        signed = self.key.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
        line = b64encode(self.key_id + seconds.to_bytes(8, "big") + signed).decode()
        return f"{note}\N{EM DASH} {self.name} {line}\n"


class Log:
    """A log that grows by entries, with its keys and checkpoints."""

    def __init__(self, origin: str = ORIGIN) -> None:
        self.origin = origin
        self.key, self.receipt_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.bodies: list[bytes] = []
        self.notes: dict[int, str] = {}
        self.witnesses: list[Witness] = []
        self._layers: list[list[bytes]] = [[]]

    def add(self, fields: Mapping[str, Any], *, minutes: int | None = None) -> int:
        """Append an entry; gives its index."""
        index = len(self.bodies)
        time = BEGIN + timedelta(minutes=index if minutes is None else minutes)
        common: Body = {
            "format": 1,
            "time": time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z",
            "nonce": digest(f"nonce {index}")[:32],
            "actor": {"role": "hub", "id": "hub"},
        }
        self.append(rfc8785.dumps({**common, **fields}))
        return index

    def append(self, body: bytes) -> None:
        """Append any bytes."""
        self.bodies.append(body)
        self._layers[0].append(sha256(b"\x00" + body).digest())

    def tell(self, number: int) -> int:
        """Append a whole story; gives the index of its last entry."""
        return [self.add(fields) for fields in story(number)][-1]

    def sign(self, *, key: Ed25519PrivateKey | None = None) -> str:
        """Sign a checkpoint at the present size, and have the witnesses cosign it."""
        size = len(self.bodies)
        note = sign_checkpoint(Checkpoint(self.origin, size, self.root(size)), key or self.key)
        for witness in self.witnesses:
            note = witness.cosign(note, BEGIN + timedelta(minutes=size))
        self.notes[size] = note
        return note

    def root(self, size: int) -> bytes:
        """The root over the first entries, by the definition of RFC 9162, section 2.1.1."""
        return self._root(0, size) if size else sha256().digest()

    def _root(self, first: int, end: int) -> bytes:
        width = end - first
        level = width.bit_length() - 1
        if width == 1 << level and first % width == 0:
            return self._perfect(level, first >> level)
        half = 1 << (width - 1).bit_length() - 1
        return sha256(b"\x01" + self._root(first, first + half) + self._root(first + half, end)).digest()

    def _perfect(self, level: int, index: int) -> bytes:
        while len(self._layers) <= level:
            self._layers.append([])
        while len(self._layers[level]) <= index:
            at = len(self._layers[level])
            pair = self._perfect(level - 1, 2 * at) + self._perfect(level - 1, 2 * at + 1)
            self._layers[level].append(sha256(b"\x01" + pair).digest())
        return self._layers[level][index]

    def tiles(self, size: int) -> dict[str, bytes]:
        """All hash tiles of the tree (C2SP tlog-tiles)."""
        found, level = {}, 0
        while count := size >> 8 * level:
            for index in range(-(-count // 256)):
                width = min(256, count - 256 * index)
                hashes = b"".join(self._perfect(8 * level, 256 * index + at) for at in range(width))
                found[tile_path(level, index, width)] = hashes
            level += 1
        return found

    def receipt(self, entry: int, *, note: str | None = None, **changed: object) -> str:
        """A receipt for an entry, in the form of `hub.receipts`."""
        told = json.loads(self.bodies[entry])
        place: Body = {
            "index": entry,
            "leaf_hash": sha256(b"\x00" + self.bodies[entry]).hexdigest(),
            "checkpoint": note or self.notes[max(self.notes)],
            **changed,
        }
        claims = {
            "txn": told.get("submission", "none"),
            "events": {"urn:landkreis-peine:hub:receipt:received": {"log": place}},
        }
        return jwt.encode(claims, self.receipt_key, "EdDSA", {"typ": "secevent+jwt", "kid": "1"})

    def trust(self, *more: str) -> str:
        """The trust file of an auditor who knows this log's keys."""
        keys = [f"log {verifier_key(self.origin, self.key.public_key())}"]
        keys.append(f"receipt {verifier_key(self.origin, self.receipt_key.public_key())}")
        keys += [f"witness w{number} {one.vkey}" for number, one in enumerate(self.witnesses)]
        if self.witnesses:
            names = " ".join(f"w{number}" for number in range(len(self.witnesses)))
            keys += [f"group most 1 {names}", "quorum most"]
        return "\n".join(["# what I know without the kit", *keys, *more, ""])

    def members(
        self, first: int = 0, last: int | None = None, erased: Iterable[int] = ()
    ) -> dict[str, bytes]:
        """The members of a kit over a span of entries."""
        size = max(self.notes)
        end, gone = size if last is None else last + 1, set(erased)
        shown = [(index, b"" if index in gone else self.bodies[index]) for index in range(first, end)]
        manifest = {
            "format": 1,
            "origin": self.origin,
            "from": None,
            "to": None,
            "first": first,
            "last": end - 1,
        }
        explaining = [
            (index, body)
            for index, body in enumerate(self.bodies[:size])
            if not first <= index < end and b'"kind":"retention"' in body
        ]
        notes = sorted((at, note) for at, note in self.notes.items() if at <= size)
        return {
            "README.txt": b"",
            "manifest.json": json.dumps(manifest | {"size": size, "made_at": "x", "hub": "0"}).encode(),
            "checkpoint": self.notes[size].encode(),
            "checkpoints.jsonl": b"".join(stored_line(at, note) for at, note in notes),
            **self.tiles(size),
            "entries.tsv": lines(shown),
            "retention.tsv": lines(explaining),
            "tables/entries.csv": table.heading() + table.lines(one for one in shown if is_object(one[1])),
        }


def witnessed_log(stories: int = 100) -> Log:
    """A log of two whole tiles and some, often signed, at its end cosigned by two witnesses."""
    made = Log()
    for number in range(stories):
        made.tell(number)
        made.sign()
    made.witnesses += [Witness("w.example/one"), Witness("w.example/two")]
    made.add({"kind": "log_read", "reason": "export"})
    made.sign()
    return made


def is_object(body: bytes) -> bool:
    """Whether a body can have a row of the table."""
    return body.startswith(b"{") and b"\xff" not in body and b"ud800" not in body


def stored_line(size: int, note: str) -> bytes:
    """A line of checkpoints.jsonl."""
    return json.dumps({"size": size, "note": note}, ensure_ascii=False).encode() + b"\n"


def lines(entries: Iterable[tuple[int, bytes]]) -> bytes:
    """Lines of entries.tsv."""
    return b"".join(b"%d\t%b\n" % entry for entry in entries)


def tile_path(level: int, index: int, width: int) -> str:
    """Where a tile stands."""
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.insert(0, f"x{index % 1000:03d}")
    return f"tile/{level}/{'/'.join(parts)}" + ("" if width == 256 else f".p/{width}")


def write(target: Path, members: Mapping[str, bytes]) -> Path:
    """Pack a kit; tiles stored, the rest deflated."""
    with ZipFile(target, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content, None if not name.startswith("tile/") else 0)
    return target
