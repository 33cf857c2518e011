"""The reason catalogue: every code that a file, row or value can be given, with its sentence and remedy.

The catalogue itself is data (``reasons.yaml``); ``docs/reference/reason-codes.md`` is written from it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import yaml

from schemas.model import Model

Fate = Literal["refused", "withheld", "quarantined", "already_delivered", "notice", "file"]

_CATALOGUE_FILE = Path(__file__).with_name("reasons.yaml")
_REFERENCE_HEAD = """# Reason codes

Written from `schemas/reasons.yaml` by `schemas.reasons.write_reference`; a test holds this page to it.
Where the column *sender reads* differs, the fine code stays with staff and the transfer log.

| code | fate | sender reads | Deutsch | English | Abhilfe | remedy |
|---|---|---|---|---|---|---|
"""


class Reason(Model):
    """One code: what it means to a row or file (``fate``), and what its sender reads in both languages."""

    code: str
    coarse: str
    fate: Fate
    de: str
    en: str
    remedy_de: str
    remedy_en: str


@cache
def catalogue() -> Mapping[str, Reason]:
    """Every reason by its code, in the order of the file."""
    entries = yaml.safe_load(_CATALOGUE_FILE.read_text(encoding="utf-8"))
    return MappingProxyType(
        {code: Reason(code=code, **{"coarse": code, **entry}) for code, entry in entries.items()}
    )


def reason(code: str) -> Reason:
    """The reason of a code.

    Raises:
        KeyError: the code is not in the catalogue, which is a mistake of the program.
    """
    return catalogue()[code]


def reference() -> str:
    """The page ``docs/reference/reason-codes.md``, as Markdown."""
    rows = (
        f"| `{r.code}` | {r.fate} | `{r.coarse}` | {r.de} | {r.en} | {r.remedy_de} | {r.remedy_en} |"
        for r in catalogue().values()
    )
    return _REFERENCE_HEAD + "\n".join(rows) + "\n"


def write_reference(path: Path) -> None:
    """Write the reference page anew, after the catalogue has changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reference(), encoding="utf-8")
