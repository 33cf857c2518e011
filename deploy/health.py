# ruff: noqa: INP001 -- a program of its own
"""Health checks of docker-compose.yaml: ``health.py PART ADDRESS`` ends with status 0 if that part answers.

pages, scheduler, triggerer, dag_processor: as Airflow's api-server at that URL tells; drop: the SSH greeting
at HOST:PORT; worker: the Celery worker of this host, asked through the queue whose URL stands in that file.
A check runs all the time beside the work: neither hub nor Airflow is imported, that would cost seconds each.
"""

import json
import socket
import sys
import urllib.request
from pathlib import Path

SECONDS = 8  # less than docker-compose.yaml gives


def main(part: str, address: str) -> bool:
    """Ask the part."""
    if part == "drop":
        return greets(address)
    if part == "worker":
        return works(Path(address).read_text(encoding="utf-8").strip())
    return beats("metadatabase" if part == "pages" else part, address)


def beats(part: str, url: str) -> bool:
    """Tell whether the api-server answers and holds this part for healthy."""
    with urllib.request.urlopen(f"{url}/api/v2/monitor/health", timeout=SECONDS) as answer:  # noqa: S310
        told = json.load(answer)
    return bool(told[part]["status"] == "healthy")


def greets(address: str) -> bool:
    """Tell whether an SSH server greets."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), SECONDS) as line:
        line.settimeout(SECONDS)
        return line.recv(4) == b"SSH-"


def works(broker: str) -> bool:
    """Tell whether the worker on this host answers a ping."""
    from celery import Celery  # type: ignore[import-untyped]  # noqa: PLC0415 -- for workers alone

    node = f"celery@{socket.gethostname()}"
    return bool(Celery(broker=broker).control.ping(destination=[node], timeout=SECONDS))


if __name__ == "__main__":
    try:
        sys.exit(0 if main(sys.argv[1], sys.argv[2]) else f"{sys.argv[1]} is not healthy")
    except Exception as error:  # noqa: BLE001 -- whatever it is, the part does not answer; no address is told
        sys.exit(f"{sys.argv[1]} does not answer ({type(error).__name__})")
