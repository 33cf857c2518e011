"""Reading agreements: YAML in the form of the Open Data Contract Standard v3, with nothing executable in it.

What the standard has a word for stands in its own place (id, version, status, the fields); the rest stands
in one custom property ``exchange`` of the contract and one of each field. Every problem of a file is
reported at once, each with its line.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from schemas.checks.table import CHECKS
from schemas.contract import Agreement
from schemas.documents import Document, Place, Plain, read

MAX_BYTES: Final = 256 * 1024
SHIPPED: Final = Path(__file__).with_name("agreements")
_STANDARD: Final = {"apiVersion": "v3.1.0", "kind": "DataContract"}
_CONTRACT: Final = ("id", "version", "status")  # the standard's words that are the model's as well
_PROSE: Final = frozenset({"name", "description"})  # for readers of the standard; no part of what is agreed
_TABLE: Final = frozenset({"name", "physicalType", "description", "properties"})
_FIELD: Final = {  # the standard's word → the model's
    "name": "name",
    "physicalName": "header",
    "description": "description",
    "required": "required",
    "classification": "classification",
}
_REMEDY: Final = "Correct the file at this line and run `hub agreement check` again"


@dataclass(frozen=True)
class Problem:
    """What is wrong in a file: its line (1-based), the place in words, what was expected, what to do."""

    file: str
    line: int
    place: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.place}: {self.message}. {self.remedy}."


class AgreementError(ValueError):
    """A file that is no sound agreement, with everything that is wrong in it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load_agreement(path: Path) -> Agreement:
    """Read and check the agreement in a YAML file of at most 256 KiB.

    Raises:
        AgreementError: with every problem at once, each with file, line and remedy.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    translation = _Translation(_document(content))
    agreement = translation.agreement()
    if agreement is None:
        found = sorted(set(translation.faults))
        raise AgreementError(tuple(_problem(path, line, place, text) for line, place, text in found))
    return agreement


def _problem(path: Path, line: int, place: tuple[str, ...], message: str) -> Problem:
    return Problem(path.name, line, ".".join(place) or "file", message, _REMEDY)


def _document(content: bytes) -> Document:
    if len(content) > MAX_BYTES:
        return Document(faults=[(1, (), f"expected at most {MAX_BYTES} bytes")])
    try:
        return read(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Document(faults=[(content[: error.start].count(b"\n") + 1, (), "expected UTF-8")])


@dataclass
class _Translation:
    """From the standard's form to the model's, remembering where in the file each part stood."""

    document: Document
    origin: dict[Place, Place] = field(default_factory=dict)  # place in the model → place in the file
    faults: list[tuple[int, tuple[str, ...], str]] = field(default_factory=list)

    def agreement(self) -> Agreement | None:
        """The agreement, or None and the faults."""
        self.faults.extend((line, _words(place), text) for line, place, text in self.document.faults)
        if self.faults:
            return None
        content = self._contract()
        try:
            # Through JSON, because strict models take a tuple from JSON's lists only.
            agreement = Agreement.model_validate_json(json.dumps(content))
        except ValidationError as error:
            for problem in error.errors(include_input=False, include_context=False, include_url=False):
                self._fault(self._in_file(problem["loc"]), problem["msg"], shown=problem["loc"])
            return None
        return None if self.faults else agreement

    def _contract(self) -> dict[str, Plain]:
        root = self._mapping(self.document.data, ())
        self._closed(root, (), {*_STANDARD, *_PROSE, *_CONTRACT, "schema", "customProperties"})
        for key, expected in _STANDARD.items():
            if root.get(key) != expected:
                self._fault((key,), f"expected {expected}")
        content = self._exchange(root, (), taken={*_CONTRACT, "fields"})
        for key in _CONTRACT:
            if key in root:
                content[key] = root[key]
        content["fields"] = list(self._fields(root))
        return content

    def _fields(self, root: dict[str, Plain]) -> Iterator[Plain]:
        tables = root.get("schema")
        if not isinstance(tables, list) or len(tables) != 1:
            self._fault(("schema",), "expected exactly one table")
            return
        table = self._mapping(tables[0], ("schema", 0))
        self._closed(table, ("schema", 0), _TABLE)
        properties = table.get("properties")
        if not isinstance(properties, list):
            self._fault(("schema", 0, "properties"), "expected a list of fields")
            return
        for index, item in enumerate(properties):
            yield self._field(item, ("schema", 0, "properties", index), ("fields", index))

    def _field(self, item: Plain, place: Place, target: Place) -> Plain:
        entry = self._mapping(item, place)
        self._closed(entry, place, {*_FIELD, "logicalType", "customProperties"})
        self.origin[target] = place
        content = self._exchange(entry, place, taken=set(_FIELD.values()), target=target)
        for word, key in _FIELD.items():
            self.origin[*target, key] = (*place, word)
            if word in entry:
                content[key] = entry[word]
        if "released_as" not in content:
            content["released_as"] = None if content.get("treatment") == "drop" else content.get("name")
        check = CHECKS.get(str(content.get("check")))
        if check and entry.get("logicalType") != check.logical_type:
            self._fault((*place, "logicalType"), f"expected {check.logical_type} for the check {check.name}")
        return content

    def _exchange(
        self, entry: dict[str, Plain], place: Place, taken: set[str], target: Place = ()
    ) -> dict[str, Plain]:
        """The value of the one custom property ``exchange``; ``taken`` words must not stand in it."""
        here = (*place, "customProperties")
        properties = entry.get("customProperties")
        if not isinstance(properties, list) or len(properties) != 1:
            self._fault(here, "expected exactly one custom property, exchange")
            return {}
        prop = self._mapping(properties[0], (*here, 0))
        self._closed(prop, (*here, 0), {"property", "value"})
        if prop.get("property") != "exchange":
            self._fault((*here, 0, "property"), "expected exchange")
        value = self._mapping(prop.get("value"), (*here, 0, "value"))
        for key in value:
            self.origin[*target, key] = (*here, 0, "value", key)
            if key in taken:
                self._fault((*here, 0, "value", key), "stands in the standard's own place and only there")
        return dict(value)

    def _mapping(self, value: Plain, place: Place) -> dict[str, Plain]:
        if isinstance(value, dict):
            return value
        self._fault(place, "expected keys with values")
        return {}

    def _closed(self, entry: dict[str, Plain], place: Place, known: set[str] | frozenset[str]) -> None:
        for key in entry:
            if key not in known:
                self._fault((*place, key), f"unknown key; expected one of {', '.join(sorted(known))}")

    def _in_file(self, place: Place) -> Place:
        for length in range(len(place), 0, -1):
            if place[:length] in self.origin:
                return self.origin[place[:length]] + place[length:]
        return place

    def _fault(self, place: Place, message: str, shown: Place | None = None) -> None:
        self.faults.append((self.document.line(place), _words(place if shown is None else shown), message))


def _words(place: Place) -> tuple[str, ...]:
    return tuple(map(str, place))
