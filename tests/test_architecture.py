"""Who may import whom, and how large things may be: the contracts hold, and each catches its kind."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("analysis", "guardian", "simulator")
TOP_LEVEL = {".ci", "analysis", "benchmarks", "docs", "examples", "guardian", "helm", "simulator", "tests"}
MOST_LINES = 400
MOST_CODE_LINES = 40  # of a function, its docstring not counted

PURE = "core and analysis: no clock"
PACKAGE_LAYERS = "packages: simulator over guardian"
LAYERS = "guardian: layers"
ADAPTERS = "adapters: none knows another"
SIMULATOR = "simulator: drives the engine"
ANALYSIS = "analysis: used by the core"

VIOLATIONS = [
    ("guardian/core/planted.py", "import simulator", PACKAGE_LAYERS),
    ("analysis/planted.py", "import guardian.errors", PACKAGE_LAYERS),
    ("guardian/core/planted.py", "import guardian.ports", LAYERS),
    ("guardian/core/planted.py", "import guardian.wire.planted_target", LAYERS),
    ("guardian/errors.py", "import guardian.core", LAYERS),
    ("guardian/ports.py", "import guardian.config.planted_target", LAYERS),
    ("guardian/wire/planted.py", "import guardian.adapters.planted_target", LAYERS),
    ("guardian/runtime/planted.py", "import guardian.adapters.planted_target", LAYERS),
    ("guardian/web/planted.py", "import guardian.runtime.planted_target", LAYERS),
    ("guardian/importing/planted.py", "import guardian.adapters.planted_target", LAYERS),
    ("guardian/config/planted.py", "import guardian.importing.planted_target", LAYERS),
    ("guardian/helpers.py", "", LAYERS),
    ("guardian/adapters/metrics/planted.py", "import guardian.adapters.metrics.planted_target", ADAPTERS),
    ("guardian/adapters/metrics/planted.py", "import guardian.adapters.routers.planted_target", ADAPTERS),
    *(
        ("guardian/core/planted.py", f"import {name}", PURE)
        for name in (
            "asyncio",
            "time",
            "datetime",
            "random",
            "logging",
            "pydantic",
            "fastapi",
            "httpx",
            "aiokafka",
        )
    ),
    ("analysis/planted.py", "import time", PURE),
    ("guardian/errors.py", "import logging", PURE),
    ("simulator/planted.py", "import guardian.cli.planted_target", SIMULATOR),
    ("simulator/planted.py", "import guardian.runtime.planted_target", SIMULATOR),
    ("simulator/planted.py", "import guardian.web.planted_target", SIMULATOR),
    ("simulator/planted.py", "import guardian.app", SIMULATOR),
    ("guardian/wire/planted.py", "import analysis", ANALYSIS),
    ("guardian/cli/planted.py", "import analysis", ANALYSIS),
]


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository that match."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the import contracts of the packages in this folder."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts, to be changed at will."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(root: Path, place: str, line: str) -> None:
    """Add the line to the file, and an empty module wherever the import leads to nothing."""
    wanted = line.removeprefix("import ").replace(".", "/")
    target = root / f"{wanted}.py"
    if line.startswith(("import guardian", "import simulator")) and not (root / wanted).is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    file = root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as text:
        text.write(f"\n{line}\n")
    for folder in {file.parent, *file.parent.parents, target.parent, *target.parent.parents}:
        if root in folder.parents:
            (folder / "__init__.py").touch()


def test_the_contracts_hold() -> None:
    """Imports go down only, as LAYOUT draws them."""
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("place", "line", "contract"), VIOLATIONS)
def test_a_planted_import_is_caught(copy: Path, place: str, line: str, contract: str) -> None:
    """A contract that catches nothing would look just like one that holds."""
    plant(copy, place, line)
    result = lint(copy)
    broken = [shown for shown in result.stdout.splitlines() if " BROKEN" in shown]
    assert result.returncode != 0, result.stdout
    assert any(shown.startswith(contract) for shown in broken), result.stdout + result.stderr


def test_top_level_folders_are_the_agreed_ones() -> None:
    """A newcomer finds each kind of thing in one place; new places are a decision, not an accident."""
    folders = {path.relative_to(ROOT).parts[0] for path in tracked() if path.parent != ROOT}
    assert folders <= TOP_LEVEL


@pytest.mark.parametrize("package", [*PACKAGES, "benchmarks", "tests"])
def test_no_file_is_too_long(package: str) -> None:
    """One idea a file."""
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in written(package)}
    assert {str(path): count for path, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize("package", [*PACKAGES, "benchmarks", "tests"])
def test_no_function_is_too_long(package: str) -> None:
    """What a function does is seen without scrolling."""
    too_long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": code_lines(node)
        for path in written(package)
        for node in functions(path)
        if code_lines(node) > MOST_CODE_LINES
    }
    assert too_long == {}


def test_no_test_is_left_out() -> None:
    """A skipped or expected failure hides what does not work, and so does code that says it is not there."""
    left_out = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in tracked("*.py")
        for line in excuses(path.read_text(encoding="utf-8"))
    }
    assert left_out == set()


@pytest.mark.parametrize(
    "line",
    [
        "pytest." + "skip('no broker')",
        "@pytest.mark." + "xfail\ndef test_it(): ...",
        "@pytest.mark." + "skipif(True, reason='')\ndef test_it(): ...",
        "from pytest import " + "importorskip",
        "raise " + "Not" + "ImplementedError",
    ],
)
def test_an_excuse_is_seen(line: str) -> None:
    """The search above finds each way to leave a test or code out."""
    assert list(excuses(f"import pytest\n{line}\n")) == [2]


def written(package: str) -> list[Path]:
    """Python files of a package that people write: generated protocol code is not."""
    return [path for path in tracked(f"{package}/*.py") if not path.stem.endswith("_pb2")]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of the file, nested ones included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without those of the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def excuses(source: str) -> Iterator[int]:
    """Lines that leave a test out or say that something is not implemented."""
    left_out = {"skip", "skipif", "xfail", "importorskip"}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="pytest"), attr=name) if name in left_out:
                yield node.lineno
            case ast.Attribute(value=ast.Attribute(attr="mark"), attr=name) if name in left_out:
                yield node.lineno
            case ast.ImportFrom(module="pytest", names=names) if left_out & {name.name for name in names}:
                yield node.lineno
            case ast.Name(id="NotImplementedError"):
                yield node.lineno
