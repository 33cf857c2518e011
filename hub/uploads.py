"""Uploads: files on their way in. What a sender has begun, what it has closed, and what became a submission.

Of each upload two files rest under HUB_HOME: its content in sealed blocks (``hub.blocks``) and a card, which
holds everything else about it sealed: whose it is, its name, how far it got. The card is replaced as a whole.
A card that says ``closed`` is on the disk before anybody is told so, and names the submission that will be
made: whoever is killed then finds it again, and makes one submission of it, not two.
"""

import base64
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from hub import staging
from hub.blocks import BlockReader, Blocks
from hub.errors import Corrupt, Refused
from hub.intake import ABANDONED, new_submission_id
from hub.office import Office

MOST_UNFINISHED = 1000  # per partner
LOOKED_FOR = 60  # seconds in which a client may still look whether its file is there


class Stage(StrEnum):
    """How far an upload is."""

    UNFINISHED = "unfinished"
    CLOSED = "closed"
    ARRIVED = "arrived"


@dataclass(eq=False)
class Upload:
    """One file on its way in; ``name`` is the sender's, ``changed`` the time that its sender sees (UTC)."""

    id: str
    partner: str
    agreement: str
    name: str
    key: bytes = field(repr=False)
    began: float
    stage: Stage = Stage.UNFINISHED
    size: int = 0
    changed: float = 0.0
    submission: str | None = None
    arrived: float = 0.0


class Uploads:
    """All uploads of a hub; one process at a time holds them. Its methods may be called from any thread."""

    def __init__(self, office: Office) -> None:
        self._ring = office.ring
        self._folder = office.settings.data / "uploads"
        self._lock = threading.RLock()
        self._all: dict[str, Upload] = {}
        self._of: dict[tuple[str, str], dict[str, Upload]] = {}  # (partner, agreement) -> by id, oldest first
        self._claimed: set[str] = set()
        if not self._folder.is_dir():
            staging.make_folder(self._folder)
        self.unreadable = self._load()

    def begin(self, partner: str, agreement: str, name: str, limit: int) -> tuple[Upload, Blocks]:
        """Begin an upload of at most ``limit`` bytes.

        Raises:
            Refused: ``upload.too_many`` unfinished ones of this partner.
        """
        with self._lock:
            mine = [one for one in self._all.values() if one.partner == partner]
            if sum(one.stage is Stage.UNFINISHED for one in mine) >= MOST_UNFINISHED:
                raise Refused(
                    "upload.too_many",
                    f"expected at most {MOST_UNFINISHED} unfinished uploads, found more",
                    "finish or remove some of them first",
                )
        now = time.time()
        upload = Upload(secrets.token_hex(16), partner, agreement, name, os.urandom(32), now, changed=now)
        blocks = Blocks.create(self._blocks(upload), upload.key, upload.id, limit)
        try:
            self._write(upload)
        except BaseException:
            blocks.close()
            self._blocks(upload).unlink(missing_ok=True)
            raise
        self._add(upload)
        return upload, blocks

    def resume(self, upload: Upload, limit: int) -> Blocks:
        """Go on with an unfinished upload: from its bytes before the first gap."""
        blocks = Blocks.reopen(self._blocks(upload), upload.key, upload.id, limit)
        upload.size = blocks.prefix
        return blocks

    def read(self, upload: Upload) -> BlockReader:
        """Open the content of a closed upload."""
        return BlockReader(self._blocks(upload), upload.key, upload.id, upload.size)

    def listed(self, partner: str, agreement: str) -> dict[str, Upload]:
        """Give what a sender sees of its uploads: by name, of two with one name the later."""
        with self._lock:
            return {one.name: one for one in self._of.get((partner, agreement), {}).values()}

    def rename(self, upload: Upload, name: str) -> None:
        """Give an unfinished upload another name."""
        upload.name = name
        self._write(upload)

    def close(self, upload: Upload, size: int) -> None:
        """Note durably that its sender has closed an upload, whose settled content has ``size`` bytes.

        The caller has claimed it then: ``closed`` does not name it until ``release``.
        """
        with self._lock:
            self._claimed.add(upload.id)
        upload.size, upload.changed = size, time.time()
        upload.stage, upload.submission = Stage.CLOSED, new_submission_id(datetime.now(UTC))
        try:
            self._write(upload, durably=True)
        except BaseException:
            upload.stage, upload.submission = Stage.UNFINISHED, None
            self.release(upload)
            raise

    def reopen(self, upload: Upload) -> None:
        """Take a close back: its sender has been told that it failed."""
        upload.stage, upload.submission = Stage.UNFINISHED, None
        self._write(upload, durably=True)
        self.release(upload)
        self.resume(upload, 0).close()  # what stopped it may be damage: then it is resumed from there

    def arrive(self, upload: Upload, submission: str) -> None:
        """Note what an upload became, and let its content go; it stays listed until ``settle``."""
        upload.stage, upload.submission, upload.arrived = Stage.ARRIVED, submission, time.time()
        self._write(upload)
        self._blocks(upload).unlink(missing_ok=True)
        self.release(upload)

    def claim(self) -> Upload | None:
        """Take the next closed upload that nobody is at."""
        with self._lock:
            for upload in self._all.values():
                if upload.stage is Stage.CLOSED and upload.id not in self._claimed:
                    self._claimed.add(upload.id)
                    return upload
        return None

    def release(self, upload: Upload) -> None:
        """Let others claim an upload."""
        with self._lock:
            self._claimed.discard(upload.id)

    def discard(self, upload: Upload) -> None:
        """Forget an upload and everything that came of it."""
        with self._lock:
            self._all.pop(upload.id, None)
            self._of.get((upload.partner, upload.agreement), {}).pop(upload.id, None)
            self._claimed.discard(upload.id)
        self._card(upload.id).unlink(missing_ok=True)
        self._blocks(upload).unlink(missing_ok=True)

    def sweep(self, busy: Collection[str], final: Callable[[Collection[str]], Collection[str]]) -> int:
        """Forget unfinished uploads after a day, and arrived ones of which ``final`` says that all is done.

        ``busy`` names uploads that are open; ``final`` is asked about submissions. Gives how many went.
        """
        now = time.time()
        with self._lock:
            known = list(self._all.values())
        old = [
            one
            for one in known
            if one.stage is Stage.UNFINISHED and one.id not in busy and now - self._touched(one) > ABANDONED
        ]
        arrived = [one for one in known if one.stage is Stage.ARRIVED and now - one.arrived > LOOKED_FOR]
        done = final({one.submission for one in arrived if one.submission}) if arrived else ()
        gone = [*old, *(one for one in arrived if one.submission in done)]
        for upload in gone:
            self.discard(upload)
        return len(gone)

    def _touched(self, upload: Upload) -> float:
        try:
            return self._blocks(upload).stat().st_mtime
        except FileNotFoundError:
            return upload.began

    def _add(self, upload: Upload) -> None:
        with self._lock:
            self._all[upload.id] = upload
            self._of.setdefault((upload.partner, upload.agreement), {})[upload.id] = upload

    def _blocks(self, upload: Upload) -> Path:
        return self._folder / f"{upload.id}.blocks"

    def _card(self, identity: str) -> Path:
        return self._folder / f"{identity}.card"

    def _write(self, upload: Upload, *, durably: bool = False) -> None:
        names = ("partner", "agreement", "name", "began", "stage", "size", "changed", "submission", "arrived")
        facts = json.dumps({name: getattr(upload, name) for name in names})
        wrapped = base64.b64encode(self._ring.wrap(upload.key, f"upload/{upload.id}")).decode("ascii")
        card = json.dumps({"key": wrapped, "facts": staging.seal_text(upload.key, facts)}).encode()
        temp = self._folder / f".{upload.id}.{secrets.token_hex(4)}.new"
        with staging.disk_errors(temp):
            handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as sink:
                sink.write(card)
            if not durably:  # at a power cut the old card may come back: nobody was told otherwise
                temp.replace(self._card(upload.id))
        if durably:
            staging.publish(temp, self._card(upload.id))

    def _load(self) -> int:
        """Read all cards; gives how many could not be read (they stay for the administrators)."""
        for leftover in self._folder.glob(".*.new"):
            leftover.unlink()
        found, unreadable = [], 0
        for path in self._folder.glob("*.card"):
            try:
                found.append(self._read_card(path))
            except (Corrupt, ValueError, KeyError):
                if path.stat().st_size:
                    unreadable += 1
                else:  # never flushed, and cut off by a power failure: nobody was told that it is closed
                    path.unlink()
        for upload in sorted(found, key=lambda one: one.began):
            self._add(upload)
            if upload.stage is Stage.UNFINISHED and self._blocks(upload).exists():
                self.resume(upload, 0).close()  # the card does not know how far it got
            elif upload.stage is Stage.UNFINISHED:
                self.discard(upload)
        for path in self._folder.glob("*.blocks"):
            if not self._card(path.stem).exists():
                path.unlink()
        return unreadable

    def _read_card(self, path: Path) -> Upload:
        card: dict[str, str] = json.loads(path.read_bytes())
        key = self._ring.unwrap(base64.b64decode(card["key"]), f"upload/{path.stem}")
        facts: dict[str, Any] = json.loads(staging.open_text(key, card["facts"]))
        return Upload(id=path.stem, key=key, **{**facts, "stage": Stage(facts["stage"])})
