"""Great Expectations in a process of its own, so that it loads while rows are read.

The process is made of ``hub.batch_suite`` alone and gets the figures of batches, never a row. It needs no
looking after: it ends when its questions do, also when the hub is killed. Where it dies, hangs or fails, the
same is done here instead; where Great Expectations is loaded already (in workers forked from a process that
has it), there is none.
"""

import contextlib
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hub import batch_suite
from hub.batch_suite import Answer, Bounds

PROGRAM: Final = Path(batch_suite.__file__)
PATIENCE: Final = 120  # seconds for an answer, loading included; a very busy machine has needed 70


class SuiteProcess:
    """The batch suite of one hub process; ``get_ready`` is worth calling as soon as rows are coming."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def get_ready(self) -> None:
        """Begin to load Great Expectations beside this process, unless that is done or under way."""
        if self._process is not None or "great_expectations" in sys.modules:
            return
        with contextlib.suppress(OSError):  # no room for one more process: it loads here, when it is asked
            self._process = subprocess.Popen(
                # -P: the program's folder is no place to import from (it holds modules named like others').
                [sys.executable, "-P", str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def answers(self, figures: Mapping[str, float], asked: Sequence[Bounds]) -> list[Answer]:
        """Answer as ``hub.batch_suite.run`` does, and raise what it raises."""
        told = self._ask(figures, asked)
        return batch_suite.run(figures, asked) if told is None else told

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        with contextlib.suppress(OSError), process:  # the end of the block closes the pipes and waits
            pass

    def _ask(self, figures: Mapping[str, float], asked: Sequence[Bounds]) -> list[Answer] | None:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            return None
        try:
            self._process.stdin.write(batch_suite.question(figures, asked))
            self._process.stdin.flush()
            if select.select([self._process.stdout], [], [], PATIENCE)[0]:
                return batch_suite.answers(self._process.stdout.readline())
        except (OSError, ValueError, TypeError):
            pass
        self.close()
        return None
