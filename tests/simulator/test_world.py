"""The simulated world against its own ground truth: rates, counters, jumps, common random numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.model import Instant, Weight
from simulator.chance import Chance
from simulator.world import World
from tests.simulator.worlds import SERVICE, scenario, shifted

SIGMAS = 4.5
"""Width of an interval that a right world leaves once in 150,000 checks."""


def _sums(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Return times and all counters, shape (rounds, slots) and (rounds, slots, columns)."""
    counters = [np.dstack([one.total, one.bad, np.cumsum(one.buckets, axis=2)]) for one in world.rounds]
    return np.vstack([one.time for one in world.rounds]), np.concatenate(counters)


def test_the_same_seed_gives_the_same_world_bit_for_bit() -> None:
    """A run can be looked at again."""
    first, second = (_sums(shifted(scenario(), seed=5)) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_other_seeds_give_other_worlds() -> None:
    """Seeds that repeat each other would make intervals too narrow."""
    assert not np.array_equal(_sums(shifted(scenario(), seed=1))[1], _sums(shifted(scenario(), seed=2))[1])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), steps=st.lists(st.floats(1, 300), min_size=1, max_size=12))
def test_how_time_is_cut_changes_nothing(seed: int, steps: list[float]) -> None:
    """The guardian decides when to look; users do not notice."""
    cut = World(scenario(), Chance(seed))
    cut.start_canary(cut.opening)
    cut.serve(Weight(0.1), cut.opening)
    for until in np.cumsum(steps):
        cut.advance(Instant(cut.opening + until))
    whole = shifted(scenario(), seed=seed, minutes=sum(steps) / 60)
    assert np.array_equal(_sums(cut)[1], _sums(whole)[1])


def test_what_the_guardian_does_later_does_not_change_what_was() -> None:
    """Common random numbers: two policies on one seed meet the same users until they differ."""
    ten, none = shifted(scenario(), seed=3, weight=0.1), shifted(scenario(), seed=3, weight=0.0)
    history = round(scenario().spec.history / ten.every)
    assert np.array_equal(_sums(ten)[1][:history], _sums(none)[1][:history])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), at=st.floats(10, 500))
def test_counters_fall_only_where_a_process_restarted(seed: int, at: float) -> None:
    """A counter that falls otherwise would be a bug of the world, and would be taken for a reset."""
    fault = {"kind": "counter_reset", "at": f"{at:.3f}s", "on": "canary", "pods": 1}
    world = shifted(scenario(faults=[fault]), seed=seed)
    time, counters = _sums(world)
    steps = np.diff(counters, axis=0)
    fallen = np.argwhere((steps < 0).any(axis=2))
    first_canary = world.topology.canary.slots.start
    assert world.shift is not None
    reset = world.shift + round(at, 3)
    assert all(slot == first_canary and time[row, slot] < reset <= time[row + 1, slot] for row, slot in fallen)


def test_a_restart_sets_counters_to_zero_once() -> None:
    """48,000 -> little, then on."""
    fault = {"kind": "counter_reset", "at": "8m", "on": "stable", "pods": 2}
    _, counters = _sums(shifted(scenario(faults=[fault])))
    falls = (np.diff(counters[:, :, 0], axis=0) < 0).sum(axis=0)
    assert falls.tolist() == [1, 1, 0, 0, 0, 0]


def test_the_service_fails_and_serves_as_often_as_the_scenario_says() -> None:
    """Ground truth of rates: requests, split and failures within their sampling error."""
    world = shifted(scenario(faults=[{"kind": "error_step", "share": "5%"}]), weight=0.1, minutes=60)
    harm = world.harm
    requests = 200 * 3600
    assert abs(harm.total - requests) < SIGMAS * math.sqrt(requests) + 200 * 10  # the last round's edge
    share = harm.fresh_total / harm.total
    assert abs(share - 0.1) < SIGMAS * math.sqrt(0.1 * 0.9 / harm.total) + 0.0005
    failing = harm.fresh_bad / harm.fresh_total
    assert abs(failing - 0.05) < SIGMAS * math.sqrt(0.05 * 0.95 / harm.fresh_total)


def test_nothing_is_smeared_over_a_jump() -> None:
    """Failures of a canary that breaks at 125 s belong to samples after 125 s, to the request."""
    calm = {**SERVICE, "errors": {"share": 0}}
    world = shifted(scenario(service=calm, faults=[{"kind": "error_step", "at": "125s", "share": "100%"}]))
    time, counters = _sums(world)
    assert world.shift is not None
    slots = world.topology.canary.slots
    before = time[:, slots] < world.shift + 125
    assert counters[:, slots, 1][before].sum() == 0
    row = int(np.argmin(before[:, 0]))
    new, bad = (np.diff(counters[row - 1 : row + 1, slots.start, column])[0] for column in (0, 1))
    part = (time[row, slots.start] - world.shift - 125) / 10
    assert abs(bad - part * new) < SIGMAS * math.sqrt(new) + 1


def test_a_missed_scrape_loses_samples_and_no_request() -> None:
    """The service lives on while nobody reads it: the next sample holds what came in between."""
    healthy, gap = shifted(scenario()), shifted(scenario(faults=[{"kind": "metrics_gap", "at": "4m", "lasts": "4m"}]))
    assert np.array_equal(_sums(healthy)[1], _sums(gap)[1])
    lost = sum((~one.seen[:, :6]).sum() for one in gap.rounds if one.time.shape[0] == 1)
    expected = sum((~one.seen[:, :6]).sum() for one in healthy.rounds if one.time.shape[0] == 1) + 24 * 6
    assert abs(lost - expected) <= 6


def test_no_traffic_means_none_although_the_weight_is_set() -> None:
    """Weight set is not weight served."""
    world = shifted(scenario(faults=[{"kind": "no_traffic"}]))
    assert world.harm.fresh_total == 0
    assert world.harm.total > 100_000


def test_a_shared_incident_hurts_both_sides_alike() -> None:
    """Ratio 1: the comparison has nothing to see."""
    world = shifted(scenario(faults=[{"kind": "shared_incident", "share": "11.5%"}]), weight=0.5, minutes=30)
    harm = world.harm
    canary = harm.fresh_bad / harm.fresh_total
    stable = (harm.bad - harm.fresh_bad) / (harm.total - harm.fresh_total)
    assert canary == pytest.approx(0.12, abs=0.003)
    assert stable == pytest.approx(canary, rel=0.05)


def test_a_bad_revision_stays_bad_after_the_hand_over() -> None:
    """A fault on the canary is a fault of its revision: promoted, it reaches everybody."""
    world = shifted(scenario(faults=[{"kind": "error_step", "share": "10%"}]), minutes=5)
    world.hand_over(Instant(world.opening + 300))
    world.serve(Weight(0.0), Instant(world.opening + 300))
    before = world.harm.bad
    world.advance(Instant(world.opening + 600))
    assert world.harm.bad - before == pytest.approx(0.1 * 200 * 300, rel=0.1)


def test_every_pod_is_scraped_at_a_time_of_its_own() -> None:
    """As real scrapers do: a comparison that needs equal times would be wrong in production."""
    world = shifted(scenario())
    time = world.rounds[-1].time[0, :6]
    assert len(set(time.tolist())) == 6
    assert float(np.ptp(time)) < world.every
    assert all(float(one.time.max()) <= world.opening + 600 for one in world.rounds)
