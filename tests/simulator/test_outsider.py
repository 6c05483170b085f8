"""Rollouts that somebody else carries out, a flag for example, and canaries whose pods are not ready."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from guardian.core import records as r
from guardian.core.model import Instant, Track, Verdict
from guardian.errors import ScenarioError
from simulator.bound import bound
from simulator.chance import Chance
from simulator.gates import Naive
from simulator.gates.walk import run_gate
from simulator.grains import world_of
from simulator.library import find, judged_by, load
from simulator.outcome import compare
from simulator.request.language import Grain
from simulator.run import Simulation, run
from simulator.world import World
from tests.simulator.worlds import SERVICE, policy, scenario, shifted, shipped

CRASH = {"kind": "crash_loop", "at": "5m", "lasts": "10m", "period": "100s", "down": "20s"}


def test_who_moves_the_traffic_takes_the_flag_back_when_told() -> None:
    """Its users are on it from the start; the guardian orders no effect of its own."""
    simulation = Simulation(shipped("S27"), 1)
    played = simulation.play()
    world = simulation.world
    assert world.shift == world.opening + 2.0
    assert played.verdict is Verdict.ROLLBACK
    assert simulation.driver.performed == []
    since = Instant(world.opening + 2.0 + played.decided_at)
    assert [float(weight) for _, weight in world.weights] == [0.0, 0.05, 0.0]
    assert world.weights[-1][0] == pytest.approx(since + 2.2)
    assert not any(isinstance(record, r.RollbackOrdered) for record in simulation.driver.journal)


def test_another_policy_does_not_make_the_guardian_move_a_flag() -> None:
    """As `guardian bench` and `tune` judge it."""
    judged = judged_by(shipped("S27"), policy(), file="policy.yaml")
    assert judged.policy.router is None
    assert run(judged, 1).verdict is Verdict.ROLLBACK


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("driver: other, change", "change", r"sets weights by its policy's steps; write `driver: other`"),
        ("  labels: {track", "  router: {memory: {}}\n  labels: {track", r"somebody else moves the traffic .*router"),
    ],
)
def test_only_one_moves_the_traffic(old: str, new: str, words: str, tmp_path: Path) -> None:
    """Two would take it from each other."""
    file = tmp_path / "x.yaml"
    file.write_text(find("S27")[0].read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ScenarioError, match=words):
        load(file)


def _seen(world: World, since: float, until: float) -> np.ndarray:
    """Return the canary's rows that were scraped between two times after the shift: (rounds, pods) flags."""
    slots, zero = world.topology.canary.slots, world.zero
    return np.vstack([one.seen[:, slots] for one in world.rounds if since < one.time.max() - zero <= until])


def test_crashing_pods_serve_nobody_and_have_no_errors() -> None:
    """Users fail, the router goes on sending them, the pods count neither requests nor failures; gone for a while."""
    world = shifted(scenario(faults=[CRASH]), weight=0.2, minutes=13)
    slots = world.topology.canary.slots
    assert [world.ready_pods(track, Instant(world.opening + 400.0)) for track in Track] == [4, 0, 0]
    assert world.ready_pods(Track.CANARY, Instant(world.opening + 200.0)) == 2
    rows = [one for one in world.rounds if one.time.max() - world.zero > 310]
    assert all((one.total[:, slots] == 0).all() and (one.bad[:, slots] == 0).all() for one in rows)
    assert not _seen(world, 401, 419).any()
    assert _seen(world, 330, 399).all()
    assert world.observed_share(world.opening + 320.0).share == pytest.approx(0.2, abs=0.01)
    lost = 0.2 * 200 * 480.0
    assert world.harm.fresh_bad == pytest.approx(lost + 0.005 * 0.2 * 200 * 300, rel=0.05)


def test_pods_that_are_ready_take_over_for_those_that_are_not() -> None:
    """As routers do; only a track without any leaves its users alone."""
    zones = [{"name": "a", "stable": 2, "canary": 1}, {"name": "b", "stable": 2, "canary": 1}]
    world = shifted(scenario(service={**SERVICE, "zones": zones}, faults=[{**CRASH, "zone": "a"}]), weight=0.2)
    slots = world.topology.canary.slots
    before, after = (
        next(one.total[0, slots] for one in world.rounds if one.time.max() - world.zero > at) for at in (440.0, 540.0)
    )
    first, second = (after - before).tolist()
    assert (first, second) == (0, pytest.approx(0.2 * 200 * 100, rel=0.05))
    assert world.harm.fresh_bad < 0.01 * world.harm.fresh_total


def test_it_is_the_same_request_by_request() -> None:
    """No answer, nothing counted, and the others of the track take over."""
    one = scenario(grain=Grain.REQUEST, traffic={"kind": "steady", "rate": 20}, faults=[{**CRASH, "at": "1m"}])
    world = world_of(one, Chance(1))
    world.start_canary(world.opening)
    world.serve(0.2, world.opening)  # type: ignore[arg-type]
    world.advance(Instant(world.opening + 400.0))
    assert world.harm.bad == pytest.approx(0.2 * 20 * 340, rel=0.1)
    assert world.harm.fresh_bad < 10
    last = world.rounds[-1]
    assert last.total[0, world.topology.canary.slots].sum() == 0


def test_a_gate_of_error_rates_promotes_what_nobody_can_reach() -> None:
    """S14a: 0 errors. The guardian asks who is ready."""
    one = shipped("S14a")
    assert compare(one, run_gate(one, 1, Naive)).wrong
    told = run(one, 1)
    assert compare(one, told).ok
    (back,) = (seen for seen in told.seen if seen.event == "rolled-back")
    assert "no pod of the canary has been ready for 1m" in back.reason


def test_pods_that_are_not_ready_have_no_bound() -> None:
    """An infinite one would excuse every delay."""
    assert [bound(shipped(name)) for name in ("S14a", "S14b")] == [None, None]


def test_where_nobody_is_ready_nothing_goes_back() -> None:
    """S14b is held, paged and promoted once they are there again."""
    one = shipped("S14b")
    assert compare(one, run(one, 1)).ok
