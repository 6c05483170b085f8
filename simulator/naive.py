"""A gate of fixed thresholds, as common tools have it, on the telemetry that the guardian reads too.

Every 60 s it asks for the canary's error share and p95 over the last 5 min; more than 3 failed checks roll
back. No requests pass. Four query errors in a row, 10 s apart, roll back. A step passes when its time is
over; the last comparable step passing is its promotion. An alert that says critical rolls back, each time it
is posted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from guardian.core.looks import Ints
from guardian.core.model import Instant, Seconds, Verdict, Weight
from simulator.chance import Chance, Purpose
from simulator.grains import world_of
from simulator.messages import AlertStorm
from simulator.outcome import Run, Seen
from simulator.scenario import Scenario
from simulator.traffic import Floats
from simulator.truth import Happening
from simulator.world import World

CHECK: Final = 60.0
WINDOW: Final = 300.0
MOST_ERRORS: Final = 0.01
SLOWEST_P95: Final = 0.5
FAILURE_LIMIT: Final = 3
QUERY_ERROR_LIMIT: Final = 4
ERROR_RETRY: Final = 10.0


def run_by_clock(scenario: Scenario, seed: int) -> Run:
    """Return what comes of a scenario when nobody looks: each step passes when its time is over."""
    return _run(scenario, seed, looks=False)


def run_naive(scenario: Scenario, seed: int) -> Run:
    """Return what the gate makes of a scenario; the world is that of the guardian's run of the same seed."""
    return _run(scenario, seed, looks=True)


def _run(scenario: Scenario, seed: int, *, looks: bool) -> Run:
    scenario = scenario.drawn(seed)
    world = world_of(scenario, Chance(seed))
    lag = scenario.spec.platform
    first = world.opening + lag.answers + lag.ready
    world.start_canary(Instant(first))
    plan = [step for step in scenario.policy.strategy.steps() if step.weight < 1]
    world.serve(plan[0].weight, Instant(first + lag.weight_lag))
    shift = Instant(first + lag.weight_lag)
    seen = tuple(_decide(scenario, world, shift, looks=looks))
    world.advance(Instant(shift + scenario.horizon))
    verdict = Verdict(seen[0].happening.value) if seen and seen[0].happening else Verdict.HOLD
    return Run(
        scenario=scenario.name,
        seed=seed,
        verdict=verdict,
        decided_at=seen[0].at if seen else scenario.horizon,
        seen=seen,
        harm=world.harm,
        values=scenario.values,
    )


def _decide(scenario: Scenario, world: World, shift: Instant, *, looks: bool) -> Iterator[Seen]:
    """Walk through the plan and the checks; yield the rollback or the promotion, and what follows."""
    alerts = _alerts(scenario, world, shift) if looks else []
    failures = errors = 0
    t, check = 0.0, CHECK
    ends = np.cumsum([step.bake for step in scenario.policy.strategy.steps() if step.weight < 1])
    while t < scenario.horizon:
        t += ERROR_RETRY
        world.advance(Instant(shift + t))
        due = [at for at in alerts if at <= t]
        if due:
            world.serve(Weight(0.0), Instant(shift + t))
            yield from (_seen(at, Happening.ROLLBACK, "alert") for at in alerts)
            return
        if looks and (t >= check or errors):
            passed = _check(world)
            errors = errors + 1 if passed is None else 0
            failures += passed is False
            check = t + CHECK
            if failures > FAILURE_LIMIT or errors > QUERY_ERROR_LIMIT:
                world.serve(Weight(0.0), Instant(shift + t))
                yield _seen(t, Happening.ROLLBACK, "no data" if errors else "threshold")
                return
        if t >= ends[-1]:
            world.serve(Weight(1.0), Instant(shift + t))
            yield _seen(t, Happening.PROMOTE, "time over")
            return
        step = int(np.searchsorted(ends, t, side="right"))
        weight = scenario.policy.strategy.steps()[step].weight
        if world.weight(shift + t) != weight:
            world.serve(weight, Instant(shift + t))


def _seen(at: float, happening: Happening, reason: str) -> Seen:
    return Seen(at=Seconds(at), happening=happening, event=happening.value, reason=reason)


def _alerts(scenario: Scenario, world: World, shift: Instant) -> list[float]:
    """Return when firing alerts are posted, in seconds after the shift."""
    return [
        at - shift
        for fault in scenario.spec.faults
        if isinstance(fault, AlertStorm)
        for at, alert in fault.arrivals(shift, scenario.place, world.chance.at(Purpose.EVENTS))
        if alert.firing
    ]


def _check(world: World) -> bool | None:
    """Return whether the canary is within the thresholds; None when the query finds no sample."""
    slots = world.topology.canary.slots
    near = [one for one in world.rounds[-int(WINDOW / world.every) - 1 :] if one.time.shape[0] == 1]
    seen = np.vstack([one.seen[:, slots] for one in near]) if near else np.zeros((0, 1), np.bool_)
    if not seen.any() or not seen[-max(1, int(ERROR_RETRY / world.every)) :].any():
        return None
    counts = np.stack([np.column_stack([one.total[0], one.bad[0], one.buckets[0]])[slots] for one in near])
    total, bad, *buckets = _increase(counts, seen).tolist()
    if total == 0:
        return True
    slowest = _quantile(np.array(buckets, dtype=np.float64), world.spec.service.latency.bounds, 0.95)
    return bool(bad / total <= MOST_ERRORS and slowest <= SLOWEST_P95)


def _increase(counts: Ints, seen: np.ndarray) -> Ints:
    """Return increases summed over pods, resets counted from 0; counts: (rounds, pods, columns)."""
    total = np.zeros(counts.shape[2], dtype=np.int64)
    for pod in range(counts.shape[1]):
        rows = counts[seen[:, pod], pod]
        steps = np.diff(rows, axis=0)
        fell = (steps[:, :1] < 0) if len(steps) else np.zeros((0, 1), np.bool_)
        total += np.where(fell, rows[1:], steps).sum(axis=0)
    return total


def _quantile(buckets: Floats, bounds: tuple[float, ...], share: float) -> float:
    """Return a quantile as histogram_quantile does: linear within a bucket, the last bound beyond it."""
    summed = np.cumsum(buckets)
    rank = share * summed[-1]
    bucket = int(np.searchsorted(summed, rank))
    if bucket >= len(bounds):
        return bounds[-1]
    low, before = (bounds[bucket - 1], summed[bucket - 1]) if bucket else (0.0, 0.0)
    return float(low + (bounds[bucket] - low) * (rank - before) / max(buckets[bucket], 1.0))
