"""Who may log in to the pages: the named users of the hub's roles, each with a password made up once.

Airflow's own rights are the least that work: a viewer reads, and only the administrator may pause, clear and
trigger. What each of them may do *in the hub* the hub decides by name (hub.staff), not Airflow.
"""

import json
import secrets
from pathlib import Path

from hub import staging
from hub.errors import Corrupt
from hub.settings import Settings

ROLES = {"steward": "viewer", "auditor": "viewer", "dpo": "viewer", "admin": "user"}


def logins_file(settings: Settings) -> Path:
    """Where users and passwords stand (JSON, mode 0600), as Airflow's simple login reads them."""
    return settings.airflow / "logins.json"


def make_logins(settings: Settings) -> dict[str, str]:
    """Make the passwords that are missing, and give all: user to password.

    Raises:
        Corrupt: ``service.logins`` where the file holds something else.
    """
    file = logins_file(settings)
    known = _read(file) if file.exists() else {}
    logins = known | {name: secrets.token_urlsafe(15) for name in ROLES if name not in known}
    if logins != known:
        staging.replace(file, json.dumps(logins).encode())
    return logins


def _read(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(word, str) for word in found.values()):
        raise Corrupt(
            "service.logins",
            f"expected users and their passwords in {file}, found other content",
            "remove the file: new passwords are made at the next start",
        )
    return found
