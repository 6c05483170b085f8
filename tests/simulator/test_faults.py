"""When and where faults act: by turns, on some pods, above some weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from guardian.core.model import Instant, Seconds, Verdict, Weight
from simulator.counted import Harm
from simulator.faults import ErrorStep
from simulator.outcome import Run, Seen, compare
from simulator.truth import Happening
from simulator.world import World
from tests.simulator.worlds import refused, scenario, shifted, written


def _errors(world: World, t: float) -> list[float]:
    """Return the chance to fail of each pod in use at that time."""
    held = world.conditions(np.full(world.width, t), at=world.opening + t)
    return [round(float(one), 6) for one in held.errors]


def test_a_fault_comes_by_turns() -> None:
    """A minute on, a minute off; nothing before the first."""
    fault = ErrorStep.model_validate({"kind": "error_step", "at": "1m", "lasts": "1m", "every": "2m", "share": "2%"})
    times = np.array([0.0, 59.9, 60.0, 119.9, 120.0, 179.9, 180.0, 239.9, 240.0])
    assert fault.runs(times).tolist() == [False, False, True, True, False, False, True, True, False]
    assert fault.edges(300.0) == [60.0, 120.0, 180.0, 240.0, 300.0, 360.0]


def test_what_grows_within_a_fault_grows_anew_in_each_turn() -> None:
    """A ramp begins where its turn does."""
    fault = {"kind": "latency_shift", "lasts": "1m", "every": "2m", "factor": 4, "ramp": "1m"}
    world = shifted(scenario(faults=[fault]))
    slow = [world.conditions(np.full(world.width, t), at=world.opening).slow[4] for t in (30.0, 150.0, 100.0)]
    assert slow == pytest.approx([2.0, 2.0, 1.0])


def test_turns_are_counted_in_the_requests_of_their_time() -> None:
    """Failures of a scrape are not smeared over a turn's end."""
    fault = {"kind": "error_step", "at": "0s", "lasts": "1m", "every": "2m", "share": "100%"}
    world = shifted(scenario(faults=[fault]), weight=0.5)
    rounds = [one for one in world.rounds if one.time[0, 0] > world.opening]
    canary = world.topology.canary.slots
    bad, total = (
        np.diff([getattr(one, name)[0, canary].sum() for one in rounds], prepend=0) for name in ("bad", "total")
    )
    inside = np.array([(one.time[0, canary].max() - world.opening) % 120 for one in rounds])
    assert np.all(bad[(inside > 11) & (inside < 59)] == total[(inside > 11) & (inside < 59)])
    assert bad[inside > 71].sum() < 0.02 * total[inside > 71].sum()


def test_a_fault_above_a_weight_waits_for_it() -> None:
    """Half of the traffic, not a tenth; taken back it is over."""
    world = shifted(scenario(faults=[{"kind": "error_step", "share": "4%", "above": "45%"}]), weight=0.1, minutes=1)
    world.serve(Weight(0.5), Instant(world.opening + 60))
    world.serve(Weight(0.0), Instant(world.opening + 120))
    assert [_errors(world, t)[-1] for t in (59, 61, 121)] == [0.005, 0.04, 0.005]


def test_a_fault_of_some_pods_leaves_the_others() -> None:
    """The first two stable pods; any kind of fault can have `pods`."""
    world = shifted(scenario(faults=[{"kind": "error_step", "on": "stable", "pods": 2, "factor": 4}]), minutes=1)
    assert _errors(world, 30) == [0.02, 0.02, 0.005, 0.005, 0.005, 0.005]


def test_a_hold_that_may_be_rolled_back_is_wrong_only_when_promoted() -> None:
    """S03: nobody can know within the rollout; the risk is that of a false promotion."""
    truth = {"verdict": "hold", "rollback_allowed": True}
    one = scenario(truth=truth, lasts="10m")
    for happening, verdict, wrong in (
        (Happening.ROLLBACK, Verdict.ROLLBACK, False),
        (Happening.PROMOTE, Verdict.PROMOTE, True),
    ):
        seen = Seen(at=Seconds(60), happening=happening, event="x")
        run = Run(scenario="x", seed=1, verdict=verdict, decided_at=Seconds(60), seen=(seen,), harm=Harm())
        assert compare(one, run).wrong is wrong
    assert one.risk == one.policy.risk.false_promotion


@pytest.mark.parametrize(
    ("spec", "what", "remedy"),
    [
        ("{faults: [{kind: error_step, share: 1%, every: 2m}]}", "must have ended before", "shorter than `every`"),
        ("{faults: [{kind: error_step, share: 1%, lasts: 1s, every: 2s}]}", "not allowed", "at least 5"),
        ("{lasts: 3000d}", "a run has 25920210 scrapes", "shorter times"),
        ("{truth: {verdict: hold}}", "nothing says when a run is over", "add `lasts: 20m`"),
        ("{truth: {verdict: rollback, within: 5m, rollback_allowed: true}}", "only a hold leaves it open", "remove it"),
        ("{truth: null}", "key 'truth' is missing in spec", "add 'truth:'"),
        ("{truth: {verdict: promot, within: 5m}}", "'promot' is not allowed", "did you mean 'promote'"),
        ("{faults: [{kind: eror_step}]}", "faults[0].kind: 'eror_step' is not allowed", "did you mean 'error_step'"),
        ("{traffic: {rate: -1}}", "-1 is not allowed", "at least 0"),
        ("{traffic: {rate: 1e9}}", "1e+09 requests/s are more than any service has", "at most 1e+07"),
    ],
)
def test_a_scenario_that_cannot_be_played_is_refused_at_its_line(
    tmp_path: Path, spec: str, what: str, remedy: str
) -> None:
    """What, where, and what to write."""
    error = refused(written(tmp_path, f"extends: S02\nspec: {spec}\n"))
    assert what in error.what
    assert remedy in error.remedy
    assert "mine.yaml:5:" in error.where
