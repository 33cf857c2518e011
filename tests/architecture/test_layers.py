"""The house keeps its own rules: who may import whom, small modules, codes that are known, no loose ends."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from schemas.reasons import catalogue

ROOT = Path(__file__).parents[2]
CODE = ("hub", "connectors", "schemas", "tests", "benchmarks", "scripts", "dags", "plugins")
PRODUCT = ("hub", "connectors", "schemas", "dags", "plugins")
LONGEST = 300
SPOKEN = ("file", "row", "value", "consent", "person", "delivery", "validation", "egress", "batch")
# Codes of these families that no sender reads: errors of `hub consent`, and defects of the hub itself.
OF_THE_HUB = {"consent.file", "consent.row", "consent.conflict", "batch.suite"}
ERRORS = ("Refused", "Corrupt", "Transient")


def tracked(*suffixes: str) -> list[Path]:
    """The project's files as git knows them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 -- the git that is on the path
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    return [file for file in files if file.is_file() and (not suffixes or file.suffix in suffixes)]


def modules(*folders: str) -> list[Path]:
    return [file for file in tracked(".py") if file.relative_to(ROOT).parts[0] in folders]


def texts_in(module: Path) -> Iterator[str]:
    """Every string of a module, docstrings left out."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def test_imports_run_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


def test_every_module_of_the_hub_has_its_layer_or_imports_nothing_of_it() -> None:
    """What no layer names, anybody may import: so it must lead nowhere."""
    named = set(re.findall(r"hub\.[a-z_]+", (ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    for file in modules("hub"):
        name = f"hub.{file.relative_to(ROOT / 'hub').parts[0].removesuffix('.py')}"
        if name not in named:
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"^\s*(from|import) (hub|connectors)\b", text, re.MULTILINE), name


def test_the_environment_is_read_in_settings_and_the_command_line_alone() -> None:
    allowed = {"hub/settings.py"}
    readers = {
        str(file.relative_to(ROOT))
        for file in modules("hub", "connectors", "schemas")
        if re.search(r"os\.(environ|getenv)", file.read_text(encoding="utf-8"))
    }
    assert {name for name in readers if not name.startswith("hub/cli/")} <= allowed


def test_no_module_is_longer_than_its_reader_can_hold() -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in modules(*PRODUCT)
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_nothing_is_left_for_later_in_the_code() -> None:
    # Put together here, so that this file does not find itself.
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in tracked(".py", ".yaml", ".yml", ".sh", ".toml", ".md", ".txt", ".mako")
        for line in file.read_text(encoding="utf-8").splitlines()
        if marks.search(line) and "test_layers" not in file.name
    ]
    allowed = ("no TO" + "DO", "TD0", "TO" + "DO lives")
    assert [line for line in found if not any(word in line for word in allowed)] == []


def test_no_file_names_a_registry_or_a_place_on_one_machine() -> None:
    addresses = re.compile(
        r"https?://[^\s'\"]*(pypi|pythonhosted|npmjs|proxy\.golang|crates\.io|artifactory|nexus|jfrog)"
        r"|--(extra-)?index-url\s+\S|(^|[\s'\"=(])/(work|root|home/(?!you/)[a-z]+|Users)/"
        r"|[\s'\"=(]/tmp/[a-z]+/",
        re.IGNORECASE | re.MULTILINE,
    )
    found = []
    for file in tracked():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if file.name != Path(__file__).name and (hit := addresses.search(text)):
            found.append(f"{file.relative_to(ROOT)}: {hit.group(0).strip()}")
    assert found == []


def test_every_code_that_the_code_uses_is_in_the_catalogue() -> None:
    pattern = re.compile(rf"({'|'.join(SPOKEN)})\.[a-z_0-9]+")
    used = {
        text
        for module in modules("hub", "connectors", "schemas")
        for text in texts_in(module)
        if pattern.fullmatch(text) and not text.endswith((".py", ".csv", ".yaml"))
    }
    assert len(used) > 40
    assert used - catalogue().keys() - OF_THE_HUB == set()


def test_every_code_of_the_catalogue_is_used() -> None:
    spoken = {text for module in modules("hub", "connectors", "schemas") for text in texts_in(module)}
    gate = [file for file in modules("hub") if file.parent.name == "egress"]
    spoken |= {f"egress.{text}" for module in gate for text in texts_in(module)}  # hub.egress.alarm says so
    for file in tracked(".yaml"):
        if file.parent.name == "agreements":
            spoken |= set(re.findall(r"[a-z]+\.[a-z_]+", file.read_text(encoding="utf-8")))
            spoken |= {
                f"batch.{metric}" for metric in re.findall(r"metric: ([a-z_]+)", file.read_text("utf-8"))
            }
    assert {code for code in catalogue() if code not in spoken} == set()


def test_every_error_says_what_to_do() -> None:
    """Each error that is raised has a code in the family's form, a message and a remedy, in words."""
    raised = 0
    for module in modules("hub", "connectors"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                raised += 1
                place = f"{module.relative_to(ROOT)}:{node.lineno}"
                given = [*node.args, *(word.value for word in node.keywords)]
                assert len(given) == 3 or any(isinstance(part, ast.Starred) for part in given), place
                code, message, remedy = given if len(given) == 3 else (None, None, None)
                if isinstance(code, ast.Constant):
                    assert re.fullmatch(r"[a-z]+\.[a-z_0-9]+", str(code.value)), place
                for words in (message, remedy):
                    if isinstance(words, ast.Constant):
                        assert len(str(words.value)) >= 8, place
    assert raised > 60


def test_tests_are_sentences() -> None:
    for file in modules("tests"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert len(node.name.split("_")) >= 4, f"{file.relative_to(ROOT)}: {node.name}"


def test_no_test_is_skipped_or_proves_nothing() -> None:
    hollow = re.compile(r"assert True\b|pytest\.skip\(|mark\.skip|mark\.xfail")
    found = [
        str(file.relative_to(ROOT))
        for file in modules("tests")
        if hollow.search(file.read_text(encoding="utf-8")) and file != Path(__file__)
    ]
    assert found == ["tests/conftest.py"], "only what the operating system lacks is left out, and listed"


def test_nothing_is_printed_but_by_the_command_line() -> None:
    for module in modules("hub", "connectors", "schemas"):
        calls = [
            n for n in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)
        ]
        named = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
        assert "print" not in named, module.relative_to(ROOT)
