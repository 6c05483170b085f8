"""examples/ci: the script judges a branch's policy against its base, and the pipelines run that script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from simulator.library import find

EXAMPLES = Path(__file__).parents[2] / "examples" / "ci"
SCRIPT = EXAMPLES / "guardrails.sh"
PIPELINES = sorted(path for path in EXAMPLES.iterdir() if path != SCRIPT)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A team's repository: main has a policy and an incident, the branch is on top of it."""
    incident = find("S02")[0].read_text(encoding="utf-8")
    for folder in ("policies", "incidents"):
        (tmp_path / folder).mkdir()
    (tmp_path / "incidents" / "doubled.yaml").write_text(incident, encoding="utf-8")
    (tmp_path / "policies" / "checkout.yaml").write_text(incident.split("\n---\n")[1], encoding="utf-8")
    _git(tmp_path, "init", "--quiet", "--initial-branch=main")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "--message=A policy and an incident")
    return tmp_path


def _git(folder: Path, *arguments: str) -> None:
    known = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *known, *arguments], cwd=folder, check=True, capture_output=True)


def _widen(policy: Path) -> None:
    text = policy.read_text(encoding="utf-8")
    wide = text.replace("relative: 1.05", "relative: 3").replace("relative: 1.5", "relative: 4")
    assert wide != text
    policy.write_text(wide, encoding="utf-8")


def _judge(folder: Path, base: str = "main") -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["bash", str(SCRIPT), base, "policies/checkout.yaml", "incidents"]
    environment = {**os.environ, "PATH": path, "SEEDS": "8"}
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, env=environment)


def test_the_same_policy_is_no_worse(repository: Path) -> None:
    """A pull request that changes a comment passes, and its table says that all is the same."""
    done = _judge(repository)
    assert done.returncode == 0, done.stderr
    table = (repository / "guardrails.md").read_text(encoding="utf-8")
    assert table.startswith("### Guardrails: no worse\n")
    assert "| S02 | 8/8 | same | same | same | same |  |" in table


def test_a_wider_margin_fails_the_pipeline(repository: Path) -> None:
    """With the exit code of a regression, and a table that says what is worse."""
    _widen(repository / "policies" / "checkout.yaml")
    done = _judge(repository)
    assert done.returncode == 3, done.stderr
    told = (repository / "guardrails.md").read_text(encoding="utf-8")
    assert "WORSE" in told
    assert "Worse in S02: 8 of 8 seeds; seed 1: " in told
    assert done.stdout == told


def test_what_came_to_main_meanwhile_is_not_asked_of_the_branch(repository: Path) -> None:
    """A branch that did not touch the policy is no worse, though main has a stricter one by now."""
    policy = repository / "policies" / "checkout.yaml"
    strict = policy.read_text(encoding="utf-8")
    _widen(policy)
    _git(repository, "commit", "--quiet", "--all", "--message=A wide margin")
    _git(repository, "branch", "change")
    policy.write_text(strict, encoding="utf-8")
    _git(repository, "commit", "--quiet", "--all", "--message=A strict margin")
    _git(repository, "checkout", "--quiet", "change")
    done = _judge(repository)
    assert done.returncode == 0, done.stderr
    assert "| S02 | 0/8 | same | same |" in (repository / "guardrails.md").read_text(encoding="utf-8")


def test_a_clone_without_history_is_told_what_to_fetch(repository: Path) -> None:
    """A branch that has nothing in common with main cannot be compared: no pass, and no regression."""
    _git(repository, "checkout", "--quiet", "--orphan", "alone")
    _git(repository, "commit", "--quiet", "--message=Alone")
    done = _judge(repository)
    assert done.returncode == 2
    assert "main and this branch have no commit in common here: fetch both" in done.stderr
    assert not (repository / "guardrails.md").exists()


def test_a_policy_that_is_wrong_is_no_regression(repository: Path) -> None:
    """Its mistake is told; there is no table."""
    (repository / "policies" / "checkout.yaml").write_text("kind: Policy\n", encoding="utf-8")
    done = _judge(repository)
    assert done.returncode == 2
    assert "policies/checkout.yaml" in done.stderr
    assert not (repository / "guardrails.md").exists()


def test_a_new_policy_is_measured_only(repository: Path) -> None:
    """The base has nothing to compare it with."""
    _git(repository, "rm", "--quiet", "--cached", "policies/checkout.yaml")
    _git(repository, "commit", "--quiet", "--message=Without the policy")
    done = _judge(repository)
    assert done.returncode == 0, done.stderr
    assert "compared with nothing" in done.stderr
    assert "| S02 | rollback | 8/8 |" in (repository / "guardrails.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda path: path.name)
def test_a_pipeline_runs_the_script_and_posts_its_table(pipeline: Path) -> None:
    """With the arguments it takes, and the file it writes."""
    text = pipeline.read_text(encoding="utf-8")
    assert re.search(r'bash ci/guardrails\.sh "origin/[^"]+" policies/checkout\.yaml incidents', text)
    assert "guardrails.md" in text
    if pipeline.suffix == ".yaml":
        assert YAML(typ="safe").load(text)
