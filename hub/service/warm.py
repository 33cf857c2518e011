"""Airflow's program, started with the hub already loaded: ``python -m hub.service.warm scheduler``.

The scheduler forks its workers, and each worker forks a process for every task. What is loaded before they
fork, each task has at once; loaded anew it would cost every task seconds. Nothing is computed here: a pool of
threads that has begun its work does not survive a fork.
"""

import runpy
import sys
from importlib import import_module

from sqlalchemy.orm import configure_mappers

from hub import batch_suite
from schemas.reasons import catalogue

PARTS = ("hub.runtime", "hub.lots")


def load() -> None:
    """Load what the tasks of an exchange need, Great Expectations included."""
    for part in PARTS:
        import_module(part)
    configure_mappers()
    catalogue()
    batch_suite.load()
    batch_suite.metrics_frames()


if __name__ == "__main__":
    load()
    sys.argv[0] = "airflow"
    runpy.run_module("airflow", run_name="__main__", alter_sys=True)
