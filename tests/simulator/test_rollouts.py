"""`simulate_rollout`, as a team's tests use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from guardian.core.model import Verdict
from guardian.errors import PolicyError, ScenarioError
from simulator.library import find
from simulator.run import run
from simulator.testing import simulate_rollout
from tests.simulator.worlds import shipped


def test_a_scenario_passes_and_says_what_came_out() -> None:
    """The runs are those of `guardian simulate`."""
    result = simulate_rollout("S01", seeds=3)
    assert result.passed
    assert result.verdicts == {Verdict.ROLLBACK: 3}
    assert [one.run for one in result.outcomes] == [run(shipped("S01"), seed) for seed in (1, 2, 3)]
    assert result.decided_at == tuple(one.run.decided_at for one in result.outcomes)
    assert result.bad_requests > 0
    assert repr(result) == "S01: expected rollback; of 3 seeds: rollback 3"


def test_a_policy_that_is_too_generous_prints_why(tmp_path: Path) -> None:
    """An assertion that fails shows what happened in the first run that was not right."""
    policy = tmp_path / "policy.yaml"
    text = find("S02")[0].read_text(encoding="utf-8").split("\n---\n")[1]
    policy.write_text(
        text.replace("relative: 1.05", "relative: 3").replace("relative: 1.5", "relative: 4"), encoding="utf-8"
    )
    result = simulate_rollout(find("S02")[0], policy=policy, seeds=3)
    assert not result.passed
    told = repr(result)
    assert "S02: expected rollback; of 3 seeds: " in told
    assert "\nfails: " in told
    assert "seed 1 is wrong:\n" in told
    assert "15m2s advanced: step 2 passed at 50%" in told
    assert "\n  -8s queued: " in told


@pytest.mark.parametrize(
    ("scenario", "policy", "error", "told"),
    [
        ("S999", None, ScenarioError, "no scenario 'S999'"),
        ("S01", "nowhere.yaml", PolicyError, "nowhere.yaml"),
    ],
)
def test_wrong_files_are_told(scenario: str, policy: str | None, error: type[Exception], told: str) -> None:
    """As the commands do."""
    with pytest.raises(error, match=told):
        simulate_rollout(scenario, policy=policy)


def test_no_seeds_and_whole_folders_are_refused(tmp_path: Path) -> None:
    """A test of nothing would pass."""
    with pytest.raises(ValueError, match="at least 1"):
        simulate_rollout("S01", seeds=0)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="folder of 2 scenarios"):
        simulate_rollout(tmp_path)


def test_starting_a_service_loads_no_simulator() -> None:
    """`simulator.testing` itself stays light."""
    code = "import sys, simulator.testing; sys.exit('simpy' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
