"""What an ordinary team would write for E3: pandas, Great Expectations on the frame, pydantic for each row.

Reads the file and the consents, validates, drops rows without a valid consent, replaces the number by an
HMAC, writes the released columns and encrypts the result. Run as a program:
``ordinary_job.py FILE CONSENTS OUT``.
"""

import hashlib
import hmac
import os
import re
import sys
from typing import Annotated, Literal

import great_expectations as gx
import pandas as pd
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import AfterValidator, BaseModel, Field, ValidationError

Cefr = Literal["", "A1", "A2", "B1", "B2", "C1", "C2"]
RELEASED = [
    "pseudonym", "Kursart", "Berichtsmonat", "Stunden_Soll", "Stunden_Besucht",
    "Hoeren", "Lesen", "Sprechen", "Schreiben", "DTZ", "Leben_in_Deutschland",
]  # fmt: skip
NAME = re.compile(r"\A[^\W\d_][\w' .-]*\Z")


def _name(text: str) -> str:
    if not NAME.match(text):
        message = "not a name"
        raise ValueError(message)
    return text


def _decimal(text: str) -> str:
    float(text.replace(",", "."))
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_name)]


class Row(BaseModel):
    """One row of the file."""

    Teilnehmernummer: Annotated[str, Field(pattern=r"^KVHS-[0-9]{7}$")]
    Nachname: Name
    Vorname: Name
    Geburtsdatum: Annotated[
        str, Field(pattern=r"^([0-9]{2}\.[0-9]{2}\.[0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2})$")
    ]
    Kursnummer: Annotated[str, Field(min_length=1)]
    Kursart: Annotated[str, Field(min_length=1)]
    Berichtsmonat: Annotated[str, Field(pattern=r"^([0-9]{4}-[0-9]{2}|[0-9]{2}[./][0-9]{4})$")]
    Stunden_Soll: Annotated[str, AfterValidator(_decimal)]
    Stunden_Besucht: Annotated[str, AfterValidator(_decimal)]
    Hoeren: Cefr
    Lesen: Cefr
    Sprechen: Cefr
    Schreiben: Cefr
    DTZ: str
    Leben_in_Deutschland: str


def _suite(frame: pd.DataFrame) -> bool:
    context = gx.get_context(mode="ephemeral")
    batch = (
        context.data_sources.add_pandas("ordinary")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame})
    )
    suite = gx.ExpectationSuite(name="rows")
    for column in ("Teilnehmernummer", "Nachname", "Vorname", "Geburtsdatum", "Kursnummer", "Kursart"):
        suite.add_expectation(gx.expectations.ExpectColumnValuesToNotBeNull(column=column))
    number = gx.expectations.ExpectColumnValuesToMatchRegex(column="Teilnehmernummer", regex=r"^KVHS-\d{7}$")
    suite.add_expectation(number)
    for column in ("Hoeren", "Lesen", "Sprechen", "Schreiben"):
        levels = ["", "A1", "A2", "B1", "B2", "C1", "C2"]
        suite.add_expectation(gx.expectations.ExpectColumnValuesToBeInSet(column=column, value_set=levels))
    return bool(batch.validate(suite, result_format="BOOLEAN_ONLY").success)


def _good(frame: pd.DataFrame) -> list[bool]:
    verdicts = []
    for record in frame.to_dict("records"):
        try:
            Row.model_validate(record)
            verdicts.append(True)
        except ValidationError:
            verdicts.append(False)
    return verdicts


def main(source: str, consents: str, target: str) -> None:
    """Do the whole job."""
    frame = pd.read_csv(source, sep=";", dtype=str, keep_default_na=False)
    if not _suite(frame):
        sys.exit("the batch fails its expectations")
    frame = frame[_good(frame)]
    given = pd.read_csv(consents, sep=";", dtype=str, keep_default_na=False)
    today = pd.Timestamp.now()
    ends = pd.to_datetime(given["Gueltig_bis"], errors="coerce")
    valid = given[(given["Widerrufen_am"] == "") & (ends.isna() | (ends >= today))]
    frame = frame.merge(valid[["Teilnehmernummer"]].drop_duplicates(), on="Teilnehmernummer")
    key = os.urandom(32)
    frame["pseudonym"] = frame["Teilnehmernummer"].apply(
        lambda number: hmac.new(key, number.encode(), hashlib.sha256).hexdigest()
    )
    text = frame[RELEASED].to_csv(sep=";", index=False).encode()
    nonce = os.urandom(12)
    with open(target, "wb") as sink:  # noqa: PTH123 -- as an ordinary team would
        sink.write(nonce + AESGCM(key).encrypt(nonce, text, None))


if __name__ == "__main__":
    main(*sys.argv[1:])
