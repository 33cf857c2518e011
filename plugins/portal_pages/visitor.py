"""Who looks: Airflow's login says the name, the hub's own staff list says the role.

A page names the roles that may see it; whoever has another role, or none, sees nothing of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends

from hub import staff
from hub.database.models import Staff
from hub.ledger.entry import Actor
from hub.roles import MAY_READ_LOG
from hub.staff import Role

from .door import Door

SUBMISSIONS = frozenset(Role)
LOG = MAY_READ_LOG

Visiting = Callable[..., "Visitor"]
"""A dependency that gives the visitor, or raises `NotAdmitted`."""


class NotAdmitted(Exception):  # noqa: N818 -- what the visitor is
    """This user may not see this page; ``known`` tells whether the hub knows the user at all."""

    def __init__(self, *, known: bool) -> None:
        super().__init__("not admitted")
        self.known = known


@dataclass(frozen=True)
class Visitor:
    """A member of staff who looks at a page; the log knows the person by ``alias``."""

    name: str
    alias: str
    role: Role

    @property
    def actor(self) -> Actor:
        """As the transfer log names the visitor."""
        return Actor(role=self.role.value, id=self.alias)


def visiting(current_user: Callable[..., Any], door: Door) -> Visiting:
    """Make the dependency that finds out who looks; ``current_user`` is Airflow's, and refuses strangers."""

    def visitor(user: Annotated[Any, Depends(current_user)]) -> Visitor:
        name = user.get_name()
        with door.office().database.transaction() as session:
            role = staff.role_of(session, name)
            if role is None:
                raise NotAdmitted(known=False)
            return Visitor(name, session.get_one(Staff, name).alias, role)

    return visitor


def admits(roles: frozenset[Role], visitor: Visiting) -> Visiting:
    """Make the dependency of a page that only some roles may see."""

    def admitted(found: Annotated[Visitor, Depends(visitor)]) -> Visitor:
        if found.role not in roles:
            raise NotAdmitted(known=True)
        return found

    return admitted
