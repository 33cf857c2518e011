"""YAML as plain data with a line for every place: no tags, no anchors, no doubled keys, nothing guessed.

Scalars follow the core schema of YAML 1.2: ``no`` is a word, ``03157`` is text, a date is text.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

Place = tuple[str | int, ...]
Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
Fault = tuple[int, Place, str]

_DEEPEST: Final = 20
_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = (
    ("null", re.compile(r"(?:~|null|)\Z"), ["~", "n", ""]),
    ("bool", re.compile(r"(?:true|false)\Z"), ["t", "f"]),
    ("int", re.compile(r"-?(?:0|[1-9][0-9]*)\Z"), list("-0123456789")),
    ("float", re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z"), list("-0123456789")),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's composer with the scalars of YAML 1.2 only."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 -- its own, filled below


for _name, _pattern, _starts in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, _starts)


@dataclass
class Document:
    """A read document: its data, the line (1-based) of every place in it, and what is wrong with it."""

    data: Plain = None
    lines: dict[Place, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest place around it that stands in the file."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read(text: str) -> Document:
    """Read one YAML document; whatever is wrong with it is in its ``faults``, and then it has no data."""
    document = Document()
    try:
        document.faults.extend(_forbidden(text))
        if not document.faults:
            node = yaml.compose(text, _Loader)
            document.data = _plain(node, (), document) if node else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        document.faults.append((line, (), f"no readable YAML: {error.problem}"))
    except yaml.YAMLError:
        document.faults.append((1, (), "no readable YAML: it holds characters that YAML does not allow"))
    return document


def _forbidden(text: str) -> Iterator[Fault]:
    """Tags can name classes, and aliases can hide or multiply what they stand for: neither is read."""
    documents = depth = 0
    for event in yaml.parse(text, _Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:  # PyYAML's time grows with the square of the depth: read no further
            yield line, (), "nested too deeply"
            return
        if isinstance(event, yaml.DocumentStartEvent) and documents > 1:
            yield line, (), "expected one document"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            yield line, (), "expected no anchors and no aliases"
        if getattr(event, "tag", None):
            yield line, (), "expected no tags"


def _plain(node: yaml.Node, place: Place, document: Document) -> Plain:
    document.lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, document)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*place, index), document) for index, item in enumerate(node.value)]
    return _scalar(str(node.value), node.tag.removeprefix(_TAG))


def _mapping(node: yaml.MappingNode, place: Place, document: Document) -> dict[str, Plain]:
    result: dict[str, Plain] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.faults.append((line, place, "expected a word as a key"))
            continue
        key = str(key_node.value)
        if key in result:
            document.faults.append((line, (*place, key), "the key stands twice"))
        document.lines[*place, key] = line
        result[key] = _plain(value_node, (*place, key), document)
    return result


def _scalar(text: str, kind: str) -> Plain:
    readers: Mapping[str, Plain] = {"null": None, "bool": text == "true"}
    if kind in readers:
        return readers[kind]
    if kind == "int":
        return int(text)
    return float(text) if kind == "float" else text
