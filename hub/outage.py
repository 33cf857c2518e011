"""An outage of the transfer log: since when it could not be written, and that traffic stands still for it.

Without a log entry nothing is sent, whatever happens here. But a log that fails now and then would let each
submission run into it for itself; so after ``log_patience`` seconds everything stands still, an alarm is
raised, and one attempt in a few seconds finds out whether it is over. The state lies in a small file beside
the database, which may be what is away. When it is over, the log itself tells how long it was.
"""

import json
import logging
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hub import disk
from hub.errors import HubError, Transient
from hub.settings import Settings

FILE: Final = "log-outage.json"
AGAIN: Final = 5.0
"""Seconds between two attempts while traffic stands still."""

_CAUSES: Final = ("ledger.", "database.", "disk.", "journal.")
_COMMAND_SECONDS: Final = 20
_log = logging.getLogger(__name__)
_remembered: dict[Path, "Outage"] = {}  # where even the small file cannot be written


@dataclass(frozen=True)
class Outage:
    """Since when (seconds since 1970) the log could not be written, the last attempt, and why."""

    since: float
    last: float
    code: str
    failures: int = 1
    alarmed: bool = False


def current(settings: Settings) -> Outage | None:
    """Give the outage that is under way, if there is one."""
    try:
        return Outage(**json.loads((settings.run / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return _remembered.get(settings.run)


def failed(settings: Settings, error: HubError) -> None:
    """Note that the log could not be written; once patience is over, raise the alarm."""
    if not error.code.startswith(_CAUSES):
        return
    known, now = current(settings), time.time()
    if known is None:
        known = Outage(now, now, error.code)
    else:
        known = replace(known, last=now, code=error.code, failures=known.failures + 1)
    _keep(settings, _alarmed(settings, known))


def require_traffic(settings: Settings) -> None:
    """Let one attempt through every few seconds; refuse all others while traffic stands still.

    Raises:
        Transient: ``log.stopped``.
    """
    known, now = current(settings), time.time()
    if known is None or now - known.since < settings.log_patience or not 0 <= now - known.last < AGAIN:
        return
    if not known.alarmed:
        _keep(settings, _alarmed(settings, known))
    began = datetime.fromtimestamp(known.since, UTC)
    raise Transient(
        "log.stopped",
        f"the transfer log cannot be written since {began:%Y-%m-%d %H:%M:%S} UTC ({known.code})",
        "nothing is sent; see to database and disk: traffic goes on by itself once an entry can be written",
    )


def ended(settings: Settings) -> Outage | None:
    """Note that the log was written; gives the outage that is over, if it had raised an alarm."""
    known = current(settings)
    if known is None:
        return None
    _remembered.pop(settings.run, None)
    with suppress(OSError):
        (settings.run / FILE).unlink()
    return known if known.alarmed else None


def raise_alarm(settings: Settings, code: str, message: str) -> None:
    """Tell people: in the log of this process, and by the operator's own program."""
    _log.critical("%s: %s", code, message)
    if settings.alarm_command is None:
        return
    try:
        subprocess.run(
            [settings.alarm_command, code, message],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        _log.critical("alarm.command: the program for alarms failed (%s)", type(error).__name__)


def _alarmed(settings: Settings, known: Outage) -> Outage:
    """Raise the alarm, once, where patience is over."""
    if known.alarmed or time.time() - known.since < settings.log_patience:
        return known
    raise_alarm(settings, "log.stopped", f"no entry could be written for {time.time() - known.since:.0f} s")
    return replace(known, alarmed=True)


def _keep(settings: Settings, known: Outage) -> None:
    _remembered[settings.run] = known
    with suppress(HubError, OSError):
        disk.replace(settings.run / FILE, json.dumps(asdict(known)).encode())
