"""The wheel that users install: what is in it, that it runs alone, and that its names are its own."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = "slo-guardian"
TOP_LEVEL = {"analysis", "guardian", "simulator"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built with the pinned build backend and without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel in it; what it depends on is lent by this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--no-deps",
            "--no-index",
            str(wheel),
        ]
    )
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


def run(command: list[str], *, cwd: Path | None = None) -> str:
    """Standard output of a command that must not fail; nothing of this environment's paths reaches it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(command, cwd=cwd, env=clean, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def top_level(distribution: Distribution) -> set[str]:
    """Importable names that a distribution puts beside those of the others."""
    first = {file.parts[0] for file in distribution.files or () if file.suffix in {".py", ".so", ".pyi", ".typed"}}
    names = {name.partition(".")[0] for name in first}
    return {name for name in names if name.isidentifier() and name != "__pycache__"}


def clashes(installed_here: Iterable[Distribution]) -> Mapping[str, str]:
    """Name of ours -> the other distribution that brings it too."""
    return {
        name: other.name
        for other in installed_here
        if other.name != OURS
        for name in sorted(top_level(other) & TOP_LEVEL)
    }


def test_top_level_names_are_the_three_packages(wheel: Path) -> None:
    """Tests, benchmarks and charts stay in the repository."""
    parts = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {part for part in parts if not part.endswith(".dist-info")} == TOP_LEVEL


def test_the_wheel_is_typed_and_licensed(wheel: Path) -> None:
    """Type checkers of users read our annotations; the licence travels with the code."""
    names = zipfile.ZipFile(wheel).namelist()
    assert "guardian/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_every_tracked_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    """Scenarios, templates and other files that are not Python are needed too."""
    listed = run(["git", "ls-files", *sorted(TOP_LEVEL)], cwd=ROOT).split()
    tracked = {name for name in listed if (ROOT / name).is_file()}
    assert tracked - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_command_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """In an environment of its own, far from the checkout."""
    assert version(OURS) in run([str(installed / "guardian"), "version"], cwd=tmp_path)


def test_the_installed_package_is_the_one_that_runs(installed: Path, tmp_path: Path) -> None:
    """Else the test above would only have tried the checkout again."""
    shown = run([str(installed / "python"), "-c", "import guardian; print(guardian.__file__)"], cwd=tmp_path)
    assert Path(shown.strip()).is_relative_to(installed.parent)


def test_no_other_distribution_brings_our_names() -> None:
    """Of two packages of one name the later install silently overwrites files of the earlier one."""
    assert clashes(distributions()) == {}


@pytest.mark.parametrize("file", ["analysis/__init__.py", "guardian/models.py", "simulator.py"])
def test_a_clash_is_seen(tmp_path: Path, file: str) -> None:
    """A package, a namespace package or a single module: each would hide ours."""
    described = tmp_path / "other-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n", encoding="utf-8")
    (described / "RECORD").write_text(f"{file},,\nother/__init__.py,,\n", encoding="utf-8")
    for listed in (file, "other/__init__.py"):  # a back-port of importlib.metadata, once loaded, asks for what is there
        (tmp_path / listed).parent.mkdir(exist_ok=True)
        (tmp_path / listed).touch()
    name = file.partition("/")[0].removesuffix(".py")
    assert clashes(distributions(path=[str(tmp_path)])) == {name: "other"}
