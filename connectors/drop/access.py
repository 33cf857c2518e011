"""Access: who a key belongs to, and which agreements its partner sends or receives under."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from hub import registry
from hub.errors import Refused
from hub.office import Office
from schemas.agreement import Agreement

FRESH: Final = 3.0  # seconds for which the registry is not asked again


@dataclass(frozen=True)
class View:
    """What a partner may do: the active agreements that it sends under, and those that it receives under."""

    partner: str
    sends: Mapping[str, Agreement]
    receives: Mapping[str, Agreement]


class Access:
    """The registry as sessions ask it; a revoked key or a suspended agreement counts within three seconds."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._lock = threading.Lock()
        self._active: list[Agreement] = []
        self._read_at = -FRESH

    def admit(self, user: str, public_key: str) -> bool:
        """Tell whether a key (OpenSSH form) is that of the active partner who is named as the user."""
        with self._office.database.transaction() as session:
            try:
                return registry.partner_of_key(session, public_key) == user
            except Refused:
                return False

    def view(self, partner: str, public_key: str) -> View:
        """Look what a partner may do now.

        Raises:
            Refused: ``partner.unknown`` once its key is revoked or it is suspended.
        """
        with self._office.database.transaction() as session:
            if registry.partner_of_key(session, public_key) != partner:
                raise Refused("partner.unknown", "this key is another partner's now", "log in again")
            active = self._agreements(session)
        return View(
            partner,
            {one.id: one for one in active if one.sender.id == partner},
            {one.id: one for one in active if one.recipient.id == partner},
        )

    def _agreements(self, session: Session) -> list[Agreement]:
        with self._lock:
            if time.monotonic() - self._read_at > FRESH:
                self._active = [one.agreement for one in registry.listed(session) if one.status == "active"]
                self._read_at = time.monotonic()
            return self._active
