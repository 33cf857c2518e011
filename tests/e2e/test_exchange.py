"""A file goes through all six steps, and everybody gets exactly what they are owed."""

import json
import re
import string
import unicodedata
from collections import Counter
from datetime import datetime
from typing import Any, Literal

import jwt
import numpy as np
import polars as pl
import pytest
from joserfc import jwk
from joserfc import jwt as joserfc_jwt

from hub import persons, pseudonyms
from hub.database.session import raw
from hub.exchange import EPOCH
from hub.runtime import open_office
from schemas.agreement import Agreement, Field
from schemas.reasons import reason
from schemas.samples import Sample, sample
from tests.e2e.hub import COLLECTOR, Answer, Hub, agreement, conserved, make_key, plain_csv

E3, E2 = agreement("E3"), agreement("E2")
EDDSA_WARNS = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # RFC 9864; PyJWT has no other name
FILES: dict[str, tuple[Agreement, Literal["csv", "xlsx"], int]] = {
    "E3 CSV": (E3, "csv", 11),
    "E2 CSV": (E2, "csv", 22),
    "E2 XLSX": (E2, "xlsx", 33),
}
Exchange = tuple[Sample, Answer]


@pytest.fixture(scope="module")
def exchanges(hub: Hub) -> dict[str, Exchange]:
    """One file of each kind with 300 rows and every typical error, submitted."""
    done = {}
    for name, (under, form, seed) in FILES.items():
        made = sample(under, 300, seed, errors=True, file_format=form)
        if made.consents is not None:
            assert hub.bring_consents(made).status == 0
        done[name] = made, hub.submit(made, f"Liste {seed}")
    return done


@pytest.fixture(params=FILES)
def exchange(request: pytest.FixtureRequest, exchanges: dict[str, Exchange]) -> Exchange:
    return exchanges[request.param]


def test_every_typical_error_comes_out_with_its_count_and_its_reason(exchange: Exchange) -> None:
    made, answer = exchange
    assert (answer.status, answer.json["state"]) == (0, "acknowledged")
    assert answer.json["rows"] == {
        "received": 300,
        "delivered": made.delivered,
        "already_delivered": 0,
        "refused": sum(made.expected.values()),
        "withheld": sum(made.withheld.values()),
        "quarantined": 0,
    }
    assert answer.json["reasons"] == {**made.expected, **made.withheld}
    assert conserved(answer.json["rows"])


def test_the_samples_hold_every_error_that_their_agreements_know(exchanges: dict[str, Exchange]) -> None:
    planned = {code for made, _ in exchanges.values() for code in {**made.expected, **made.withheld}}
    assert len(planned) >= 25
    assert {"value.number_cell", "row.field_count", "row.obligation_missing", "consent.fields"} <= planned


def test_conservation_holds_in_the_database_as_well(hub: Hub, exchange: Exchange) -> None:
    answer = exchange[1].json
    with hub.superuser() as database:
        sums = database.execute(
            "SELECT fate, sum(rows)::int FROM hub.reason_count WHERE submission = %s GROUP BY fate",
            [answer["submission"]],
        ).fetchall()
    reasoned = {
        fate: count for fate, count in answer["rows"].items() if fate not in ("received", "delivered")
    }
    assert dict(sums) == {fate: count for fate, count in reasoned.items() if count}


def test_a_parcel_holds_exactly_the_rows_and_columns_agreed(hub: Hub, exchange: Exchange) -> None:
    made, answer = exchange
    parcel = hub.parcel(answer)
    under = made.agreement
    assert parcel.columns == [field.released_as or field.name for field in under.released]
    bare = parcel.drop("pseudonym", strict=False)
    good = treated(under, delivered_rows(made))
    if under.identity == "pseudonym":
        numbers = delivered_rows(made)["Teilnehmernummer"].to_list()
        people = resolved(hub, under, parcel["pseudonym"], numbers)
        expected = Counter(zip(numbers, good.rows(), strict=True))
        assert Counter(zip(people, bare.rows(), strict=True)) == expected
    else:
        assert bare.rows() == good.rows()


def test_no_dropped_column_is_in_a_parcel(hub: Hub, exchange: Exchange) -> None:
    made, answer = exchange
    content = {cell for row in hub.parcel(answer).rows() for cell in row}
    dropped = [field for field in made.agreement.fields if field.treatment in ("drop", "pseudonym")]
    assert dropped
    for field in dropped:
        values = set(delivered_rows(made)[field.header].to_list()) - {""}
        assert not content & (values | {canonical(field, value) for value in values})


def test_pseudonymous_rows_leave_in_an_order_that_tells_nothing_of_the_file(
    hub: Hub, exchanges: dict[str, Exchange]
) -> None:
    parcel = hub.parcel(exchanges["E3 CSV"][1])
    assert parcel["pseudonym"].is_sorted()
    assert parcel["pseudonym"].str.contains(r"\AP1[A-Z2-7]{54}\z").all()


def test_the_log_tells_the_whole_way_and_verifies(hub: Hub, exchange: Exchange) -> None:
    answer = exchange[1].json
    told = [entry for entry in hub.log() if entry.get("submission") == answer["submission"]]
    mine = [entry for entry in told if entry["kind"] != "collected"]
    kinds = ["submission", "receipt", "decision", "intent", "outcome", "receipt"]
    assert [entry["kind"] for entry in mine] == kinds
    decision, intent, outcome = mine[2:5]
    assert (decision["counts"], decision["reasons"]) == (outcome["counts"], outcome["reasons"])
    (parcel,) = answer["parcels"]
    assert (
        intent["parcel"] == outcome["parcel"] == {name: parcel[name] for name in ("name", "sha256", "bytes")}
    )
    assert outcome["reasons"] == answer["reasons"]
    assert outcome["counts"] == answer["rows"]
    replies = hub.saved(answer["submission"])
    tokens = [path for name, path in replies.items() if name.endswith(".jwt")]
    arguments = [part for path in tokens for part in ("--receipt", path)]
    found = hub.run("log", "verify", *arguments)
    assert (found.status, found.json["ok"], found.json["findings"]) == (0, True, [])


@EDDSA_WARNS
def test_receipts_verify_with_two_libraries_and_tell_coarse_reasons_only(
    hub: Hub, exchange: Exchange
) -> None:
    made, answer = exchange
    replies = hub.saved(answer.json["submission"])
    assert {name for name in replies if name.endswith(".jwt")} == {"received.jwt", "partially_accepted.jwt"}
    told = claims(hub, replies["partially_accepted.jwt"].read_text("ascii").strip())
    ((_, event),) = told["events"].items()
    assert event["rows"] == answer.json["rows"]
    coarse: Counter[str] = Counter()
    for code, count in {**made.expected, **made.withheld}.items():
        coarse[reason(code).coarse] += count
    assert event["reasons"] == dict(coarse)
    assert event["file"]["sha256"] == answer.json["sha256"]
    log = dict(enumerate(hub.log()))
    assert log[event["log"]["index"]]["kind"] == "outcome"
    first = claims(hub, replies["received.jwt"].read_text("ascii").strip())
    ((_, event),) = first["events"].items()
    assert log[event["log"]["index"]]["kind"] == "submission"


def test_a_report_for_programs_names_every_place_by_line_heading_and_code(
    hub: Hub, exchange: Exchange
) -> None:
    made, answer = exchange
    report = json.loads(hub.saved(answer.json["submission"])["report.json"].read_bytes())
    found = [(f["place"], f.get("column"), f["code"], f["fate"]) for f in report["findings"]]
    planned = [
        (row + 2, column, reason(code).coarse, fate) for row, _, column, code, fate in made.plan.iter_rows()
    ]
    assert sorted(found, key=str) == sorted(planned, key=str)
    assert report["rows"] == answer.json["rows"]
    letters = dict(zip(made.frame.columns, string.ascii_uppercase, strict=False))
    for finding in report["findings"]:
        in_sheet = made.file_format == "xlsx"
        assert finding.get("sheet") == ("Daten" if in_sheet else None)
        assert finding.get("letter") == (letters.get(finding.get("column", "")) if in_sheet else None)


@pytest.mark.parametrize(("name", "language"), [("bericht.txt", "de"), ("report.txt", "en")])
def test_a_report_for_people_opens_right_in_windows_and_names_every_place(
    hub: Hub, exchange: Exchange, name: str, language: str
) -> None:
    made, answer = exchange
    content = hub.saved(answer.json["submission"])[name].read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.endswith(b"\r\n")
    assert content.count(b"\n") == content.count(b"\r\n")
    text = content.decode("utf-8-sig")
    assert max(map(len, text.splitlines())) <= 100
    flowing = re.sub(r"\s+", " ", text)
    for row, _, column, code, _ in made.plan.iter_rows():
        told = reason(reason(code).coarse)
        assert f"{told.de if language == 'de' else told.en} ({told.code})" in flowing
        assert place_in_words(made, language, row + 2, column) in flowing
    german, english = "Jede Zeile ist gezählt.", "Every row is accounted for."
    assert (german if language == "de" else english) in text


def test_a_clerk_who_corrects_five_of_300_rows_sends_the_whole_sheet_again(hub: Hub) -> None:
    made = sample(E3, 300, 44)
    assert hub.bring_consents(made).status == 0
    first = hub.submit_csv(made)
    assert first.json["rows"]["delivered"] == 300
    fixed = [3, 77, 150, 201, 299]
    hours = made.frame["Stunden_Besucht"].scatter(fixed, ["7,5", "8", "9", "10,5", "11"])
    second = hub.submit_csv(made, made.frame.with_columns(hours))
    assert second.status == 0
    assert second.json["rows"] == {
        "received": 300,
        "delivered": 5,
        "already_delivered": 295,
        "refused": 0,
        "withheld": 0,
        "quarantined": 0,
    }
    assert second.json["reasons"] == {"delivery.already_delivered": 295}
    parcels = [hub.parcel(first), hub.parcel(second)]
    numbers = made.frame["Teilnehmernummer"].to_list()
    before, after = (dict(people_by_number(hub, E3, parcel, numbers)) for parcel in parcels)
    assert set(after) == {numbers[at] for at in fixed}
    assert {number: before[number] for number in after} == after, "a person keeps the pseudonym"
    assert sorted(parcels[1]["hours_attended"]) == sorted(["7.5", "8", "9", "10.5", "11"])


def test_a_correction_in_a_dropped_field_changes_nothing_for_the_recipient(hub: Hub) -> None:
    made = sample(E3, 30, 45)
    hub.bring_consents(made)
    assert hub.submit_csv(made).json["rows"]["delivered"] == 30
    names = made.frame["Nachname"].scatter([4], ["Ganz-Anders"])
    assert hub.submit_csv(made, made.frame.with_columns(names)).json["rows"]["already_delivered"] == 30


def test_a_corrected_row_of_a_statutory_report_is_delivered_beside_the_old_ones(hub: Hub) -> None:
    made = sample(E2, 30, 46)
    assert hub.submit_csv(made).json["rows"]["delivered"] == 30
    names = made.frame["Nachname"].scatter([4], ["Ganz-Anders"])
    again = hub.submit_csv(made, made.frame.with_columns(names))
    assert (again.json["rows"]["delivered"], again.json["rows"]["already_delivered"]) == (1, 29)
    assert hub.parcel(again)["last_name"].to_list() == ["Ganz-Anders"]


def test_the_internal_id_of_a_person_stands_in_no_parcel_and_not_in_the_log(
    hub: Hub, exchanges: dict[str, Exchange]
) -> None:
    """What leaves names nobody inside: neither the parcels nor the log hold a person's id."""
    parcel = hub.parcel(exchanges["E3 CSV"][1])
    with hub.superuser() as database:
        ids = [row[0] for row in database.execute("SELECT id FROM hub.person").fetchall()]
    content = plain_csv(parcel) + json.dumps(hub.log()).encode()
    assert ids
    assert not any(one in content or one.hex().encode() in content for one in ids)


def test_a_parcel_is_not_given_to_another_partner(hub: Hub, exchanges: dict[str, Exchange]) -> None:
    parcel = exchanges["E3 CSV"][1].json["parcels"][0]["id"]
    refused = hub.fetch(parcel, "jobcenter-peine")
    assert (refused.status, refused.code) == (1, "parcel.unknown")


def test_a_parcel_is_not_given_to_a_key_that_nobody_registered(
    hub: Hub, exchanges: dict[str, Exchange]
) -> None:
    parcel = exchanges["E3 CSV"][1].json["parcels"][0]["id"]
    stranger = hub.desk / "stranger"
    public = make_key(stranger)
    for key, code in ((stranger, "partner.unknown"), (public, "partner.key")):
        refused = hub.run("parcel", "fetch", parcel, "--key", key, "--out", hub.desk / "nobody")
        assert (refused.status, refused.code) == (1, code)
    assert not (hub.desk / "nobody").exists()


def test_a_suspended_partner_neither_fetches_nor_sends(hub: Hub, exchanges: dict[str, Exchange]) -> None:
    parcel = exchanges["E3 CSV"][1].json["parcels"][0]["id"]
    hub.key_of("integrationsbegleitung")
    suspend = "UPDATE hub.partner SET status = %s WHERE id = %s"
    with hub.superuser() as database:
        database.execute(suspend, ["suspended", "integrationsbegleitung"])
        database.execute(suspend, ["suspended", COLLECTOR])
        try:
            refused = hub.fetch(parcel, "integrationsbegleitung")
            unsent = hub.submit_csv(sample(E2, 5, 47))
            ungiven = hub.bring_consents(sample(E3, 5, 47))
        finally:
            database.execute(suspend, ["active", "integrationsbegleitung"])
            database.execute(suspend, ["active", COLLECTOR])
    assert (refused.status, refused.code) == (1, "partner.unknown")
    assert (unsent.status, unsent.code) == (1, "partner.suspended")
    assert (ungiven.status, ungiven.code) == (1, "partner.unknown")


def test_a_parcel_is_not_written_in_the_clear_under_hub_home(
    hub: Hub, exchanges: dict[str, Exchange]
) -> None:
    told = exchanges["E3 CSV"][1].json["parcels"][0]
    key = hub.key_of("integrationsbegleitung")
    (hub.desk / "way in").symlink_to(hub.home)
    for out in (hub.home, hub.home / "data" / "outbox", hub.desk / "way in"):
        refused = hub.run("parcel", "fetch", told["id"], "--key", key, "--out", out)
        assert (refused.status, refused.code) == (1, "parcel.target")
    assert not [path for path in hub.home.rglob("*") if path.name == told["name"]]


def test_each_collection_of_a_parcel_is_logged_as_its_recipients(hub: Hub) -> None:
    answer = hub.submit(sample(E2, 8, 48, file_format="xlsx"), "Liste 48")
    (parcel,) = answer.json["parcels"]
    assert hub.fetch(parcel["id"], "jobcenter-peine").status == 0
    assert hub.fetch(parcel["id"], "jobcenter-peine").status == 0
    mine = [e for e in hub.log() if e["kind"] == "collected" and e["submission"] == answer.json["submission"]]
    assert [entry["actor"] for entry in mine] == [{"role": "recipient", "id": "jobcenter-peine"}] * 2
    (line,) = [p for p in hub.run("parcel", "list").json["parcels"] if p["id"] == parcel["id"]]
    assert line["collected_at"]


def delivered_rows(made: Sample) -> pl.DataFrame:
    """The rows of a sample that nothing is planned against, as raw texts."""
    spoilt = made.plan["row"].to_list()
    return made.frame.with_row_index("row").filter(~pl.col("row").is_in(spoilt)).drop("row")


def treated(under: Agreement, rows: pl.DataFrame) -> pl.DataFrame:
    """The released columns of good rows as the agreement words them, pseudonyms left out."""
    kept = [field for field in under.fields if field.treatment == "keep"]
    return pl.DataFrame(
        {field.name: [canonical(field, text) for text in rows[field.header]] for field in kept},
        schema=dict.fromkeys((field.name for field in kept), pl.String),
    )


def canonical(field: Field, text: str) -> str:
    """A good cell as its recipient reads it, said once more in plain words."""
    if text and field.check in ("date", "birth_date") and "." in text:
        day, month, year = text.split(".")
        return f"{year}-{month}-{day}"
    if text and field.check == "month" and "." in text:
        month, year = text.split(".")
        return f"{year}-{month}"
    if text and field.check == "decimal":
        return text.replace(",", ".")
    if text and field.check == "code":
        codes = field.options["codes"]
        assert isinstance(codes, dict)
        return str(codes[text])
    return unicodedata.normalize("NFC", text)


def resolved(hub: Hub, under: Agreement, written: pl.Series, numbers: list[str]) -> list[str]:
    """Whose pseudonyms these are, by participant number; opened with the hub's own keys."""
    assert under.person is not None
    with open_office(hub.settings) as office, office.database.transaction() as session:
        macs = persons.number_macs(office.ring, under.person.space, pl.Series(numbers))
        ids, known = persons.find(raw(session), under.person.space, macs)
        assert known.all()
        found, valid = pseudonyms.persons(office.ring, under.recipient.id, under.purpose, EPOCH, written)
        assert np.all(valid)
    by_id = {one.tobytes(): number for one, number in zip(ids, numbers, strict=True)}
    return [by_id[one.tobytes()] for one in found]


def people_by_number(
    hub: Hub, under: Agreement, parcel: pl.DataFrame, numbers: list[str]
) -> list[tuple[str, str]]:
    people = resolved(hub, under, parcel["pseudonym"], numbers)
    return list(zip(people, parcel["pseudonym"], strict=True))


def claims(hub: Hub, token: str) -> dict[str, Any]:
    """The claims of a receipt, as two libraries agree on them."""
    pem = (hub.settings.public / "receipts.pem").read_bytes()
    by_joserfc = joserfc_jwt.decode(token, jwk.OKPKey.import_key(pem), algorithms=["EdDSA"])
    by_pyjwt: dict[str, Any] = jwt.decode(token, pem, algorithms=["EdDSA"], audience=COLLECTOR)
    assert by_joserfc.claims == by_pyjwt
    assert by_joserfc.header["typ"] == "secevent+jwt"
    assert datetime.fromtimestamp(by_pyjwt["iat"]).astimezone()
    return by_pyjwt


def place_in_words(made: Sample, language: str, place: int, column: str | None) -> str:
    line, named, sheet, cell = (
        ("Zeile", "Spalte", "Blatt", "Zelle") if language == "de" else ("Line", "column", "Sheet", "cell")
    )
    heading = f", {named} {column}" if column else ""
    if made.file_format == "csv":
        return f"{line} {place}{heading}"
    letter = dict(zip(made.frame.columns, string.ascii_uppercase, strict=False)).get(column or "")
    return f"{sheet} Daten, {f'{cell} {letter}{place}' if letter else f'{line} {place}'}{heading}"
