"""Backups: a folder that holds database and sealed files, proved by a manifest; and putting it back.

The database is dumped by PostgreSQL's own program in one snapshot, the sealed files are copied after it, so
that everything the dump names is there unless it was done with meanwhile. Keys stay out unless asked for: who
has keys and data has everything. A backup appears under its name whole or not at all.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import URL

from hub import disk, standing
from hub.database.provision import DATABASE, provision, role_urls
from hub.database.runfolder import lock_file
from hub.database.session import address
from hub.database.unprivileged import ENVIRONMENT, programs
from hub.errors import Corrupt, Refused, Transient
from hub.ledger import store
from hub.ledger.checkpoint import open_checkpoint
from hub.runtime import database_url, embedded, open_office, ring_of
from hub.service.record import sole_supervisor
from hub.settings import Settings

MANIFEST: Final = "manifest.json"
DUMP: Final = "hub.dump"
INCOMING: Final = "hub_incoming"
_FOLDERS: Final = ("data", "public", "public-log")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class BackedUp:
    """A backup that was made: where, how much, and the log in it."""

    folder: Path
    made_at: str
    files: int
    bytes: int
    log_size: int
    manifest_sha256: str
    keys: bool


@dataclass(frozen=True)
class Restored:
    """A backup that was put back; ``kept_as`` names the database that was there before."""

    made_at: str
    log_size: int
    files: int
    kept_as: str | None
    open: bool


def back_up(settings: Settings, target: Path, tell: Tell, *, keys: bool = False) -> BackedUp:
    """Make a backup in a new folder; the hub may run meanwhile.

    Raises:
        Refused: ``backup.target`` for one that exists or lies under HUB_HOME, ``hub.not_initialised``.
        Transient: ``backup.dump``, ``disk.full``, ``disk.write``.
    """
    ring_of(settings)
    target = target.expanduser().absolute()
    if os.path.lexists(target) or target.is_relative_to(settings.root):
        raise Refused(
            "backup.target",
            f"expected a folder that does not exist yet, outside of HUB_HOME, got {target}",
            "name another folder, for instance after the date",
        )
    fresh = target.with_name(f".{target.name}.new")
    disk.discard(fresh)
    disk.make_folder(fresh)
    with open_office(settings) as office:
        with office.database.transaction() as session:
            note = store.latest_checkpoint(session)
        checkpoint = open_checkpoint(note, settings.origin, office.ring.log_public())
        tell("database")
        _dump(database_url(settings, "owner"), fresh / DUMP)
    files = {DUMP: _measured(fresh / DUMP)}
    sources = [settings.root / name for name in _FOLDERS]
    for source in [*sources, *([settings.key_folder] if keys else [])]:
        folder = "keys" if source == settings.key_folder else source.name
        for path in sorted(source.rglob("*")):
            name = f"{folder}/{path.relative_to(source)}"
            if path.is_file() and (taken := _copied(path, fresh / name)) is not None:
                files[name] = taken
                tell(f"{len(files)} files")
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    told = {"format": 1, "made_at": made_at, "origin": settings.origin, "checkpoint": note}
    content = json.dumps(told | {"keys": keys, "files": files}, indent=1, ensure_ascii=False).encode()
    disk.write_once(fresh / MANIFEST, content)
    with disk.disk_errors(target):
        fresh.rename(target)
    size = sum(int(one["bytes"]) for one in files.values())
    digest = hashlib.sha256(content).hexdigest()
    return BackedUp(target, made_at, len(files), size, checkpoint.size, digest, keys)


def restore(settings: Settings, folder: Path, tell: Tell) -> Restored:
    """Put a backup back into the embedded database; sealed files that are there already stay as they are.

    Raises:
        Refused: ``restore.external`` with a database of your own, ``restore.running``, ``service.running``,
            ``restore.manifest``, ``restore.keys``, ``hub.not_initialised``.
        Corrupt: ``restore.damaged`` for a file that is not the one that was backed up.
    """
    if settings.database_url is not None:
        raise Refused(
            "restore.external",
            "the hub's database is one of your own",
            f"put {folder / DUMP} back with pg_restore, then look: hub restore show",
        )
    if not (folder / "keys").is_dir():
        ring_of(settings)  # says so first, where there is no hub
    manifest = _manifest(folder)
    files: dict[str, Any] = manifest["files"]
    for number, (name, told) in enumerate(files.items(), 1):
        tell(f"proving {number} of {len(files)}")
        if _measured(folder / name) != told:
            raise Corrupt(
                "restore.damaged", f"{name} is not the file that was backed up", "take another backup"
            )
    if manifest["keys"] and not settings.key_folder.exists():
        shutil.copytree(folder / "keys", settings.key_folder)
    ring = ring_of(settings)
    if manifest["origin"] != settings.origin:
        raise _foreign()
    try:
        checkpoint = open_checkpoint(manifest["checkpoint"], settings.origin, ring.log_public())
    except Corrupt:
        raise _foreign() from None
    with _alone(settings):
        tell("database")
        with embedded(settings, ring).serving() as server:
            provision(server, ring)
            kept_as = _exchange(server, role_urls(server, ring, database=INCOMING)["owner"], folder / DUMP)
            provision(server, ring)
        added = 0
        for name in files:
            if name.startswith(tuple(f"{one}/" for one in _FOLDERS)) and not (settings.root / name).exists():
                _copied(folder / name, settings.root / name)
                added += 1
                tell(f"{added} files")
    with open_office(settings) as office:
        stand = standing.look(office)
    return Restored(manifest["made_at"], checkpoint.size, added, kept_as, stand.open)


def _dump(owner: URL, file: Path) -> None:
    _run("pg_dump", owner, "--format=custom", "--schema=hub", "--schema=ledger", f"--file={file}")
    file.chmod(0o600)


def _exchange(server: URL, owner: URL, dump: Path) -> str | None:
    """Load a dump beside the database, then let the two change names; gives the name of the old one."""
    with psycopg.connect(address(server), autocommit=True) as connection:
        incoming, present = sql.Identifier(INCOMING), sql.Identifier(DATABASE)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(incoming))
        connection.execute(
            sql.SQL(
                "CREATE DATABASE {} OWNER hub_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
            ).format(incoming)
        )
        _run("pg_restore", owner, "--no-owner", "--no-privileges", "--exit-on-error", str(dump), load=True)
        with psycopg.connect(address(server.set(database=DATABASE))) as old:
            row = old.execute("SELECT EXISTS (SELECT FROM ledger.entry)").fetchone()
        if row and row[0]:
            kept = f"hub_before_{datetime.now(UTC):%Y%m%d_%H%M%S}"
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(present, sql.Identifier(kept))
            )
        else:
            kept = None
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(present))
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(incoming, present))
    return kept


def _run(program: str, url: URL, *arguments: str, load: bool = False) -> None:
    """Run one of PostgreSQL's programs as a role; the password goes by the environment, not the arguments."""
    way = address(url.set(password=None))
    target = f"--dbname={way}"
    answer = subprocess.run(
        [str(programs() / program), "--no-password", target, *arguments],
        env=ENVIRONMENT | {"PGPASSWORD": url.password or ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if answer.returncode != 0:
        code = "restore.load" if load else "backup.dump"
        # What the programs say may quote a row, so only the last program's name and status go on.
        message = f"expected {program} to end well, it ended with status {answer.returncode}"
        raise Transient(code, message, "is there room on the disk? is the server of version 16 to 18?")


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Be the only process that uses this hub, as far as one can see."""
    disk.make_folder(settings.run)
    with sole_supervisor(settings.run):
        with lock_file(settings.run / "postgres.users") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(
                    "restore.running",
                    "a command of this hub is running",
                    "end it (hub up, hub drop, hub submit), then put the backup back",
                ) from None
        yield


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        told = None
    if not isinstance(told, dict) or told.get("format") != 1:
        raise Refused(
            "restore.manifest", f"expected a backup in {folder}, found none", "name what hub backup has made"
        )
    return told


def _measured(path: Path) -> dict[str, str | int]:
    try:
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        return {"sha256": digest, "bytes": path.stat().st_size}
    except FileNotFoundError:
        return {}


def _copied(source: Path, final: Path) -> dict[str, str | int] | None:
    """Copy one file durably; None for one that is gone by now, because its submission is done."""
    disk.make_folder(final.parent)
    temp = final.with_name(f".{final.name}.new")
    with disk.disk_errors(final):
        try:
            shutil.copyfile(source, temp)
        except FileNotFoundError:
            temp.unlink(missing_ok=True)
            return None
        temp.chmod(0o600)
    disk.publish(temp, final)
    return _measured(final)


def _foreign() -> Refused:
    return Refused(
        "restore.keys",
        "this backup belongs to a hub with other keys or another name of its log",
        "put the key folder of that hub back first (HUB_KEYS), and set HUB_ORIGIN as it was",
    )
