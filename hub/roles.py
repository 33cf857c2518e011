"""Roles: what members of staff are there for, who may decide what is held back, and on which grounds."""

from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal


class Role(StrEnum):
    """What a member of staff is there for; everybody has one."""

    STEWARD = "steward"
    AUDITOR = "auditor"
    DATA_PROTECTION_OFFICER = "data_protection_officer"
    ADMINISTRATOR = "administrator"


LOGINS: Final = MappingProxyType(
    {
        "steward": Role.STEWARD,
        "auditor": Role.AUDITOR,
        "dpo": Role.DATA_PROTECTION_OFFICER,
        "admin": Role.ADMINISTRATOR,
    }
)
"""The named users with whom a hub begins, by user name."""

MAY_DECIDE: Final = frozenset({Role.STEWARD, Role.DATA_PROTECTION_OFFICER})
"""Who may release or reject what is held back."""

MAY_READ_LOG: Final = frozenset({Role.AUDITOR, Role.DATA_PROTECTION_OFFICER})
"""Who may read the transfer log."""

Verdict = Literal["approve", "reject"]
Method = Literal["key", "login"]

GROUNDS: Final = MappingProxyType(
    {
        "approve": ("examined", "confirmed_by_sender", "change_expected"),
        "reject": ("not_plausible", "sender_corrects", "not_permitted"),
    }
)
"""Why people decide as they do, as codes: free words could hold a person's data. The first is the usual."""
