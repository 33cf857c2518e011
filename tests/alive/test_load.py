"""Twenty partners drop many small files at once: none lost, none twice, every row accounted for.

`make test` drops 100; `make test-alive FILES=500` as many as are said.
"""

import os
import time

import pytest

from tests.alive.hub_up import PARTNERS, Alive, say

pytestmark = pytest.mark.needs("sftp")
FILES = int(os.environ.get("HUB_TEST_FILES", "100"))
PATIENCE = 900


def test_twenty_partners_drop_many_files_at_once(alive: Alive) -> None:
    each = FILES // PARTNERS
    lots = [
        (f"L{number:02d}", [alive.drop_file(f"L{number:02d}", rows=3) for _ in range(each)])
        for number in range(1, PARTNERS + 1)
    ]
    mark = alive.since()
    began = time.monotonic()
    alive.drop_at_once(lots)
    dropped = time.monotonic() - began
    done = alive.all_done(mark, each * PARTNERS, PATIENCE)
    seconds = time.monotonic() - began
    say(
        f"{len(done)} files of {PARTNERS} partners: dropped in {dropped:.1f} s,"
        f" all acknowledged in {seconds:.1f} s: {len(done) / seconds:.1f} files/s (goal: 4)"
    )
    alive.each_delivered_once(done)
