"""The project's own guardrails: its library and its example policies judge as well as the committed baseline says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.guardrails import SLICES, Slice, main
from simulator.baseline import read_baseline
from simulator.library import library


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.campaign
@pytest.mark.timeout(900)  # some 40 s of CPU, beside other tests
@pytest.mark.parametrize("name", SLICES)
def test_no_guardrail_is_worse_than_the_baseline(name: str) -> None:
    """`python -m benchmarks.guardrails --write` makes it anew; docs/reference/bench.md says when that is honest."""
    one = SLICES[name]
    done = _run(one.command("--compare", str(one.baseline), "--strict"))
    assert done.returncode == 0, done.stderr


def test_the_baseline_holds_the_library_and_every_example() -> None:
    """A scenario or a policy that is added has to be measured as well."""
    assert {one.scenario for one in read_baseline(SLICES["library"].baseline)} == set(library())
    policies = {one.policy for one in SLICES.values() if one.policy is not None}
    examples = Path(__file__).parents[2] / "examples"
    assert policies == {examples / "game" / "policy.yaml", *(examples / "policies").iterdir()}


@pytest.fixture
def small() -> Slice:
    """A slice of one fast incident."""
    return Slice(name="one", seeds=2, scenarios=Path("S01"))


def test_a_slice_fails_where_the_baseline_was_better(
    small: Slice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Written, compared with itself, then with a version that hurt a tenth of the users: 0, 0, 3."""
    monkeypatch.setattr("benchmarks.guardrails.BASELINES", tmp_path)
    monkeypatch.setattr("benchmarks.guardrails.SLICES", {"one": small})
    assert main(["one", "--write"]) == 0
    assert main(["one"]) == 0
    line = json.loads(small.baseline.read_text(encoding="utf-8"))
    for run in line["runs"]:
        run["bad_requests"] //= 10
    small.baseline.write_text(json.dumps(line), encoding="utf-8")
    assert main(["one"]) == 3
    assert "regressed: all scenarios together: requests hurt x 1" in capfd.readouterr().err


def test_a_slice_that_is_none_is_told() -> None:
    """With those there are."""
    done = _run([sys.executable, "-m", "benchmarks.guardrails", "nothing"])
    assert done.returncode == 2
    assert "there is no slice nothing; write one of: library, game, checkout" in done.stderr
