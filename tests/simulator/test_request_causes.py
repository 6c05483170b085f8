"""Causes in the request grain lead to what they lead to in production: queues, timeouts, retries, pauses, restarts."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from guardian.core.model import Instant, Weight
from simulator.chance import Chance
from simulator.request.language import Grain
from simulator.request.world import RequestWorld
from simulator.units import EVENTS
from tests.simulator.worlds import SERVICE, scenario

CALM = {"body": [{"share": "100%", "median": "80ms", "sigma": 0.5}], "tail": {"median": "1s", "sigma": 0, "share": 0}}


def _service(stable: int, canary: int = 1, *, errors: str = "0%") -> dict[str, Any]:
    return {**SERVICE, "pods": {"stable": stable, "canary": canary}, "errors": {"share": errors}, "latency": CALM}


def _world(request: dict[str, Any], *, seed: int = 1, rate: float = 20, **changed: Any) -> RequestWorld:
    """Return a world with one minute of history, of equal pods that never fail by themselves."""
    spec = {
        "service": _service(2),
        "traffic": {"kind": "steady", "rate": rate},
        "history": "1m",
        "grain": "request",
        "request": request,
        **changed,
    }
    return RequestWorld(scenario(**spec).played(Grain.REQUEST), Chance(seed))


def _go(world: RequestWorld, minutes: float, *, weight: float = 0.5) -> RequestWorld:
    """Have the canary take its weight at once, and play so long."""
    world.start_canary(world.opening)
    world.serve(Weight(weight), world.opening)
    world.advance(Instant(world.opening + 60 * minutes))
    return world


def _slower_than(world: RequestWorld, seconds: float, slots: slice) -> float:
    """Return the share of counted requests in buckets above a bound."""
    first = world.spec.service.latency.bounds.index(seconds) + 1
    since = sum(one.time.shape[0] for one in world.rounds if one.time[-1, 0] <= world.opening)
    buckets = (world.rounds[-1].buckets - world.rounds[since - 1].buckets)[0, slots]
    return float(buckets[:, first:].sum() / buckets.sum())


def test_a_request_that_meets_nothing_has_four_events() -> None:
    """What the benchmark's reference is given, and what a run is refused for when it has too many."""
    world = _world({}, rate=200, history="0s")
    world.advance(Instant(world.opening + 60))
    events = next(world.environment._eid)
    assert events / sum(pod.routed for pod in world.pods) == pytest.approx(EVENTS, rel=0.02)


def test_a_queue_is_as_long_as_theory_says() -> None:
    """One worker, independent arrivals: Pollaczek and Khinchine's mean queue, within five standard errors."""
    rate, mean, square = 8.0, 0.08 * np.exp(0.5**2 / 2), 0.08**2 * np.exp(2 * 0.5**2)
    world = _world({"workers": 1}, rate=rate, service=_service(1), history="0s")
    lengths = []
    for second in range(1, 8001):
        world.advance(Instant(world.opening + second))
        lengths.append(len(world.pods[0].waiting))
    batches = np.array(lengths).reshape(40, -1).mean(axis=1)
    queue = rate**2 * square / (2 * (1 - rate * mean))
    assert abs(batches.mean() - queue) < 5 * batches.std(ddof=1) / np.sqrt(40)


def test_more_work_a_request_makes_a_queue_and_the_queue_makes_users_wait() -> None:
    """Three times the work is more than three times the wait: the canary's workers are not enough any more."""
    fault = {"kind": "latency_shift", "on": "canary", "factor": 3}
    roomy = _go(_world({}, faults=[fault]), 5)
    tight = _go(_world({"workers": 2}, faults=[fault]), 5)
    canary, stable = roomy.topology.canary.slots, roomy.topology.stable.slots
    assert _slower_than(roomy, 1.0, canary) < 0.05
    assert len(tight.pods[canary.start].waiting) > 100
    assert _slower_than(tight, 1.0, canary) > 0.8
    assert _slower_than(tight, 1.0, stable) < 0.01


def test_nobody_is_refused_where_pods_are_up() -> None:
    """Bursts out of nothing, a canary that comes and goes: whoever asks meets a pod, and it answers."""
    world = _world({}, rate=50, traffic={"kind": "on_off", "rate": 50, "on": "7s", "off": "12s", "quiet": 0})
    for start in range(0, 300, 60):
        world.start_canary(Instant(world.opening + start))
        world.serve(Weight(0.5), Instant(world.opening + start))
        world.advance(Instant(world.opening + start + 30))
        world.serve(Weight(0.0), Instant(world.opening + start + 30))
        world.advance(Instant(world.opening + start + 40))
        world.stop_canary(Instant(world.opening + start + 40))
        world.advance(Instant(world.opening + start + 60))
    assert world.harm.total > 2000
    assert world.harm.bad == 0


def test_a_full_queue_refuses_and_pods_count_it() -> None:
    """Overload becomes errors where a queue has an end, and users who are refused do not wait."""
    fault = {"kind": "latency_shift", "on": "canary", "factor": 3}
    world = _go(_world({"workers": 2, "queue": 4}, faults=[fault]), 5)
    canary = world.pods[world.topology.canary.slots.start]
    assert canary.counts[1] > 0.1 * canary.counts[0]
    assert _slower_than(world, 2.5, world.topology.canary.slots) < 0.01
    assert world.harm.fresh_bad == pytest.approx(canary.counts[1], abs=2)


def test_who_gives_up_is_hurt_and_the_pod_works_on() -> None:
    """A timeout is the user's: the pod counts a good request, later."""
    world = _go(_world({"clients": {"timeout": "200ms"}}), 10)
    late = sum(_slower_than(world, 0.25, slots) for slots in (slice(0, 3),))
    assert world.harm.bad / world.harm.total == pytest.approx(0.0334, abs=0.006)  # 1 - Phi(ln(200 / 80) / 0.5)
    assert late == pytest.approx(0.0114, abs=0.004)
    assert sum(pod.counts[1] for pod in world.pods) == 0


def test_retries_hide_errors_from_users_and_are_more_requests() -> None:
    """Of ten attempts one fails; of ten thousand users, who ask up to four times, one. Pods see a ninth more."""
    world = _go(_world({"clients": {"retries": 3, "backoff": "50ms"}}, service=_service(2, errors="10%"), rate=60), 10)
    assert world.harm.bad / world.harm.total < 0.001
    total, bad = (sum(pod.counts[column] for pod in world.pods) for column in (0, 1))
    assert bad / total == pytest.approx(0.1, abs=0.006)
    assert sum(pod.routed for pod in world.pods) / (60 * 660) == pytest.approx(1.111, rel=0.03)


def test_a_cold_cache_is_slow_until_it_is_warm() -> None:
    """A canary with an empty cache asks the database; ten minutes later it hardly does, as stable."""
    request = {
        "calls": [{"to": "database", "cache": {"keys": 100, "skew": 0.5}}],
        "dependencies": [{"name": "database", "median": "300ms", "sigma": 0.1}],
    }
    world = _go(_world(request, history="10m"), 1)
    canary, stable = world.topology.canary.slots, world.topology.stable.slots
    cold = _slower_than(world, 0.25, canary)
    assert cold > 5 * _slower_than(world, 0.25, stable)
    earlier = world.rounds[-1].buckets[0, canary]
    world.advance(Instant(world.opening + 600))
    since = world.rounds[-1].buckets[0, canary] - earlier
    assert since[:, 6:].sum() / since.sum() < 0.1 * cold
    assert len(world.pods[canary.start].lines[0].known) == 100


@pytest.mark.parametrize(("on", "stable", "canary"), [("both", 0.2, 0.2), ("canary", 0.0, 0.2)])
def test_an_outage_is_of_whom_it_is_on(on: str, stable: float, canary: float) -> None:
    """A database that is down for all, or one that only the new revision asks in a wrong way."""
    request = {"calls": [{"to": "database"}], "dependencies": [{"name": "database", "median": "5ms"}]}
    fault = {"kind": "outage", "of": "database", "on": on, "at": "1m", "lasts": "5m", "share": "20%"}
    world = _go(_world(request, faults=[fault], rate=60), 10)
    sides = world.topology.stable.slots, world.topology.canary.slots
    rounds = [one for one in world.rounds if one.time.shape[0] == 1]
    times = np.array([one.time[0].max() - world.opening for one in rounds])
    begin, end = rounds[int(np.searchsorted(times, 70))], rounds[int(np.searchsorted(times, 350))]
    for slots, share in zip(sides, (stable, canary), strict=True):
        total, bad = ((getattr(end, name) - getattr(begin, name))[0, slots].sum() for name in ("total", "bad"))
        assert bad / total == pytest.approx(share, abs=0.02)
    assert rounds[-1].bad[0].sum() == rounds[int(np.searchsorted(times, 380))].bad[0].sum()


def test_a_dependency_without_enough_workers_slows_all_that_call_it() -> None:
    """Calls that give up go on working there: retries make an overloaded dependency slower still."""
    request = {
        "calls": [{"to": "stock", "timeout": "500ms", "retries": 2, "backoff": "10ms"}],
        "dependencies": [{"name": "stock", "median": "50ms", "sigma": 0.2, "workers": 2}],
    }
    calm, stormy = (_go(_world(request, faults=faults), 3) for faults in ([], [_slow_stock()]))
    assert calm.harm.bad == 0
    assert stormy.harm.bad > 0.5 * stormy.harm.total
    assert len(stormy.mesh.servers["stock"].waiting) > stormy.harm.total  # about three calls a request


def _slow_stock() -> dict[str, Any]:
    return {"kind": "outage", "of": "stock", "slow": 4}


def test_a_full_heap_stops_the_pod_and_a_leak_kills_it() -> None:
    """Pauses get longer and closer; then the process dies, its counters begin anew, and it comes back."""
    request = {"memory": {"live": "50%", "garbage": "1%", "pause": "1s", "restart": "30s"}}
    leak = {"kind": "memory_leak", "on": "canary", "share": "0.05%"}
    world = _go(_world(request, faults=[leak], rate=20), 4)
    slot = world.topology.canary.slots.start
    canary, stable = world.pods[slot], world.pods[0]
    rounds = [one for one in world.rounds if one.time.shape[0] == 1]
    totals = np.array([one.total[0, slot] for one in rounds])
    up = np.array([one.seen[0, slot] for one in rounds])
    assert (np.diff(totals) < 0).sum() == 1
    assert (~up[6:]).sum() == 3
    assert canary.up
    assert stable.life == 1
    assert canary.paused > 3 * stable.paused > 0
    assert world.harm.bad > 250  # nobody of that track was there for half a minute


def test_a_pod_that_died_leaves_its_share_to_the_others() -> None:
    """The router sends to those that are up."""
    request = {"memory": {"live": "50%", "garbage": "1%", "pause": "0s", "restart": "1h"}}
    world = _world(request, rate=40)
    world.pods[0]._crash(world.section.memory)  # type: ignore[arg-type]
    before = world.pods[0].routed, world.pods[1].routed
    world.advance(Instant(world.opening + 60))
    assert world.pods[0].routed == before[0]
    assert world.pods[1].routed - before[1] > 0.9 * 40 * 60


def test_the_autoscaler_follows_the_weight_up_and_down() -> None:
    """Pods come as workers get busy, with nothing cached, and go some minutes after they are not needed."""
    request = {
        "workers": 4,
        "autoscaler": {"least": 1, "busy": "25%", "every": "10s", "ready": "20s", "settle": "2m"},
        "calls": [{"to": "catalogue", "cache": {"keys": 50}}],
        "dependencies": [{"name": "catalogue", "median": "20ms"}],
    }
    world = _go(_world(request, rate=60, service=_service(6, 6), history="5m"), 5, weight=0.1)
    slots = world.topology.canary.slots
    few = sum(pod.up for pod in world.pods[slots])
    world.serve(Weight(0.8), Instant(world.opening + 300))
    world.advance(Instant(world.opening + 480))
    many = [pod for pod in world.pods[slots] if pod.up]
    world.serve(Weight(0.1), Instant(world.opening + 480))
    world.advance(Instant(world.opening + 720))
    assert few <= 2
    assert len(many) >= 4
    assert many[-1].lines[0].known
    assert sum(pod.up for pod in world.pods[slots]) <= 2


@pytest.mark.parametrize("steps", [[300.0], [0.5, 17.3, 100.0, 182.2], [30.0] * 10])
def test_how_time_is_cut_changes_nothing(steps: list[float]) -> None:
    """The guardian decides when to look; users do not notice."""
    request = {"workers": 3, "clients": {"timeout": "1s", "retries": 1}}
    whole, cut = (_world(request, rate=30) for _ in range(2))
    _go(whole, 5)
    cut.start_canary(cut.opening)
    cut.serve(Weight(0.5), cut.opening)
    for until in np.cumsum(steps):
        cut.advance(Instant(cut.opening + float(until)))
    assert cut.harm == whole.harm
    assert np.array_equal(cut.rounds[-1].buckets, whole.rounds[-1].buckets)
    assert whole.harm != _go(_world(request, rate=30, seed=2), 5).harm


def test_memory_does_not_grow_with_requests() -> None:
    """A finished request leaves nothing but counts: what grows are the scrapes."""
    world = _world({"workers": 50, "clients": {"timeout": "1s", "retries": 1}}, rate=60)
    tracemalloc.start()
    try:
        world.advance(Instant(world.opening + 60))
        before, scrapes = tracemalloc.get_traced_memory()[0], len(world.rounds)
        world.advance(Instant(world.opening + 240))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 24_000 + 4000 * (len(world.rounds) - scrapes)
