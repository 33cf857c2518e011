"""Logs that are signed rightly and tell a story without its end, and which findings say so."""

import json
from collections.abc import Callable

from tests.e2e.made_kits import Log, counts, story


def without_outcome(log: Log) -> None:
    for fields in story(1)[:4]:
        log.add(fields)


def without_receipt(log: Log) -> None:
    for fields in story(1)[:5]:
        log.add(fields)


def without_beginning(log: Log) -> None:
    for fields in story(1)[2:]:
        log.add(fields)


def without_intent(log: Log) -> None:
    for at in (0, 1, 2, 4, 5):
        log.add(story(1)[at])


def with_other_counts(log: Log) -> None:
    for fields in story(1):
        told = dict(fields)
        if told["kind"] == "outcome":
            told["counts"] = counts(12, refused=5)
        log.add(told)


def with_wrong_sum(log: Log) -> None:
    for fields in story(1):
        log.add(fields | ({"counts": {**fields["counts"], "received": 99}} if "counts" in fields else {}))


def committed_to_others(log: Log) -> None:
    for fields in story(1):
        log.add(fields | ({"commitment": {"rows": 3}} if fields["kind"] == "intent" else {}))


def spelled_otherwise(log: Log) -> None:
    log.append(json.dumps(json.loads(log.bodies[0])).encode())
    log.append(log.bodies[0][:-1] + b',"z":1.5}')
    log.append(log.bodies[0][:-1] + b',"z":9007199254740993}')
    log.append(log.bodies[0][:-1] + b',"z":"\xff"}')
    log.append(log.bodies[0][:-1] + b',"z":"\\ud800"}')
    log.append(b"[]")


def of_no_kind(log: Log) -> None:
    log.add({"kind": "rumour"})
    log.add({"kind": "alarm", "reason": "disk", "nonce": "short"})
    log.add({"kind": "alarm", "reason": "disk", "time": "2026-01-05 08:00:00"})
    log.add({"kind": "intent", "submission": "S"})


def late(log: Log) -> None:
    for fields in story(1)[:2]:
        log.add(fields)
    log.add({"kind": "alarm", "reason": "disk"}, minutes=60 * 24 * 30)


def out_of_time(log: Log) -> None:
    log.add({"kind": "alarm", "reason": "clock"}, minutes=5000)
    log.add({"kind": "alarm", "reason": "clock"}, minutes=1)
    log.add({"kind": "alarm", "reason": "clock", "time": "2026-02-31T08:00:00.000000Z"})


def resting(log: Log) -> None:
    opened, received, decided, intent, outcome, receipt = story(1)
    del outcome["parcel"]
    held = {"reason": "batch.refused_share", "counts": counts(12, quarantined=12)}
    for fields in (opened, received, decided, outcome | held, receipt, outcome | held):
        log.add(fields)
    stopped = {"reason": "stopped", "parcel": intent["parcel"]}
    log.add(intent)
    log.add({name: outcome[name] for name in ("kind", "submission", "agreement")} | stopped)


def awkward_texts(log: Log) -> None:
    log.add({"kind": "alarm", "reason": 'a "quote", a\nline, \r\n and \N{GRINNING FACE} \u007f'})
    log.add(
        {"kind": "alarm", "reason": "x", "details": {"\ufb33": 1, "\U0001f600": 2, "\u20ac": -3, "e": 10**15}}
    )


STORIES: dict[Callable[[Log], None], set[str]] = {
    without_outcome: set(),
    late: {"complete.submission_open"},
    without_receipt: {"complete.receipt_missing"},
    without_beginning: {"complete.submission_missing", "complete.intent_missing"},
    without_intent: {"complete.intent_missing"},
    with_other_counts: {"complete.counts"},
    with_wrong_sum: {"complete.counts"},
    committed_to_others: {"commitment.rows"},
    spelled_otherwise: {"entry.canonical"},
    of_no_kind: {"entry.catalogue"},
    out_of_time: set(),
    resting: set(),
    awkward_texts: set(),
}
