"""A file of consents is taken whole or not at all; errors name line and column, never a value."""

from pathlib import Path

import polars as pl
import pytest

from connectors.consents import COLUMNS, read_consents
from hub.errors import Refused

GOOD = {
    "Teilnehmernummer": "KVHS-0000001",
    "Einwilligung_Nr": "E-1",
    "Vorlage": "language-progress@1",
    "Sprache": "uk",
    "Form": "schriftlich",
    "Empfaenger": "integrationsbegleitung",
    "Zweck": "https://w3id.org/dpv#ServiceProvision",
    "Felder": "course_kind reporting_month",
    "Erteilt_am": "2026-03-29",
    "Gueltig_bis": "2026-10-24",
    "Widerrufen_am": "",
    "Nachweis": "Akte 1",
}


def written(folder: Path, **changes: str) -> Path:
    file = folder / "consents.csv"
    lines = [";".join(GOOD), ";".join(GOOD.values()), ";".join({**GOOD, **changes}.values())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_days_are_days_in_berlin_and_the_last_one_counts_whole(tmp_path: Path) -> None:
    row = read_consents(written(tmp_path)).row(0, named=True)
    assert row["given_at"].isoformat() == "2026-03-29T00:00:00+01:00"
    assert row["valid_until"].isoformat() == "2026-10-25T00:00:00+02:00"
    assert row["withdrawn_at"] is None
    assert row["fields"] == ["course_kind", "reporting_month"]
    assert row["form"] == "written"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Teilnehmernummer", ""),
        ("Erteilt_am", "29.03.2026"),
        ("Erteilt_am", "2026-02-30"),
        ("Gueltig_bis", "bald"),
        ("Sprache", "Zkanarie nvogel"),
        ("Form", "Zkanarie"),
        ("Vorlage", "Zkanarie"),
        ("Zweck", "Zkanarie"),
        ("Felder", "course_kind, Zkanarie"),
    ],
)
def test_a_faulty_value_is_named_by_line_and_column_only(tmp_path: Path, column: str, value: str) -> None:
    with pytest.raises(Refused, match=rf"consent\.row: line 3, column {column}") as caught:
        read_consents(written(tmp_path, **{column: value}))
    assert "Zkanarie" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"a;b\n1;2\n", b"\xff\xfe\x00", ";".join(COLUMNS).encode() + b"\n"])
def test_another_file_is_refused_as_a_whole(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other.csv"
    file.write_bytes(content)
    with pytest.raises(Refused, match=r"consent\.file"):
        read_consents(file)


def test_a_short_line_is_a_missing_value(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(file.read_text(encoding="utf-8") + "KVHS-0000002;E-2\n", encoding="utf-8")
    with pytest.raises(Refused, match=r"line 4, column Vorlage"):
        read_consents(file)


def test_every_column_has_an_english_name_of_its_own() -> None:
    assert len(set(COLUMNS.values())) == len(COLUMNS)
    assert isinstance(pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String)), pl.DataFrame)
