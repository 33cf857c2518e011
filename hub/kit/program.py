"""Builds ``pruefen.py``: the parts of `hub.kit.verifier` behind each other, one plain file to read and run.

It needs Python 3.9 or newer and nothing else, and it can be read from top to bottom: each part stands behind
those that it stands on.
"""

import ast
import json
from collections import defaultdict
from importlib.resources import files
from typing import Any, Final

PARTS: Final = (
    *("words", "ed25519", "notes", "trust", "members", "canonical", "shapes", "tree", "entries"),
    *("table_check", "course", "checkpoints", "evidence", "retained", "follower", "head", "walk"),
    *("checking", "main"),
)
"""The modules of `hub.kit.verifier`, each behind what it imports."""

_OWN: Final = "hub.kit.verifier."
_SENTENCES: Final = "SENTENCES: Words = "
_HEAD: Final = '''#!/usr/bin/env python3
"""pruefen.py - prüft ein Prüfpaket des Übermittlungsprotokolls / verifies a kit of the transfer log.

Aufruf / usage:  python3 -I pruefen.py --trust VERTRAUEN.txt [--receipt QUITTUNG.jwt] KIT.zip
Hilfe / help:    python3 -I pruefen.py --help

Braucht nur Python ab 3.9, kein Netz, schreibt nichts. Die Vertrauensdatei bringt der Prüfer mit.
Needs Python 3.9 or newer only, no network, writes nothing. The trust file is the auditor's own.

Teile / parts:
{parts}"""
'''


def sentences() -> dict[str, Any]:
    """Read the sentences of both verifiers: findings, notes and words, by code, German and English."""
    told: dict[str, Any] = json.loads((files("hub.kit") / "sentences.json").read_text(encoding="utf-8"))
    return told


def build_program() -> str:
    """Build the program; the same parts give the same text.

    Raises `ValueError` where two parts define the same name, or one stands before what it imports.
    """
    imports: set[str] = set()
    defined: dict[str, str] = {}
    titles, bodies = [], []
    for part in PARTS:
        source = (files("hub.kit.verifier") / f"{part}.py").read_text(encoding="utf-8")
        tree = ast.parse(source)
        _note_names(tree, part, defined)
        summary = (ast.get_docstring(tree) or "").split("\n")[0]
        titles.append(f"    {part:12} {summary}\n")
        bodies.append(
            f"\n\n# {'=' * 3} {part} {'=' * (104 - len(part))}\n# {summary}\n\n{_body(source, tree, imports)}"
        )
    future = "from __future__ import annotations\n"
    ordered = _in_order(imports - {future.strip()})
    return (
        _HEAD.format(parts="".join(titles))
        + "\n"
        + future
        + "\n"
        + "\n".join(ordered)
        + "\n"
        + "".join(bodies)
    )


def _in_order(imports: set[str]) -> list[str]:
    """Write the imports of all parts as those of one module."""
    plain = sorted(line for line in imports if line.startswith("import "))
    names: dict[str, set[str]] = defaultdict(set)
    for line in imports.difference(plain):
        module, _, told = line.removeprefix("from ").partition(" import ")
        names[module] |= set(told.split(", "))
    return plain + [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names)]


def _body(source: str, tree: ast.Module, imports: set[str]) -> str:
    """Give a part without its docstring and imports; what it imports from Python is noted."""
    lines = source.splitlines()
    dropped: set[int] = set()
    for place, node in enumerate(tree.body):
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        if is_import:
            told = " ".join(" ".join(lines[node.lineno - 1 : node.end_lineno]).split())
            if _OWN not in told:
                imports.add(told)
        if is_import or (place == 0 and isinstance(node, ast.Expr)):
            dropped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    kept = [_with_sentences(line) for number, line in enumerate(lines, 1) if number not in dropped]
    return "\n".join(kept).strip("\n") + "\n"


def _with_sentences(line: str) -> str:
    if not line.startswith(_SENTENCES):
        return line
    return _SENTENCES + json.dumps(sentences(), ensure_ascii=False, indent=1)


def _note_names(tree: ast.Module, part: str, defined: dict[str, str]) -> None:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_OWN):
            missing = [name.name for name in node.names if name.name not in defined]
            if missing:
                message = f"{part} stands before {', '.join(missing)}"
                raise ValueError(message)
        for name in _names_of(node):
            if name in defined:
                message = f"{part} and {defined[name]} both define {name}"
                raise ValueError(message)
            defined[name] = part


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    names = [
        one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])
    ]
    return [one.id for one in names if isinstance(one, ast.Name)]
