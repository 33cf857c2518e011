"""Builds ``pruefen.html``: the kit's verifier for a browser, one file that asks nothing of any network.

The sources in ``hub/kit/page`` are plain modules of JavaScript. They are laid behind each other into one
script, and the page's policy (CSP level 3, section 2.3.1) names the digests of that script and of the style:
a browser runs nothing else, and lets nothing out.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

_FIRST = "page.js"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z0-9_]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=async |function |class |const )", re.MULTILINE)
_DECLARED = re.compile(r"^(?:async )?(?:function\*?|class|const|let) (\w+)", re.MULTILINE)  # one name each


def build_page(sentences: Mapping[str, object]) -> str:
    """Build the page; ``sentences`` are the findings' words by code, the same as the other verifier's."""
    folder = files("hub.kit") / "page"
    style = _text(folder, "style.css")
    words = json.loads(_text(folder, "words.json"))
    script = _script(SENTENCES=sentences, WORDS=words)
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}';"
        " base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    page = _text(folder, "template.html")
    for mark, part in (("policy", policy), ("style", style), ("script", script)):
        page = page.replace("{{" + mark + "}}", part)
    return page


def modules(*names: str) -> list[str]:
    """Read modules of the page as plain script, each behind what it imports."""
    folder, seen = files("hub.kit") / "page", list[str]()
    return [text for name in names for text in _in_order(folder, name, seen)]


def _script(**constants: object) -> str:
    """Lay the modules behind each other in one function of its own, so that none of it can be reached."""
    given = "".join(f"const {name} = {_literal(value)};\n" for name, value in constants.items())
    whole = "\n".join([given, *modules(_FIRST)])
    seen = _DECLARED.findall(whole)
    if twice := sorted({name for name in seen if seen.count(name) > 1}):
        message = f"two modules of the page declare {', '.join(twice)}"
        raise ValueError(message)
    return f'"use strict";\n(() => {{\n{whole}}})();\n'


def _in_order(folder: Traversable, name: str, seen: list[str]) -> list[str]:
    if name in seen:
        return []
    seen.append(name)
    source = _text(folder, name)
    before = [text for other in _IMPORT.findall(source) for text in _in_order(folder, other, seen)]
    return [*before, _EXPORT.sub("", _IMPORT.sub("", source))]


def _literal(value: object) -> str:
    """Write a constant so that nothing in it ends the script it stands in."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _text(folder: Traversable, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")
