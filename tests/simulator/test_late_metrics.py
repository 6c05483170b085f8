"""Metrics that always come late: the hold says what to do about it, and doing it helps."""

from pathlib import Path

from simulator.testing import simulate_rollout

LATE = """apiVersion: slo-guardian/v1
kind: Scenario
extends: S17
metadata: {name: late, title: All metrics are 40 s late}
spec:
  story: Remote write from another cluster; the release is healthy.
  faults:
    - {kind: late_samples, by: 40s}
"""


def _played(tmp_path: Path, interval: str) -> tuple[str, list[str]]:
    """Return what passing does not say, and the reasons of holds."""
    file = tmp_path / "late.yaml"
    policy = f"---\napiVersion: slo-guardian/v1\nkind: Policy\nspec: {{interval: {interval}}}\n"
    file.write_text(LATE + policy, encoding="utf-8")
    result = simulate_rollout(file, seeds=1)
    reasons = [one.reason for one in result.outcomes[0].run.seen if one.event == "held"]
    return result.summary.caution, reasons


def test_metrics_40_s_late_are_taken_for_silent_and_the_remedy_is_told(tmp_path: Path) -> None:
    """Three looks of 10 s are waited for. A verdict comes all the same, so that the scenario alone would not say it."""
    caution, reasons = _played(tmp_path, "10s")
    assert caution.startswith("1 of 1 rollouts were held when the verdict was promote")
    assert "need a longer `interval`: 3 of them are waited for" in reasons[0]


def test_half_the_delay_as_interval_ends_the_hold(tmp_path: Path) -> None:
    """As `guardian schema policy` says of the key."""
    assert _played(tmp_path, "20s") == ("", [])
