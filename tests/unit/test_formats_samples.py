import io
from pathlib import Path

import polars as pl
import pytest

import schemas
from connectors.formats import open_reader
from hub.errors import Refused
from schemas.agreement import Agreement
from schemas.loading import load_agreement
from schemas.samples.broken import broken_files
from schemas.samples.files import FileForm, write_sample
from schemas.samples.sample import sample

AGREEMENTS = Path(schemas.__file__).parent / "agreements"
E2 = load_agreement(AGREEMENTS / "e2.yaml")
E3 = load_agreement(AGREEMENTS / "e3.yaml")
FOUND_LATER = {"file.row_total"}
BROKEN = [
    pytest.param(agreement, broken.content, broken.expected_code, id=f"{agreement.id}-{broken.name}")
    for agreement in (E2, E3)
    for broken in broken_files(agreement, 30, seed=1)
    if broken.expected_code not in FOUND_LATER
]


def read(content: bytes, agreement: Agreement) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    reader = open_reader(io.BytesIO(content), size=len(content), agreement=agreement)
    batches = list(reader.batches())
    faults = pl.concat([batch.faults for batch in batches])
    return pl.concat([batch.frame for batch in batches]), faults, reader.notices


@pytest.mark.parametrize(("agreement", "content", "code"), BROKEN)
def test_every_error_of_a_file_gets_its_code(agreement: Agreement, content: bytes, code: str) -> None:
    try:
        frame, _, notices = read(content, agreement)
    except Refused as refusal:
        assert refusal.code == code  # noqa: PT017 -- a code is a refusal's or a notice's
    else:
        assert notices == [code]
        assert frame.height == 30


FORMS = [
    (E2, FileForm(format="xlsx")),
    (E2, FileForm()),
    (E3, FileForm()),
    (E3, FileForm(delimiter=",", decimal=".", newline="\r\n", bom=True)),
]


@pytest.mark.parametrize(("agreement", "form"), FORMS)
def test_every_row_of_a_spoilt_sample_is_a_row_or_a_fault(
    agreement: Agreement, form: FileForm, tmp_path: Path
) -> None:
    spoilt = sample(agreement, 300, 7, errors=True, file_format=form.format)
    path = tmp_path / "sample"
    write_sample(spoilt, path, form)
    frame, faults, _ = read(path.read_bytes(), agreement)
    planned = spoilt.plan.filter(
        pl.col("code").is_in(["row.field_count", "row.totals_row", "value.number_cell"])
    )
    assert sorted(faults["code"]) == sorted(planned["code"])
    assert sorted(faults["place"]) == sorted(planned["row"] + 2)
    assert frame.height + faults.height == 300


def test_a_good_sample_is_read_as_it_was_made(tmp_path: Path) -> None:
    for agreement, form in FORMS:
        good = sample(agreement, 200, 3, file_format=form.format)
        path = tmp_path / f"{agreement.id}-{form.newline!r}-{form.format}"
        write_sample(good, path, form)
        frame, faults, _ = read(path.read_bytes(), agreement)
        assert faults.is_empty()
        assert frame["place"].to_list() == list(range(2, 202))
        texts = [
            field for field in agreement.fields if field.check in ("name", "course_number", "code", "cefr")
        ]
        for field in texts:
            assert frame[field.name].to_list() == good.frame[field.header].to_list()
