"""What the build does when it is started: the order of `make test`, and what `.ci/run` answers with."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def outside() -> dict[str, str]:
    """The environment without what a make that runs these tests, or a build server, has put there."""
    ours = ("CI", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
    return {name: value for name, value in os.environ.items() if name not in ours}


def planned(target: str) -> list[str]:
    """Commands of a make target, not carried out."""
    done = subprocess.run(["make", "-n", target], cwd=ROOT, env=outside(), check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def position(commands: list[str], word: str) -> int:
    """Where the command with this word stands."""
    return next(number for number, command in enumerate(commands) if word in command)


def test_everything_is_set_up_and_linted_before_the_tests_run() -> None:
    """A slip of style is told within seconds, and the last line is the summary of the tests."""
    commands = planned("test")
    places = [position(commands, word) for word in (".ci/setup", "services prepare", "ruff check", "mypy", "pytest")]
    assert places == sorted(places)
    assert places[-1] == len(commands) - 1


def test_the_demo_needs_no_services() -> None:
    """Python only: a newcomer waits for nothing else."""
    assert planned("demo") == [".ci/setup", ".venv/bin/guardian demo"]


@pytest.mark.parametrize("code", [0, 1])
def test_the_build_answers_as_the_tests_do(tmp_path: Path, code: int) -> None:
    """Run from anywhere, without standard input; it fails exactly when the tests fail."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    recipe = f"test:\n\t@read line && echo input; echo CI=$$CI; exit {code}\n"
    (tmp_path / "Makefile").write_text(recipe, encoding="utf-8")
    done = subprocess.run(
        ["bash", str(tmp_path / ".ci" / "run")],
        cwd="/",
        env=outside(),
        input="something\n",
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode != 0, done.stdout) == (code != 0, "CI=true\n")
