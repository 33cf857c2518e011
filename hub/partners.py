"""Partners' keys: who may drop files and fetch parcels in a partner's name, told in the transfer log."""

from sqlalchemy.orm import Session

from hub import logbook, registry
from hub.case import now
from hub.database.models import PartnerKey
from hub.ledger.entry import Actor, Entry
from hub.office import Office

ADMINISTRATOR = Actor(role="administrator", id="hub-partner")


def add_key(
    session: Session, office: Office, partner: str, name: str | None, public_key: str, key_name: str
) -> str:
    """Register a partner's key, and the partner if it is new; again it changes nothing.

    Returns the key's fingerprint.

    Raises:
        Refused: ``partner.key`` for what is no key, or another partner's.
    """
    known = session.get(PartnerKey, registry.fingerprint(public_key)) is not None
    mark = registry.add_partner_key(session, partner, name, public_key, key_name)
    if not known:
        details: dict[str, str | int] = {"partner": partner, "fingerprint": mark}
        told = Entry(
            kind="key",
            time=now(session),
            actor=ADMINISTRATOR,
            reason="partner_key_added",
            details=details,
        )
        logbook.append(session, office, [told])
    return mark
