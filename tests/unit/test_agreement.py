"""Agreements: what is written in the files, and that nothing unsound can be written in them."""

import json
import re
from importlib import resources
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft201909Validator

from schemas.agreement import SHIPPED, Agreement, AgreementError, ConsentBasis, Statute, load_agreement
from schemas.codelists import code_list
from schemas.documents import read

E2_FILE, E3_FILE, E7_FILE = (SHIPPED / f"{name}.yaml" for name in ("e2", "e3", "e7"))


def problems(text: str, tmp_path: Path) -> list[tuple[int, str, str]]:
    path = tmp_path / "agreement.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AgreementError) as caught:
        load_agreement(path)
    assert all(problem.file == "agreement.yaml" and problem.remedy for problem in caught.value.problems)
    return [(problem.line, problem.place, problem.message) for problem in caught.value.problems]


def changed(old: str, new: str, file: Path = E3_FILE) -> str:
    text = file.read_text(encoding="utf-8")
    assert old in text
    return text.replace(old, new, 1)


def line_of(text: str, fragment: str) -> int:
    return text[: text.index(fragment)].count("\n") + 1


@pytest.mark.parametrize("path", [E2_FILE, E3_FILE, E7_FILE], ids=["e2", "e3", "e7"])
def test_shipped_agreements_follow_the_open_data_contract_standard(path: Path) -> None:
    standard = json.loads(resources.files("open_data_contract_standard").joinpath("schema.json").read_text())
    contract = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert not list(Draft201909Validator(standard).iter_errors(contract))


def test_e3_sends_a_pseudonym_and_progress_under_consent() -> None:
    e3 = load_agreement(E3_FILE)
    assert e3.legal_basis == ConsentBasis(kind="consent", templates=("language-progress@1",))
    assert (e3.sender.id, e3.recipient.id) == ("kreisvolkshochschule", "integrationsbegleitung")
    assert (e3.identity, e3.reidentification) == ("pseudonym", "dual_control")
    assert [field.released_as for field in e3.released] == [
        "pseudonym",
        "course_kind",
        "reporting_month",
        "hours_planned",
        "hours_attended",
        "cefr_listening",
        "cefr_reading",
        "cefr_speaking",
        "cefr_writing",
        "dtz_result",
        "lid_result",
    ]
    assert [field.name for field in e3.identifiers] == ["participant_number", "last_name", "first_name"]
    assert e3.person is not None
    assert e3.person.number == "participant_number"
    assert e3.delivery.mode == "snapshot"
    assert e3.delivery.key == ("participant_number", "course_number", "reporting_month")
    assert len(e3.fields) == 15
    assert (e3.intake.max_rows, e3.intake.max_bytes) == (2_000_000, 400_000_000)


def test_e2_sends_names_under_the_statute_but_not_the_ground_of_obligation() -> None:
    e2 = load_agreement(E2_FILE)
    assert e2.legal_basis == Statute(kind="statute", paragraphs=("AufenthG §88a(1)", "IntV §8(3)"))
    assert e2.identity == "identified"
    assert e2.person is None
    assert {field.name for field in e2.fields} - {field.name for field in e2.released} == {
        "obligation_ground"
    }
    assert set(e2.delivery.key) == {field.name for field in e2.fields}
    assert (e2.intake.formats, e2.output.format) == (("csv", "xlsx"), "xlsx")
    assert e2.field("obligation_ground").header == "Verpflichtungsgrund"
    with pytest.raises(KeyError):
        e2.field("nobody")


@pytest.mark.parametrize("path", [E2_FILE, E3_FILE, E7_FILE], ids=["e2", "e3", "e7"])
def test_codes_of_the_agreements_stand_in_their_code_lists(path: Path) -> None:
    coded = [field for field in load_agreement(path).fields if field.check == "code"]
    assert coded
    for field in coded:
        codes = field.options["codes"]
        assert isinstance(codes, dict)
        assert set(codes.values()) <= set(code_list(str(field.options["codelist"])))


def test_the_digest_is_of_the_content_and_not_of_the_file(tmp_path: Path) -> None:
    same = tmp_path / "same.yaml"
    same.write_text("# another comment\n" + E3_FILE.read_text(encoding="utf-8"), encoding="utf-8")
    digest = load_agreement(E3_FILE).digest
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert load_agreement(same).digest == digest
    same.write_text(changed("retention_days: 30", "retention_days: 31"), encoding="utf-8")
    assert load_agreement(same).digest != digest
    assert load_agreement(E2_FILE).digest != digest


def test_an_agreement_survives_its_own_json() -> None:
    e3 = load_agreement(E3_FILE)
    again = Agreement.model_validate_json(e3.model_dump_json())
    assert again == e3
    assert again.digest == e3.digest


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("treatment: pseudonym", "treatment: hash", "treatment", "Input should be 'drop'"),
        ("check: birth_date", "check: birthday", "check", "unknown check birthday"),
        ("max_rows: 2000000", "max_rows: many", "max_rows", "valid integer"),
        ("status: active", "status: live", "status", "Input should be 'draft'"),
        ("kind: consent", "kind: interest", "legal_basis", "does not match any of the expected tags"),
        ("other: hours_planned", "other: hours", "rules.0.other", "no field is called hours"),
        ("code: row.future_date", "code: row.late", "rules.1.code", "no reason to refuse a row"),
        ("number: participant_number,", "number: nobody,", "person.number", "no field is called nobody"),
        ("physicalName: Vorname", "physicalName: Nachname", "header", "Nachname stands twice"),
        ("name: first_name", "name: last_name", "name", "last_name stands twice"),
        ("physicalName: Kursart", "physicalName: Kunden-Nummer", "treatment", "must not join"),
        ("logicalType: date", "logicalType: string", "logicalType", "expected date"),
        ("mode: snapshot", "mode: replace_period", "delivery", "expected a period"),
        ("metric: rows, at_least: 1,", "metric: rows,", "expectations.0", "expected at_least or at_most"),
        (
            "column: hours_planned, at_least: 50",
            "column: dtz_result, at_least: 50",
            "expectations.4",
            "number",
        ),
        ("codelist: dtz_result", "codelist: dtz", "options", "expected one of the code lists"),
        ("unter A2: below", "unter A2: under", "options", "does not know under"),
        ('"KVHS-[0-9]{7}"', '"KVHS-.*"', "options.pattern", "expected ASCII letters"),
        ("{min: 0, max: 1500}", "{min: 0, max: 1500, step: 2}", "options.step", "Extra inputs"),
        ("dpv#ServiceProvision", "dpv", "purpose", "String should match pattern"),
        ("id: integrationsbegleitung", "id: kreisvolkshochschule", "recipient.id", "other than the sender"),
        ("id: integrationsbegleitung", "id: auslaenderbehoerde", "legal_basis", "receives nothing but under"),
        ("{min: 0, max: 1500}", "{min: 5, max: 1}", "options", "min to be at most max"),
        (
            "{min_year: 1900, max_year: 2100}",
            "{min_year: 2100, max_year: 1900}",
            "options",
            "max_year to lie",
        ),
        (
            "A2: A2\n                  B1: B1",
            "A2: B1\n                  B1: A2",
            "options",
            "stands for another",
        ),
        (
            "              check: cefr\n              treatment: keep",
            "              check: cefr\n              treatment: year",
            "treatment",
            "expected a date",
        ),
        ("name: course_kind", "name: place", "name", "place is reserved"),
        ("field: hours_attended,", "field: dtz_result,", "rules.0.field", "code has no such order"),
        ('delimiters: [";", ","]', "delimiters: []", "intake", "at least one delimiter"),
        (
            "metric: rows, at_least",
            "metric: rows, column: lid_result, at_least",
            "expectations.0",
            "expected a column",
        ),
        ("required: true", "required: false", "person.number", "expected a required field"),
        ("  - name: progress", "  - name: empty\n  - name: progress", "schema", "exactly one table"),
        ("    properties:\n", "    properties: {}\n    more:\n", "schema.0.properties", "expected a list"),
        (
            "  - property: exchange\n    value:\n      title:\n",
            "  - property: hub\n    value:\n      title:\n",
            "customProperties.0.property",
            "expected exchange",
        ),
        ("apiVersion: v3.1.0", "apiVersion: v2.2.2", "apiVersion", "expected v3.1.0"),
        ("retention_days: 30", "retention_days: 30\n      surprise: 1", "surprise", "Extra inputs"),
        ("status: active", "status: active\nservers: []", "servers", "unknown key"),
        ("identity: pseudonym", "identity: pseudonym\n      version: 1.0.0", "version", "only there"),
    ],
)
def test_each_problem_names_its_line(tmp_path: Path, old: str, new: str, place: str, message: str) -> None:
    text = changed(old, new)
    found = problems(text, tmp_path)
    assert any(place in where and message in what for _, where, what in found), found


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    text = changed("max_rows: 2000000", "max_rows: many").replace("check: birth_date", "check: birthday")
    text = text.replace("treatment: pseudonym", "treatment: hash")
    lines = {line for line, _, _ in problems(text, tmp_path)}
    assert line_of(text, "max_rows: many") in lines
    assert line_of(text, "treatment: hash") in lines
    text = changed("check: birth_date", "check: birthday")
    assert [line for line, _, _ in problems(text, tmp_path)] == [line_of(text, "check: birthday")]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("treatment: drop\n", "treatment: keep\n", "never reaches a pseudonymous recipient"),
        (
            "treatment: pseudonym\n",
            "treatment: keep\n",
            "expected exactly one field with the treatment pseudonym",
        ),
        ("identity: pseudonym", "identity: identified", "an identified recipient gets no pseudonym"),
        ("person: {number: participant_number, space: kreisvolkshochschule}", "person: null", "need to know"),
        ("released_as: pseudonym", "released_as: null", "expected a released_as"),
    ],
)
def test_what_is_promised_to_people_cannot_be_unwritten(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert any(message in what for _, _, what in problems(changed(old, new), tmp_path))


def test_consent_and_statute_together_cannot_be_written(tmp_path: Path) -> None:
    text = changed(
        "templates: [language-progress@1]", "templates: [language-progress@1]\n        paragraphs: [x]"
    )
    assert any("Extra inputs" in what for _, _, what in problems(text, tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x\n", "no anchors"),
        ("a: !!python/object/apply:os.system ['true']\n", "no tags"),
        ("a: !local 1\n", "no tags"),
        ("a: 1\na: 2\n", "stands twice"),
        ("a: 1\n---\nb: 2\n", "expected one document"),
        ("a: [1\n", "no readable YAML"),
        ("a: \x01\n", "no readable YAML"),
        ("? [a, b]\n: 1\n", "expected a word as a key"),
        ("[" * 5000, "nested too deeply"),
        ("a: " + "x" * 300_000, "expected at most 262144 bytes"),
        ("just a text", "expected keys with values"),
        ("", "expected keys with values"),
    ],
)
def test_yaml_that_hides_or_runs_something_is_not_read(tmp_path: Path, text: str, message: str) -> None:
    assert any(message in what for _, _, what in problems(text, tmp_path))


def test_a_file_that_is_not_utf_8_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "agreement.yaml"
    path.write_bytes(b"id: E3\ntitle: M\xfcller\n")
    with pytest.raises(AgreementError, match=r"agreement\.yaml:2: file: expected UTF-8"):
        load_agreement(path)


def test_words_and_leading_zeros_stay_what_they_look_like() -> None:
    document = read("a: no\nb: 03157\nc: 2026-01-01\nd: 1e3\ne: 12\nf: 0.5\ng: true\nh: null\ni: 0x1F\n")
    assert document.data == {
        "a": "no",
        "b": "03157",
        "c": "2026-01-01",
        "d": "1e3",
        "e": 12,
        "f": 0.5,
        "g": True,
        "h": None,
        "i": "0x1F",
    }


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_file_ends_in_anything_but_named_problems(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = E2_FILE.read_text(encoding="utf-8").splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = data.draw(
        st.sampled_from(["", "  - x", "x: [", "- {}", lines[at].replace(":", " ", 1), "\t" + lines[at]])
    )
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    try:
        load_agreement(path)
    except AgreementError as error:
        assert error.problems  # noqa: PT017 -- a harmless change may load as well


def test_a_code_list_taken_as_it_stands_is_written_out_in_full() -> None:
    nationality = load_agreement(E7_FILE).field("nationality")
    assert nationality.options["codes"] == {code: code for code in code_list("staatsangehoerigkeit")}
