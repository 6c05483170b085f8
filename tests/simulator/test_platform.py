"""The simulated platform and its telemetry, called as the ports they are, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

import numpy as np
import pytest
from simpy import Environment

from guardian.core.looks import Part
from guardian.core.measures import MeasureRequest
from guardian.core.model import Instant, Place, Revision, RolloutId, Track, Weight
from guardian.core.policy import GaugeSli, Guardrail, Labels
from guardian.errors import Refused
from guardian.ports import Samples, Target
from simulator.bridge import VirtualClock, awaited
from simulator.chance import Chance
from simulator.platform import Platform
from simulator.scenario import Scenario
from simulator.telemetry import Telemetry
from simulator.world import World
from tests.simulator.worlds import policy, scenario

T = TypeVar("T")
PLACE = Place(service="checkout", environment="production")
TARGET = Target(place=PLACE, options={})
NEW = Revision("1.1.0")


class Stage:
    """A world with its ports, and virtual time to call them in."""

    def __init__(self, of: Scenario) -> None:
        self.world = World(of, Chance(1))
        self.environment = Environment(initial_time=self.world.opening)
        self.clock = VirtualClock(self.environment)
        self.platform = Platform(self.world, self.clock)
        self.telemetry = Telemetry({"checkout": self.world}, self.clock)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a port's answer in virtual time."""
        answers: list[T] = []

        def process() -> Generator[Any, Any, None]:
            answers.append((yield from awaited(coroutine)))

        self.environment.run(until=self.environment.process(process()))
        return answers[0]

    def later(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.environment.run(until=self.environment.now + seconds)

    def measure(self, guardrail: Guardrail, *, since: float = -math.inf) -> Samples:
        """Return all samples of a guardrail up to now."""
        request = MeasureRequest(
            rollout=RolloutId("checkout-0"),
            place=PLACE,
            guardrail=guardrail,
            labels=Labels(),
            since=Instant(since),
            until=self.clock.now(),
        )
        return self.call(self.telemetry.measure([request]))


def test_traffic_follows_the_accepted_weight_after_the_lag() -> None:
    """Accepted is read back at once; what is served comes later, as real routers do it."""
    stage = Stage(scenario(platform={"weight_lag": "20s"}))
    stage.call(stage.platform.start_canary(TARGET, NEW))
    stage.call(stage.platform.set_weight(TARGET, Weight(0.5)))
    assert stage.call(stage.platform.accepted_weight(TARGET)) == Weight(0.5)
    assert stage.world.weight(stage.clock.now()) == Weight(0.0)
    stage.later(300)
    share = stage.call(stage.platform.observed_share(TARGET))
    assert share is not None
    assert share.requests > 40_000
    assert share.share == pytest.approx(0.5, abs=0.01)


def test_a_router_may_serve_another_weight_than_it_was_told() -> None:
    """What it reads back does not show it; what it serves does."""
    stage = Stage(scenario(platform={"serves": 0.5}))
    stage.call(stage.platform.start_canary(TARGET, NEW))
    stage.call(stage.platform.set_weight(TARGET, Weight(0.2)))
    stage.later(300)
    share = stage.call(stage.platform.observed_share(TARGET))
    assert stage.call(stage.platform.accepted_weight(TARGET)) == Weight(0.2)
    assert share is not None
    assert share.share == pytest.approx(0.1, abs=0.01)


def test_setting_the_same_weight_again_changes_nothing() -> None:
    """Calls are absolute and idempotent: a repeat after a crash must not move traffic."""
    stage = Stage(scenario())
    stage.call(stage.platform.start_canary(TARGET, NEW))
    for _ in range(3):
        stage.call(stage.platform.set_weight(TARGET, Weight(0.1)))
    assert len(stage.world.weights) == 2


def test_traffic_without_a_canary_is_refused() -> None:
    """A router that has nowhere to send requests says so."""
    stage = Stage(scenario())
    with pytest.raises(Refused, match="start the canary first"):
        stage.call(stage.platform.set_weight(TARGET, Weight(0.1)))


def test_a_revision_that_does_not_exist_is_refused() -> None:
    """With the names of those that do."""
    stage = Stage(scenario())
    with pytest.raises(Refused, match=r"1\.0\.0 and 1\.1\.0"):
        stage.call(stage.platform.check(TARGET, Revision("9.9.9")))


def test_a_hand_over_replaces_stable_by_fresh_pods() -> None:
    """New pods are new series: they begin at 0 and carry other names."""
    stage = Stage(scenario())
    stage.call(stage.platform.start_canary(TARGET, NEW))
    stage.call(stage.platform.set_weight(TARGET, Weight(1.0)))
    stage.later(120)
    stage.call(stage.platform.make_stable(TARGET, NEW))
    stage.call(stage.platform.set_weight(TARGET, Weight(0.0)))
    stage.call(stage.platform.stop_canary(TARGET))
    began = stage.clock.now()
    stage.later(120)
    assert stage.call(stage.platform.stable_revision(TARGET)) == NEW
    samples = stage.measure(policy().guardrails[0], since=began + 30)
    pods = {samples.keys[key].pod for key in samples.key.tolist()}
    assert pods == {f"checkout-1.1.0-{number}" for number in range(4)}


def test_samples_are_raw_counters_with_their_own_times() -> None:
    """History of stable only, before the canary has pods; nothing is differenced, nothing from the future."""
    stage = Stage(scenario())
    samples = stage.measure(policy().guardrails[0])
    assert len(samples.key) == 30 * 4 * 2
    assert {samples.keys[key].track for key in samples.key.tolist()} == {Track.STABLE}
    assert float(samples.time.max()) <= stage.clock.now()
    first = samples.value[samples.key == 0]
    assert (np.diff(first) >= 0).all()
    assert first[-1] == pytest.approx(200 / 4 * 290, rel=0.05)


def test_buckets_are_cumulative_and_end_with_all_requests() -> None:
    """As Prometheus exposes them: le=+Inf counts everything."""
    stage = Stage(scenario())
    ratio, histogram = (stage.measure(guardrail) for guardrail in policy().guardrails)
    bounds = [key.le for key in histogram.keys[:12]]
    assert bounds[-1] == math.inf
    rows = histogram.value.reshape(-1, 12)
    assert (np.diff(rows, axis=1) >= 0).all()
    totals = ratio.value[np.array([ratio.keys[key].part is Part.TOTAL for key in ratio.key.tolist()])]
    assert np.array_equal(rows[:, -1], totals)


def test_only_what_is_new_is_returned_and_asking_again_is_harmless() -> None:
    """`since` is exclusive; the series stay the same objects, so that ids can be kept."""
    stage = Stage(scenario())
    everything = stage.measure(policy().guardrails[0])
    newest = float(everything.time.max())
    assert len(stage.measure(policy().guardrails[0], since=newest).key) == 0
    stage.later(10)
    more = stage.measure(policy().guardrails[0], since=newest)
    assert len(more.key) == 4 * 2
    assert more.keys is everything.keys


def test_a_metric_that_is_not_simulated_is_refused() -> None:
    """Nothing would come, for ever; the remedy names what there is."""
    stage = Stage(scenario())
    gauge = Guardrail(name="memory", sli=GaugeSli(value="memory_bytes"))
    with pytest.raises(Refused, match="a simulated service has no gauge; it has http_requests_total"):
        stage.measure(gauge)


@pytest.mark.parametrize("by", [-180.0, 180.0])
def test_a_clock_that_is_set_dates_samples_and_none_comes_twice(by: float) -> None:
    """Set back, nothing is new for so long; set forward, what comes is not there yet; put right, likewise."""
    clock = {"kind": "clock_set", "at": "5m", "lasts": "10m", "by": f"{by:g}s"}
    stage = Stage(scenario(faults=[clock]))
    stage.call(stage.platform.start_canary(TARGET, NEW))
    stage.call(stage.platform.set_weight(TARGET, Weight(0.2)))
    stage.later(1800)
    samples = stage.measure(policy().guardrails[0], since=stage.world.zero)
    assert samples.time.max() <= stage.clock.now()
    one = samples.time[samples.key == samples.key[0]] - stage.world.zero
    assert (np.diff(one) > 0).all()
    gaps = one[:-1][np.diff(one) > 60.0]
    assert gaps == pytest.approx([300.0] if by > 0 else [720.0], abs=12.0)
    assert np.diff(one).max() == pytest.approx(190.0, abs=12.0)
