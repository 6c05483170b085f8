"""Builders of scenarios for tests: a plain healthy world, and what a test changes in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardian.config.policy import parse_policy
from guardian.core import records as r
from guardian.core.engine import Engine
from guardian.core.fleet import Fleet
from guardian.core.model import Instant, Weight
from guardian.core.policies import Policies
from guardian.core.policy import Policy
from guardian.core.records import Record
from guardian.core.world import fold
from guardian.errors import ScenarioError
from simulator.chance import Chance
from simulator.grains import world_of
from simulator.library import LIBRARY, load
from simulator.run import Simulation
from simulator.scenario import Metadata, Scenario, Spec
from simulator.world import World

SERVICE = {
    "name": "checkout",
    "pods": {"stable": 4, "canary": 2},
    "errors": {"share": "0.5%", "spread": 0.05},
    "latency": {
        "body": [{"share": "100%", "median": "80ms", "sigma": 0.5}],
        "tail": {"share": "0.3%", "median": "2.5s", "sigma": 0.2},
        "spread": 0.03,
    },
}
POLICY = """
apiVersion: slo-guardian/v1
kind: Policy
metadata: {name: checkout}
spec:
  match: {service: checkout, environment: production}
  router: {memory: {}}
  workload: {memory: {}}
  strategy: {kind: canary, steps: [{weight: 10%, bake: 5m}, {weight: 50%, bake: 5m}, {weight: 100%, bake: 10m}]}
  guardrails:
    - name: errors
      sli: {ratio: {bad: 'http_requests_total{status=~"5.."}', total: http_requests_total}}
      compare: {rollback: {relative: 1.05, absolute: 0.005%}, promote: {relative: 1.5, absolute: 0.05%}}
    - name: latency
      sli: {histogram: {buckets: http_request_duration_seconds_bucket}}
      compare: {rollback: {relative: 1.05}, promote: {relative: 1.3}}
"""


def policy() -> Policy:
    """Return a policy for `checkout` with one ratio and one histogram."""
    return parse_policy(POLICY, file="policy.yaml")


def scenario(*, name: str = "test", faults: list[dict[str, Any]] | None = None, **changed: Any) -> Scenario:
    """Return a scenario of a healthy service with 5 min of history; `changed` are sections of its specification."""
    written: dict[str, Any] = {
        "story": "a test",
        "service": SERVICE,
        "traffic": {"kind": "steady", "rate": 200},
        "history": "5m",
        "faults": faults or [],
        "truth": {"verdict": "promote", "within": "15m"},
        **changed,
    }
    return Scenario(metadata=Metadata(name=name, title="a test"), spec=Spec.model_validate(written), policy=policy())


def shifted(scenario: Scenario, *, seed: int = 1, weight: float = 0.1, minutes: float = 10) -> World:
    """Return a world whose canary took `weight` from its opening on, `minutes` later."""
    world = world_of(scenario, Chance(seed))
    world.start_canary(world.opening)
    world.serve(Weight(weight), world.opening)
    world.advance(Instant(world.opening + 60 * minutes))
    return world


def shipped(name: str) -> Scenario:
    """Return a scenario of the library by its name."""
    return load(next(LIBRARY.glob(f"{name}_*.yaml")))


HEAD = "apiVersion: slo-guardian/v1\nkind: Scenario\nmetadata: {name: mine, title: a variant}\n"


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    """Write a scenario file: HEAD, then the text, which begins in line 4."""
    file = folder / name
    file.write_text(HEAD + text, encoding="utf-8")
    return file


def refused(file: Path) -> ScenarioError:
    """Return what is said of a file that is no scenario."""
    with pytest.raises(ScenarioError) as caught:
        load(file)
    return caught.value


class Whole(Simulation):
    """A run that goes on until the rollout is over, or the scenario is."""

    def _watch(self, record: Record) -> None:
        if isinstance(record, r.Ended):
            self.end()

    def restart(self, after: float) -> None:
        """Have a new guardian go on with journal and checkpoints, so many seconds after the deploy event."""
        self.environment.process(self._restarted(after))

    def _restarted(self, after: float) -> Any:
        yield self.environment.timeout(after)
        old = self.engine
        world = fold(self.driver.journal)
        self.engine = Engine(policies=Policies([self.scenario.policy]), fleet=Fleet(), world=world)
        for rollout in world.rollouts:
            blob = old.checkpoint(rollout)
            assert blob is not None
            self.engine.restore(rollout, blob)
        self.driver.engine, self.driver._keys = self.engine, None
