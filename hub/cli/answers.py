"""How the command line answers: text or one JSON object on stdout, errors on stderr, and the exit status."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, NoReturn
from zoneinfo import ZoneInfo

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from hub.errors import HubError, defect

BERLIN = ZoneInfo("Europe/Berlin")
DONE, FAILED = 0, 1
PIPE_WIDTH = 400  # tables are cut for a terminal only
Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON object on stdout.")]
STDERR = Console(stderr=True, highlight=False, soft_wrap=True)


def say(answer: Mapping[str, Any], *, as_json: bool, text: Callable[[], object]) -> None:
    """Give an answer: the whole mapping as JSON, or its text (a string, or something that rich can draw)."""
    if as_json:
        sys.stdout.write(json.dumps(answer, ensure_ascii=False, default=str) + "\n")
    else:
        console = Console(highlight=False, soft_wrap=True)
        if not console.is_terminal:
            console.width = PIPE_WIDTH
        console.print(text())


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Draw a plain table; instants are told as Berlin's clocks have it."""
    drawn = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*(_cell(cell) for cell in row))
    return drawn


def _cell(cell: object) -> str:
    if isinstance(cell, datetime):
        return cell.astimezone(BERLIN).strftime("%Y-%m-%d %H:%M:%S")
    return "" if cell is None else str(cell)


@contextmanager
def progress(task: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done; silent elsewhere."""
    with STDERR.status(task) as status:
        yield lambda step: status.update(f"{task}: {step}")


def fail(code: str, message: str, remedy: str) -> NoReturn:
    """End with exit status 1 and say why and what to do."""
    STDERR.print(f"[bold red]{code}[/]: ", end="")
    STDERR.print(message, markup=False)
    STDERR.print(f"-> {remedy}", markup=False)
    raise typer.Exit(FAILED)


@contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Turn every error into an answer. What is not the hub's own may quote a row: only its place is told.

    What the core warns of meanwhile (a hub that is closed, for instance) goes to stderr as well.
    """
    warnings = logging.StreamHandler()
    logging.getLogger("hub").addHandler(warnings)
    try:
        yield
    except HubError as error:
        _answer_error(error.code, error.message, error.remedy, as_json=as_json)
    except (typer.Exit, typer.Abort, KeyboardInterrupt):
        raise
    except ValidationError as error:
        if error.title != "Settings":
            _answer_defect(error, as_json=as_json)
        names = ", ".join(f"HUB_{part['loc'][0]}".upper() for part in error.errors(include_input=False))
        message = f"expected another kind of value in {names}"
        _answer_error(
            "settings.value", message, "correct the environment; see hub/settings.py", as_json=as_json
        )
    except Exception as error:  # noqa: BLE001 -- the last door before the terminal
        _answer_defect(error, as_json=as_json)
    finally:
        logging.getLogger("hub").removeHandler(warnings)


def _answer_defect(error: Exception, *, as_json: bool) -> NoReturn:
    found = defect(error)
    _answer_error(found.code, found.message, found.remedy, as_json=as_json)


def _answer_error(code: str, message: str, remedy: str, *, as_json: bool) -> NoReturn:
    if as_json:
        sys.stdout.write(
            json.dumps({"error": {"code": code, "message": message, "remedy": remedy}}, ensure_ascii=False)
            + "\n"
        )
    fail(code, message, remedy)
