"""The runtime: the only place that knows which concrete parts a hub is built from."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url, select
from sqlalchemy.orm import Session

from connectors import formats
from connectors.outbox import Outbox
from hub import registry, staging, standing
from hub.case import now
from hub.database.embedded import EmbeddedPostgres
from hub.database.models import LedgerEntry
from hub.database.provision import provision, role_urls
from hub.database.session import Database
from hub.errors import Refused
from hub.keys import AIRFLOW_USES, KeyRing, create_keys
from hub.ledger.entry import Actor, Entry
from hub.logbook import append, key_name
from hub.office import Office
from hub.settings import Settings
from hub.suite_process import SuiteProcess


@dataclass(frozen=True)
class Initialised:
    """What `hub init` made or found."""

    home: Path
    agreements: tuple[str, ...]
    newly_active: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class AirflowAccess:
    """What Airflow is given of the hub: a database of its own, and secrets that open nothing of the hub."""

    database: URL
    secrets: Mapping[str, bytes]  # of 32 bytes, by hub.keys.AIRFLOW_USES


@contextmanager
def airflow_access(settings: Settings) -> Iterator[AirflowAccess]:
    """Give what Airflow needs; the embedded server runs as long as the block does.

    Raises:
        Refused: ``hub.not_initialised``, and as ``EmbeddedPostgres.serving`` does.
    """
    ring = ring_of(settings)
    with _server(settings, ring) as server:
        yield AirflowAccess(
            role_urls(server, ring)["airflow"], {use: ring.airflow_secret(use) for use in AIRFLOW_USES}
        )


@contextmanager
def open_office(settings: Settings, suite: SuiteProcess | None = None) -> Iterator[Office]:
    """Open an initialised hub: keys, database, routes. The embedded server runs as long as somebody needs it.

    ``suite`` may be one that is getting ready already; it is closed with the office.

    Raises:
        Refused: ``hub.not_initialised`` where there is none.
    """
    ring = ring_of(settings)
    with _server(settings, ring) as server:
        yield from _office(settings, ring, role_urls(server, ring), suite or SuiteProcess())


def initialise(settings: Settings) -> Initialised:
    """Make keys, database and folders, and put the agreements in force that say so; again changes nothing.

    Whatever runs afterwards may hold the key folder read-only.
    """
    from connectors.drop.hostkey import host_key  # noqa: PLC0415 -- half a second, for this alone

    for folder in (settings.root, settings.data, settings.run, settings.public):
        staging.make_folder(folder)
    create_keys(settings.key_folder)
    ring = KeyRing(settings.key_folder)
    host_key(settings.key_folder)
    _publishring_of(settings, ring)
    agreements = registry.read_agreements([settings.agreements or registry.SHIPPED])
    with _server(settings, ring) as server:
        urls = provision(server, ring)
        for office in _office(settings, ring, urls, SuiteProcess()):
            with office.database.transaction() as session:
                fresh = [
                    agreement
                    for agreement in agreements
                    if agreement.status == "active" and registry.file_agreement(session, agreement)
                ]
                at = now(session)
                actor = Actor(role="administrator", id="hub-init")
                append(
                    session,
                    office,
                    [
                        Entry(
                            kind="agreement",
                            time=at,
                            actor=actor,
                            reason="activated",
                            agreement=agreement.id,
                            agreement_version=agreement.version,
                            agreement_digest=agreement.digest,
                        )
                        for agreement in fresh
                    ]
                    + _of_first_keys(session, office),
                )
            standing.begin(office)
            publish_exchanges(office)
    return Initialised(
        settings.root, tuple(a.id for a in agreements), tuple(agreement.id for agreement in fresh)
    )


def _of_first_keys(session: Session, office: Office) -> list[Entry]:
    """Tell of the hub's own keys in a log that is still empty."""
    if session.scalar(select(LedgerEntry.index).limit(1)) is not None:
        return []
    ring = office.ring
    return [
        Entry(
            kind="key",
            time=now(session),
            actor=Actor(role="administrator", id="hub-init"),
            reason="keys_made",
            key_versions=dict.fromkeys(("kek", "identity", "pseudonym", "log", "receipt"), ring.version),
            details={"log": ring.verifier_key(office.settings.origin), "receipts": key_name(ring)},
        )
    ]


def publish_exchanges(office: Office) -> None:
    """Write down the active agreements for Airflow's parser, which must not need the database."""
    with office.database.transaction() as session:
        active = [filed.agreement for filed in registry.listed(session) if filed.status == "active"]
    lines = [
        {
            "agreement": agreement.id,
            "title": agreement.title.de,
            "sender": agreement.sender.id,
            "recipient": agreement.recipient.id,
        }
        for agreement in active
    ]
    content = json.dumps(lines, ensure_ascii=False, indent=1).encode()
    if not office.settings.exchanges.exists() or office.settings.exchanges.read_bytes() != content:
        staging.replace(office.settings.exchanges, content)


def database_url(settings: Settings, role: str) -> URL:
    """Name a role's way to its database as it is now (it holds the password); starts nothing."""
    ring = KeyRing(settings.key_folder)
    if settings.database_url is not None:
        return role_urls(make_url(settings.database_url.get_secret_value()), ring)[role]
    return role_urls(embedded(settings, ring).url(), ring)[role]


def outbox(settings: Settings) -> Outbox:
    """Give the hub's own outbox."""
    return Outbox(settings.data / "outbox")


def _office(
    settings: Settings, ring: KeyRing, urls: Mapping[str, URL], suite: SuiteProcess
) -> Iterator[Office]:
    database = Database(urls)
    try:
        office = Office(settings, database, ring, formats, outbox(settings), suite)
        standing.say_so(office)
        yield office
    finally:
        suite.close()
        database.close()


def ring_of(settings: Settings) -> KeyRing:
    """Read the keys of a hub. Raises Refused ``hub.not_initialised`` where there is none."""
    if not settings.key_folder.is_dir():
        raise Refused(
            "hub.not_initialised", f"there is no hub in {settings.root}", "run: hub init (or set HUB_HOME)"
        )
    return KeyRing(settings.key_folder)


@contextmanager
def _server(settings: Settings, ring: KeyRing) -> Iterator[URL]:
    if settings.database_url is not None:
        yield make_url(settings.database_url.get_secret_value())
        return
    with embedded(settings, ring).serving() as url:
        yield url


def embedded(settings: Settings, ring: KeyRing) -> EmbeddedPostgres:
    """Give the embedded database of a hub."""
    return EmbeddedPostgres(
        settings.postgres,
        settings.run,
        ring.database_secret("superuser"),
        free_bytes=settings.free_bytes,
    )


def _publishring_of(settings: Settings, ring: KeyRing) -> None:
    """Lay out the public keys that verify log and receipts, to be given to auditors and partners."""
    staging.write_once(settings.public / "log.vkey", (ring.verifier_key(settings.origin) + "\n").encode())
    staging.write_once(settings.public / "receipts.pem", ring.receipt_key_text().encode())
