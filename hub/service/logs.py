"""What components write: one file each in run/logs, mode 0600, bounded, with the one before it beside it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_BYTES = 20_000_000


@contextmanager
def open_log(log: Path) -> Iterator[int]:
    """Open a component's log to be appended to; an earlier run's moves aside when it has grown large."""
    trim(log)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield output
    finally:
        os.close(output)


def trim(log: Path) -> None:
    """Move what a log holds to ``<log>.1`` when it has grown large; its writer, who appends, goes on."""
    if log.exists() and log.stat().st_size > MOST_BYTES:
        older = log.with_name(f"{log.name}.1")
        older.unlink(missing_ok=True)
        handle = os.open(older, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with log.open("rb") as source, os.fdopen(handle, "wb") as sink:
            shutil.copyfileobj(source, sink)
        os.truncate(log, 0)
