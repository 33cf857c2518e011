"""One worker at a time: leases end by time or with their process, and a raised fence stops an orphan."""

import os
import subprocess
import sys

import pytest
from sqlalchemy import text

from hub import lease
from hub.database.models import AgreementVersion, Partner, Submission
from hub.database.session import Database
from hub.errors import Refused, Transient


@pytest.fixture
def submission(database: Database) -> str:
    with database.transaction() as session:
        session.add_all([Partner(id="a", name="A"), Partner(id="b", name="B")])
        session.add(AgreementVersion(id="E1", version="1.0.0", digest="0", body={}, status="active"))
        session.flush()
        session.add(
            Submission(id="S-1", agreement="E1", agreement_version="1.0.0", sender="a", sha256="0", bytes=1)
        )
    return "S-1"


def test_a_second_worker_has_to_wait_for_a_living_one(database: Database, submission: str) -> None:
    with database.transaction() as session:
        lease.claim(session, submission, 60)
    with pytest.raises(Transient, match=r"lease\.held"), database.transaction() as session:
        lease.claim(session, submission, 60)


def test_a_lease_that_has_run_out_is_taken_over_and_its_old_holder_stopped(
    database: Database, submission: str
) -> None:
    with database.transaction() as session:
        old = lease.claim(session, submission, 60)
    with database.transaction() as session:
        session.execute(text("UPDATE hub.submission SET lease_until = clock_timestamp()"))
    with database.transaction() as session:
        new = lease.claim(session, submission, 60)
    assert new.fence > old.fence
    with pytest.raises(Transient, match=r"lease\.lost"), database.transaction() as session:
        lease.hold(session, old)
    with pytest.raises(Transient, match=r"lease\.lost"), database.transaction() as session:
        lease.renew(session, old, 60)
    with database.transaction() as session:
        lease.release(session, old)
        assert lease.hold(session, new).lease_holder is not None


def test_the_lease_of_a_process_that_is_gone_is_free_at_once(database: Database, submission: str) -> None:
    code = "from hub import lease; print(lease.holder())"
    gone = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert lease.is_gone(gone)
    assert not lease.is_gone(lease.holder())
    elsewhere = "another-boot/pid:[1]/1/1"
    assert not lease.is_gone(elsewhere), "of a process of another machine nothing is known"
    with database.transaction() as session:
        lease.claim(session, submission, 600)
        session.execute(text("UPDATE hub.submission SET lease_holder = :gone"), {"gone": gone})
    with database.transaction() as session:
        lease.claim(session, submission, 600)
        held_by = session.scalar(text("SELECT lease_holder FROM hub.submission"))
        assert f"/{os.getpid()}/" in str(held_by)


def test_an_unknown_submission_has_no_lease(database: Database) -> None:
    with pytest.raises(Refused, match=r"submission\.unknown"), database.transaction() as session:
        lease.claim(session, "S-0", 60)
