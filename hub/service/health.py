"""Whether a component answers: asked from outside, at its port or through Airflow's own health address."""

import http.client
import json
import socket
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from hub.errors import Refused

HEALTH = "/api/v2/monitor/health"
TASKS = (
    "/execution/health"  # where tasks report; the first question there makes Airflow build it, for seconds
)
WAIT = 2.0  # seconds that an answer may take
FRESH = 0.5  # seconds for which one answer serves all who ask
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- what to ask when it listens everywhere


def require_free(host: str, port: int, setting: str) -> None:
    """Make sure that an address is to be had (Refused ``service.port``, naming the setting)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Refused(
                "service.port",
                f"port {port} of {host} is not to be had ({error.strerror})",
                f"end the program that uses it, or set {setting} to another port",
            ) from None


def answers_at(host: str, port: int, greeting: bytes) -> Callable[[datetime], bool]:
    """Make the question whether a server at a port begins its talk with ``greeting``."""

    def is_ready(_since: datetime) -> bool:
        try:
            with socket.create_connection((ANY_ADDRESS.get(host, host), port), WAIT) as line:
                line.settimeout(WAIT)
                return line.recv(len(greeting)) == greeting
        except OSError:
            return False

    return is_ready


class AirflowHealth:
    """What Airflow's api-server says of itself and its companions."""

    def __init__(self, host: str, port: int) -> None:
        self._address = urlsplit(f"//{ANY_ADDRESS.get(host, host)}:{port}")
        self._asked = 0.0
        self._said: dict[str, Any] = {}

    def is_open(self, _since: datetime) -> bool:
        """Tell whether the api-server answers people and tasks, and reaches the database."""
        reaches = self._answer().get("metadatabase", {}).get("status") == "healthy"
        return reaches and self._ask(TASKS).get("status") == "healthy"

    def beats(self, companion: str) -> Callable[[datetime], bool]:
        """Make the question whether a companion of the api-server has given a sign since its start."""

        def is_ready(since: datetime) -> bool:
            said = self._answer().get(companion) or {}
            beat = said.get(f"latest_{companion}_heartbeat")
            return bool(said.get("status") == "healthy" and beat and datetime.fromisoformat(beat) >= since)

        return is_ready

    def _answer(self) -> dict[str, Any]:
        if time.monotonic() - self._asked > FRESH:
            self._said = self._ask(HEALTH)
            self._asked = time.monotonic()
        return self._said

    def _ask(self, path: str) -> dict[str, Any]:
        line = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=WAIT)
        try:
            line.request("GET", path)
            answer = json.loads(line.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        finally:
            line.close()
        return answer if isinstance(answer, dict) else {}
