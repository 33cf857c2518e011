"""Setting up: the lock says everything and tells no address; what a run left out is said."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def locked() -> dict[str, str]:
    """Cut the lock into blocks: a package's name and its lines."""
    blocks = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)
    return {re.split(r"[=\[ ]", block, maxsplit=1)[0]: block for block in blocks if block.strip()}


def test_the_lock_names_versions_and_hashes_only() -> None:
    for name, block in locked().items():
        first, *rest = [line.strip().removesuffix(" \\") for line in block.strip().splitlines()]
        assert re.match(r"[a-z0-9-]+==[0-9a-z.+!]+( ; .+)?$", first), name
        assert rest, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in rest), name


def test_the_lock_holds_no_address_and_no_path() -> None:
    assert not re.search(r"://|@|--(index|extra-index|find-links|trusted)|file:|^/", LOCK, re.MULTILINE)


def test_the_lock_holds_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"], "uv", "setuptools"]
    names = {re.split(r"[\[<>=~! ;]", line, maxsplit=1)[0].lower().replace("_", "-") for line in asked}
    assert names <= set(locked())


def test_a_python_that_does_not_fit_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    for environment in ({"PYTHON": str(tmp_path / "python3")}, {}):
        answer = subprocess.run(
            ["/bin/sh", str(ROOT / "scripts" / "setup.sh")],
            env={"PATH": str(tmp_path)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 1
        assert answer.stderr.startswith("setup.python: expected Python 3.11, 3.12 or 3.13")
        assert "\nRemedy: " in answer.stderr


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.slow
def test_what_a_run_left_out_is_listed_and_fails_where_asked(tmp_path: Path, *, strict: bool) -> None:
    (tmp_path / "test_example.py").write_text(
        "import pytest\n\n@pytest.mark.needs('ssh-keygen')\ndef test_it(): pass\n", encoding="ascii"
    )
    (tmp_path / "bin").mkdir()
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", "."]
        + ["--no-missing-tools"] * strict,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == (1 if strict else 0), answer.stdout + answer.stderr
    assert ("1 error" if strict else "1 skipped") in answer.stdout
    assert re.search(r"^ssh-keygen \(.+\): 1 test\(s\); get it by: apt install", answer.stdout, re.MULTILINE)
