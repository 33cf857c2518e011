"""The hub up: everything that belongs to it started, watched, and ended again."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hub import staff
from hub.errors import Refused
from hub.runtime import airflow_access, open_office
from hub.service.component import Kept, Program, Status
from hub.service.components import EmbeddedDatabase, hub_components
from hub.service.health import require_free
from hub.service.logins import logins_file
from hub.service.record import sole_supervisor
from hub.service.schema import prepare_airflow
from hub.service.supervisor import Supervisor
from hub.service.watch import watching
from hub.settings import Settings

PATIENCE = 300.0  # seconds until every component must have answered; two busy cores take long


@dataclass(frozen=True)
class Running:
    """A hub that is up: where it answers, who may log in, how its components are."""

    addresses: Mapping[str, str]
    logins: Mapping[str, str]
    logins_file: Path
    status: Callable[[], list[Status]]


@contextmanager
def running(
    settings: Settings, tell: Callable[[str], None] = lambda _line: None, *, patience: float = PATIENCE
) -> Iterator[Running]:
    """Have the whole hub run during the block, and nothing of it afterwards.

    What a dead supervisor of the same HUB_HOME left is ended first. ``tell`` gets a line for each thing that
    happens, from any thread; ``patience`` is how many seconds everything may take to answer.

    Raises:
        Refused: ``hub.not_initialised``, ``service.running`` beside a living one, ``service.port``,
            ``service.airflow``, ``service.component``, and as the embedded database does.
        Transient: ``service.slow``, ``disk.full``, ``database.away``.
    """
    _heed_interrupts()
    with airflow_access(settings) as access, sole_supervisor(settings.run) as record:
        for name in record.sweep():
            tell(f"{name}: left over by a supervisor that died, ended")
        require_free(settings.web_host, settings.web_port, "HUB_WEB_PORT")
        require_free(settings.drop_host, settings.drop_port, "HUB_DROP_PORT")
        tell("database: ready")
        logins = prepare_airflow(settings, access, tell)
        _know(settings)
        kept: list[Kept] = []
        if settings.database_url is None:
            kept.append(EmbeddedDatabase(settings, tell))
        logs = settings.run / "logs"
        kept += [Program(part, logs, record, tell) for part in hub_components(settings, access)]
        supervisor = Supervisor(kept, tell)
        with supervisor.at_work(), watching(settings, tell):
            supervisor.wait_until_ready(patience)
            yield Running(
                {
                    "pages": settings.web_address,
                    "drop": f"sftp://{settings.drop_host}:{settings.drop_port}",
                },
                logins,
                logins_file(settings),
                supervisor.status,
            )


def _heed_interrupts() -> None:
    """Hear Ctrl-C also where a shell started us in the background, which has it ignored.

    What is ignored here would be ignored by all that is started from here; Airflow ends its parts by it.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _know(settings: Settings) -> None:
    """Make the named users known to the hub in their roles; who was suspended stays so."""
    with open_office(settings) as office:
        for name, role in staff.LOGINS.items():
            with suppress(Refused):
                staff.ensure(office, name, role)
