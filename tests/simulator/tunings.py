"""Small worlds and policies for tests of tuning: a run takes a tenth of a second."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from guardian.core.model import Seconds
from simulator.tuning.crew import Crew
from simulator.tuning.kept import Kept
from simulator.tuning.space import Space, read_space
from simulator.tuning.study import Study, Terms

POLICY = """\
# the policy of the checkout service
apiVersion: slo-guardian/v1
kind: Policy
metadata: {name: checkout}
spec:
  match: {service: checkout, environment: production}
  risk: {false_rollback: 1%, false_promotion: 5%, earliest_promotion: 4m}
  router: {memory: {}}
  workload: {memory: {}}
  strategy: {kind: canary, steps: [{weight: 20%, bake: 1m}, {weight: 50%, bake: 1m}, {weight: 100%, bake: 1m}]}
  guardrails:
    - name: errors  # five hundreds
      sli: {ratio: {bad: 'http_requests_total{status=~"5.."}', total: http_requests_total}}
      compare: {rollback: {relative: 1.05, absolute: 0.005%}, promote: {relative: 12, absolute: 0.05%}}
"""
BAD = POLICY.replace("rollback: {relative: 1.05", "rollback: {relative: 10")
"""Ten times the errors are within its margin."""
SPACE = """\
apiVersion: slo-guardian/v1
kind: SearchSpace
spec:
  knobs:
    spec.guardrails[errors].compare.rollback.relative: [1.05, 3, 10]
    spec.strategy.steps[0].weight: [10%, 20%]
"""
_WORLD = """\
apiVersion: slo-guardian/v1
kind: Scenario
metadata: {{name: {name}, title: {name}}}
spec:
  story: a test
  history: 5m
  lasts: 8m
  service:
    name: checkout
    pods: {{stable: 2, canary: 1}}
    errors: {{share: 0.5%, spread: 0.05}}
    latency: {{body: [{{share: 100%, median: 80ms, sigma: 0.5}}], tail: {{share: 0.3%, median: 2.5s, sigma: 0.2}}}}
  traffic: {{kind: steady, rate: 200}}
  faults: {faults}
  truth: {truth}
---
"""
SCENARIOS = {
    "broken": _WORLD.format(
        name="broken",
        faults="[{kind: error_step, at: 0s, on: canary, share: 3%}]",
        truth="{verdict: rollback, onset: 0s, within: 60s}",
    )
    + POLICY,
    "healthy": _WORLD.format(name="healthy", faults="[]", truth="{verdict: promote, onset: 0s, within: 5m}") + POLICY,
}


def space(folder: Path, policy: str = BAD, written: str = SPACE) -> Space:
    """Read a search space as the command does."""
    file = folder / "space.yaml"
    file.write_text(written, encoding="utf-8")
    return read_space(file, policy, file="policy.yaml")


def terms(*, trials: int | None = 3, seeds: int = 2, fresh: int = 6, budget: float | None = None) -> Terms:
    """Return both scenarios."""
    return Terms(
        scenarios=SCENARIOS, seeds=seeds, fresh=fresh, trials=trials, budget=None if budget is None else Seconds(budget)
    )


def study(searched: Space, crew: Crew, kept: Kept | None = None, **asked: Any) -> Study:
    """Return a search with a clock that counts how often it is asked."""
    clock = itertools.count()
    return Study(searched, terms(**asked), crew, kept or Kept({}), elapsed=lambda: float(next(clock)))
