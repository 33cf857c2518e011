"""pruefen.html and what an auditor brings to a kit: trust, receipts, kept checkpoints; and kits in part."""

from base64 import b64encode
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.e2e.accessible import flaws
from tests.e2e.kit_desk import Case, Desk, agreed, at_desk, codes, places, shoot
from tests.e2e.made_kits import Log, Witness, witnessed_log

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with at_desk(tmp_path_factory.mktemp("desk")) as (opened, _):
        yield opened


@pytest.fixture(scope="module")
def log() -> Log:
    return witnessed_log()


def test_without_a_trust_file_nothing_is_proved(desk: Desk, log: Log) -> None:
    told = agreed(desk, Case(desk.lay("good.zip", log.members()), None))
    assert codes(told) == {"trust.missing"}
    expect(desk.page.get_by_role("heading", name="Ohne Vertrauensdatei nicht bewiesen")).to_be_visible()
    shoot(desk, "kit-untrusted")


def test_a_kit_wholly_signed_anew_fails(desk: Desk, log: Log) -> None:
    forged = Log()
    for number in range(60):
        forged.tell(number)
        forged.sign()
    case = Case(desk.lay("forged.zip", forged.members()), desk.lay("trust.txt", log.trust()))
    told = agreed(desk, case)
    assert {"checkpoint.signature", "trust.quorum"} <= codes(told)
    expect(desk.page.get_by_role("heading", name="Nicht bewiesen", exact=True)).to_be_visible()
    assert flaws(desk.page) == []
    shoot(desk, "kit-forged")


def test_a_kit_of_another_log_fails(desk: Desk, log: Log) -> None:
    other = Log("elsewhere.example/log")
    other.tell(1)
    other.sign()
    case = Case(desk.lay("other.zip", other.members()), desk.lay("trust.txt", log.trust()))
    assert places(agreed(desk, case), "trust.other_log") == ["elsewhere.example/log"]


def test_lines_of_the_trust_file_that_cannot_be_read_are_named(desk: Desk, log: Log) -> None:
    again, witness = log.trust().splitlines()[1], Witness("w.example/three")
    lines_more = (
        *("kept 12 xyz", "kept 0012 " + b64encode(bytes(32)).decode(), again, "quorum w0", "rumour"),
        *(f"witness w0 {witness.vkey}", f"witness w9 {log.witnesses[0].vkey}", f"log {witness.vkey}"),
        *("group g any", "group g 3 w0 w1", "group g constructor w0", "group h all nobody", "kept 1"),
    )
    kit = desk.lay("good.zip", log.members())
    told = agreed(desk, Case(kit, desk.lay("odd.txt", log.trust(*lines_more))))
    assert len(places(told, "trust.malformed")) == len(lines_more)
    told = agreed(desk, Case(kit, desk.lay("odd.txt", "# nobody\n\n")))
    assert codes(told) == {"trust.no_log"}


def test_what_was_kept_shows_a_fork_and_a_cut(desk: Desk, log: Log) -> None:
    kit, trust = desk.lay("good.zip", log.members()), log.trust()
    longer = grown(log, 700)
    root = b64encode(log.root(60)).decode()
    told = agreed(
        desk,
        Case(
            kit,
            desk.lay("kept.txt", log.trust(f"kept 60 {root}")),
            kept=[
                desk.lay("kept.note", log.notes[120]),
            ],
        ),
    )
    assert told["ok"]
    told = agreed(
        desk,
        Case(
            kit,
            desk.lay("kept.txt", trust + f"kept 66 {root}\n"),
            kept=[
                desk.lay("longer.note", longer.notes[700]),
                desk.lay("torn.note", log.notes[120][:-2]),
                desk.lay(
                    "unsigned.note",
                    log.notes[120].replace(
                        "hub.landkreis.example/log\n120", "hub.landkreis.example/log\n121"
                    ),
                ),
            ],
        ),
    )
    assert codes(told) == {"log.cut", "log.forked", "kept.malformed", "kept.signature"}
    assert places(told, "log.cut") == ["601-699"]


def grown(log: Log, size: int) -> Log:
    """The same log with more entries, signed at that size."""
    longer = Log()
    longer.key = log.key
    for body in log.bodies:
        longer.append(body)
    while len(longer.bodies) < size:
        longer.add({"kind": "alarm", "reason": "disk"})
    longer.sign()
    return longer


def test_a_receipt_of_an_entry_whose_body_is_erased_is_in_the_log(desk: Desk) -> None:
    log = Log()
    log.tell(0)
    log.add({"kind": "retention", "span": {"first": 0, "last": 5}, "counts": {"submission": 6}})
    log.sign()
    kit, trust = desk.lay("erased.zip", log.members(erased=range(6))), desk.lay("trust.txt", log.trust())
    told = agreed(desk, Case(kit, trust, [desk.lay("late.jwt", log.receipt(3))]))
    assert codes(told) == set()
    assert [(one["in"], one["index"]) for one in told["receipts"]] == [(True, 3)]


def test_receipts_are_told_to_be_in_the_log_or_not(desk: Desk, log: Log) -> None:
    good = log.receipt(8)
    head, body, _ = good.split(".")
    receipts = {
        "good.jwt": good,
        "elsewhere.jwt": log.receipt(8, index=14),
        "beyond.jwt": log.receipt(8, index=100_000),
        "uncovered.jwt": log.receipt(590, note=log.notes[60]),
        "other.jwt": log.receipt(8, checkpoint=note_of_nothing()),
        "forged.jwt": f"{head}.{body}.{b64encode(bytes(64)).decode().replace('=', '')}",
        "torn.jwt": good[:-90],
        "no.jwt": "no receipt",
    }
    kit = desk.lay("good.zip", log.members())
    case = Case(kit, desk.lay("trust.txt", log.trust()), [desk.lay(*one) for one in receipts.items()])
    told = agreed(desk, case)
    assert [one["in"] for one in told["receipts"]] == [True] + [False] * 7
    assert codes(told) == {
        f"receipt.{flaw}" for flaw in ("leaf", "missing", "checkpoint", "signature", "malformed")
    }
    expect(desk.page.get_by_role("cell", name="nicht im Protokoll")).to_have_count(7)
    shoot(desk, "kit-receipts")
    keyless = "\n".join(line for line in log.trust().splitlines() if not line.startswith("receipt"))
    told = agreed(desk, Case(kit, desk.lay("keyless.txt", keyless), [desk.lay("good.jwt", good)]))
    assert codes(told) == {"trust.no_receipt_key"}


def note_of_nothing() -> str:
    empty = Log()
    return empty.sign()


def test_erased_bodies_are_accepted_where_a_later_entry_announces_them(desk: Desk) -> None:
    log = Log()
    for number in range(50):
        log.tell(number)
    log.sign()
    log.add(
        {"kind": "retention", "reason": "period", "span": {"first": 0, "last": 99}, "counts": {"bodies": 100}}
    )
    log.tell(50)
    log.sign()
    trust = desk.lay("erased.txt", log.trust())
    told = agreed(desk, Case(desk.lay("erased.zip", log.members(erased=range(100))), trust))
    assert (told["ok"], told["erased"], told["entries"]) == (True, 100, 207)
    told = agreed(desk, Case(desk.lay("part.zip", log.members(60, 239, erased=range(100))), trust))
    assert (told["ok"], told["erased"]) == (True, 40)
    told = agreed(desk, Case(desk.lay("more.zip", log.members(erased=[*range(102), 302])), trust))
    assert places(told, "entry.erased") == ["100-101", "302"]
    told = agreed(desk, Case(desk.lay("fewer.zip", log.members(erased=range(90))), trust))
    assert codes(told) == {"retention.counts"}
    members = log.members(60, 239, erased=range(100))
    members["retention.tsv"] = members["retention.tsv"].replace(b'"first":0', b'"first":1')
    told = agreed(desk, Case(desk.lay("lied.zip", members), trust))
    assert codes(told) == {"entry.hash", "entry.erased"}


def test_a_kit_of_a_period_says_what_it_cannot_see(desk: Desk, log: Log) -> None:
    log.add({"kind": "alarm", "reason": "disk"}, minutes=60 * 24 * 20)
    witnesses, log.witnesses = log.witnesses, []
    log.sign()
    log.witnesses = witnesses
    case = Case(desk.lay("period.zip", log.members(303)), desk.lay("trust.txt", log.trust()))
    told = agreed(desk, case)
    assert codes(told) == set()
    assert {one["code"] for one in told["notes"]} == {
        "note.before",
        "note.outside",
        "note.signatures",
        "note.unwitnessed",
    }
    shoot(desk, "kit-period")


def test_a_thousand_findings_of_a_kind_are_counted(desk: Desk) -> None:
    log = Log()
    for number in range(40):
        log.tell(number)
    log.sign()
    members = log.members()
    members["entries.tsv"] = members["entries.tsv"].replace(b'"nonce":"', b'"nonce":"0')
    told = agreed(desk, Case(desk.lay("many.zip", members), desk.lay("many.txt", log.trust())))
    assert places(told, "entry.hash").count("+190") == 1
