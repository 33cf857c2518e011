"""The play: drops from several partners at once, what people decide, what partners fetch, the proof."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.consents import read_consents
from hub import consent_register, exchange, registry, review
from hub.demo import account, auditor, script
from hub.demo.account import Line
from hub.demo.cast import REVIEWERS, Cast, assemble
from hub.demo.script import Drop
from hub.errors import Transient
from hub.office import Office
from hub.states import FINAL, RESTING, State
from schemas.agreement import SHIPPED

PATIENCE: Final = 300  # seconds until a drop that comes to nothing is a failure
GLANCE: Final = 0.5  # seconds between two looks

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What the demonstration came to: a line per drop, everything that was not as scripted, figures."""

    lines: list[Line]
    deviations: list[str]
    log_size: int
    drop_to_receipt: float  # seconds
    desk: Path


def play(office: Office, desk: Path, tell: Tell) -> Outcome:
    """Perform the demonstration in a running hub; partners' files and what they fetch lie in ``desk``."""
    written = script.write(desk / "files", seed=time.time_ns() % 2**31)
    cast = assemble(office, registry.read_agreements([SHIPPED]))
    for file in written.consents:
        done = consent_register.bring_in(office, script.COURSES, read_consents(file))
        tell(f"{script.COURSES} brings {done.rows} consents")
    together = (*written.first, written.held)
    _drop_at_once(cast, together, tell)
    _watch(office, together, tell)
    _release(office, cast, written.held, tell)
    _drop_at_once(cast, written.then, tell)
    _watch(office, (*written.then, written.held), tell)
    seconds = _timed(cast, written.timed, tell)
    drops = (*written.first, written.held, *written.then, written.timed)
    lines = [account.line(office, drop) for drop in drops]
    deviations = [f"{one.drop.file.name} {found}" for one in lines for found in one.deviations]
    if not deviations:
        tell("partners fetch receipts, recipients fetch parcels, each by sftp")
        deviations += account.fetch(office, cast, lines, desk)
    tell("an auditor verifies the log")
    receipts = sorted(desk.glob("*/receipts/*.jwt"))
    size, findings = account.prove(office, receipts)
    kit = auditor.take_away(office, desk / "auditor")
    findings += auditor.verify(kit, receipts, len(drops))
    tell(f"the auditor takes {kit.name} away and verifies it with Python alone: {kit}")
    return Outcome(lines, deviations + findings, size, seconds, desk)


def _drop_at_once(cast: Cast, drops: tuple[Drop, ...], tell: Tell) -> None:
    with ThreadPoolExecutor(len(drops)) as partners:
        visits = [
            (drop, partners.submit(cast.clients[drop.partner].drop, drop.file, drop.agreement))
            for drop in drops
        ]
        for drop, visit in visits:
            visit.result()
            tell(f"{drop.partner} drops {drop.file.name} for {drop.agreement} ({drop.title})")


def _watch(office: Office, drops: tuple[Drop, ...], tell: Tell) -> None:
    """Tell every change of state until all rest."""
    seen: dict[str, State] = {}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for drop in drops:
            identity = account.submission_of(office, drop)
            if identity is None:
                continue
            state = exchange.state_of(office, identity)
            if seen.get(drop.file.name) != state:
                seen[drop.file.name] = state
                tell(f"{drop.file.name}: {state.value}")
        if len(seen) == len(drops) and all(state in FINAL | RESTING for state in seen.values()):
            return
        time.sleep(GLANCE)
    raise Transient(
        "demo.patience", f"not everything came to rest within {PATIENCE} s", "see HUB_HOME/run/logs"
    )


def _release(office: Office, cast: Cast, held: Drop, tell: Tell) -> None:
    """Two people look at what was held back, and release it, each with a key of their own."""
    identity = account.submission_of(office, held)
    if identity is None or exchange.state_of(office, identity) not in RESTING:
        return  # the account will tell
    for name in REVIEWERS:
        review.sign_and_decide(office, identity, "approve", name, cast.keys[name])
        tell(f"{name} approves {identity} with a key of their own")


def _timed(cast: Cast, drop: Drop, tell: Tell) -> float:
    """Take the time from the start of a drop to the signed receipt of its outcome, as its sender sees it."""
    client = cast.clients[drop.partner]
    before = set(client.receipts())  # of an earlier demonstration in the same home
    began = time.monotonic()
    client.drop(drop.file, drop.agreement)
    while time.monotonic() < began + PATIENCE:
        fresh = set(client.receipts()) - before
        if any(name.startswith(drop.file.stem) and "accepted" in name for name in fresh):
            seconds = time.monotonic() - began
            tell(f"from drop to receipt: {seconds:.1f} s")
            return seconds
        time.sleep(GLANCE)
    raise Transient("demo.patience", f"no receipt within {PATIENCE} s", "see HUB_HOME/run/logs")
