"""The command line of the hub: stable, because people, tests and benchmarks call it."""

from hub.cli.program import main

__all__ = ["main"]
