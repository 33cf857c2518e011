"""Code lists: whole, versioned, and able to say what was valid on a day."""

from datetime import date
from pathlib import Path

import pytest

from schemas import codelists
from schemas.codelists import Code, available, code_list


@pytest.mark.parametrize("name", available())
def test_every_list_reads_and_names_its_version(name: str) -> None:
    entries = code_list(name)
    assert entries
    assert all(entry.version and entry.name and entry.code == code for code, entry in entries.items())


def test_nationalities_keep_their_leading_zeros_and_their_history() -> None:
    nationalities = code_list("staatsangehoerigkeit")
    assert nationalities["000"].name == "Deutschland"
    assert {"120", "132", "138", "159", "997", "998", "999"} <= set(nationalities)
    assert "910" not in nationalities, "for internal use, never valid in a file"
    assert len(nationalities) == 210


def test_a_code_is_valid_from_its_first_day_to_its_last() -> None:
    code = Code.model_validate(
        {"code": "X", "name": "x", "version": "1", "valid_from": "2020-01-01", "valid_to": "2020-12-31"}
    )
    assert code.valid(date(2020, 1, 1))
    assert code.valid(date(2020, 12, 31))
    assert not code.valid(date(2019, 12, 31))
    assert not code.valid(date(2021, 1, 1))


def test_an_empty_date_is_without_limit() -> None:
    assert code_list("cefr")["B1"].valid(date(1800, 1, 1))
    assert code_list("cefr")["B1"].valid(date(2800, 1, 1))


@pytest.mark.parametrize("name", ["nothing", "../codelists/cefr", "din_91379_a", ""])
def test_only_lists_of_the_folder_are_read(name: str) -> None:
    with pytest.raises(KeyError):
        code_list(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code,name\nA,a\n", "expected the columns"),
        ("code,name,version,valid_from,valid_to\nA,a,1,,\nA,b,1,,\n", "a code stands twice"),
    ],
)
def test_a_list_of_another_form_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    (tmp_path / "odd.csv").write_text(text, encoding="utf-8")
    monkeypatch.setattr(codelists, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=message):
        code_list("odd")
