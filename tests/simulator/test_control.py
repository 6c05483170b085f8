"""Control pods of a simulated service: the old revision on machines as young as the canary's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from guardian.core.model import Instant, Track, Verdict
from guardian.core.policy import Labels
from guardian.errors import ScenarioError
from simulator.bound import bound
from simulator.library import find, load
from simulator.run import run
from simulator.scenario import Scenario
from tests.simulator.worlds import SERVICE, scenario, shifted, shipped

WITH = {**SERVICE, "pods": {"stable": 4, "canary": 2, "control": 1}}


def test_a_control_pod_gets_what_a_canary_pod_gets() -> None:
    """Two canary pods at 20 %: 10 % for the one control pod, the rest for stable; history has none of both."""
    world = shifted(scenario(service=WITH), weight=0.2, minutes=30)
    live = [one for one in world.rounds if one.time.shape[0] == 1]
    served = live[-1].total[0] - live[0].total[0]
    tracks = np.array(world.topology.tracks()[: world.width])
    share = {track: served[tracks == track].sum() / served.sum() for track in Track}
    assert share == pytest.approx({Track.CANARY: 0.2, Track.CONTROL: 0.1, Track.STABLE: 0.7}, abs=0.01)
    assert not world.rounds[0].seen[:, tracks != Track.STABLE].any()


def test_control_ends_with_the_canary() -> None:
    """No row of it once the canary is gone, and stable has its requests back."""
    world = shifted(scenario(service=WITH), weight=0.2, minutes=5)
    world.stop_canary(world.rounds[-1].time.max())
    before = len(world.rounds)
    world.advance(Instant(world.start + world.spec.history + 900.0))
    control = world.topology.control.slots
    assert not any(one.seen[:, control].any() for one in world.rounds[before + 2 :])


def test_young_pods_are_those_that_began_with_the_rollout() -> None:
    """Canary and control alike, whatever they run; a fault of the revision leaves control alone."""
    young = {"kind": "error_step", "on": "young", "share": "30%"}
    own = {"kind": "error_step", "on": "canary", "share": "60%"}
    for faults, wanted in (([young], (0.3, 0.3)), ([own], (0.6, 0.005))):
        world = shifted(scenario(service=WITH, faults=faults), weight=0.2, minutes=10)
        live = [one for one in world.rounds if one.time.shape[0] == 1]
        group = world.topology
        share = [
            (live[-1].bad[0, one.slots] - live[0].bad[0, one.slots]).sum()
            / (live[-1].total[0, one.slots] - live[0].total[0, one.slots]).sum()
            for one in (group.canary, group.control)
        ]
        assert share == pytest.approx(wanted, abs=0.03)


def _without_control(one: Scenario) -> Scenario:
    service = one.spec.service
    bare = service.model_copy(update={"pods": service.pods.model_copy(update={"control": 0})})
    return replace(one, spec=one.spec.model_copy(update={"service": bare}), policy=replace(one.policy, labels=Labels()))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_machine_lottery_is_not_the_canary_s_fault_where_control_plays_it_too(seed: int) -> None:
    """S37a promoted, and rolled back without its control pods; S37b rolled back all the same."""
    lottery = shipped("S37a")
    assert run(lottery, seed).verdict is Verdict.PROMOTE
    assert run(_without_control(lottery), seed).verdict is Verdict.ROLLBACK
    assert run(shipped("S37b"), seed).verdict is Verdict.ROLLBACK


def test_the_bound_is_that_of_canary_against_control() -> None:
    """Of an effect that both have there is no information; fewer requests to compare with tell less."""
    with_, without = (bound(one) or 0.0 for one in (shipped("S37b"), _without_control(shipped("S37b"))))
    assert with_ > without > 0.0


def test_policy_and_world_must_agree_on_control(tmp_path: Path) -> None:
    """Control pods that no policy names, and a name without pods, are mistakes with a remedy."""
    text = find("S37a")[0].read_text(encoding="utf-8")
    for old, new, words in (
        ("  labels: {control: control}\n", "", "names no control track"),
        (", control: 3}", "}", "has no control pods"),
    ):
        file = tmp_path / "x.yaml"
        file.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(ScenarioError, match=words):
            load(file)
