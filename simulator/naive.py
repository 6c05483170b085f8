"""A gate of fixed thresholds, as common tools have it, on the telemetry that the guardian reads too.

Every 60 s it asks for the canary's error share and p95 over the last 5 min; more than 3 failed checks roll
back. No requests pass. Four query errors in a row, 10 s apart, roll back. A step passes when its time is
over; the last comparable step passing is its promotion. An alert that says critical rolls back, each time it
is posted. An event of the same revision begins its plan anew, one of another takes the canary away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from guardian.core.looks import Ints
from guardian.core.model import Instant, Seconds, Verdict, Weight
from simulator.chance import Purpose
from simulator.grains import worlds_of
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
    worlds = worlds_of(scenario, seed)
    gates = [_Gate(one, worlds[one.place.service], looks=looks) for one in (scenario, *scenario.beside)]
    own = gates[0]
    end = own.shift + scenario.horizon
    found: list[tuple[_Gate, float, Happening, str]] = []
    turns = ((gate.shift + ERROR_RETRY * turn, number) for number, gate in enumerate(gates) for turn in gate.turns(end))
    for at, number in sorted(turns):
        gate = gates[number]
        if not gate.over:
            found += [(gate, since, happening, why) for since, happening, why in gate.turn(at - gate.shift)]
    own.world.advance(Instant(end))
    seen = tuple(
        Seen(
            at=Seconds(since + gate.shift - own.shift),
            happening=happening,
            event=happening.value,
            reason=why,
            of=() if gate is own else (gate.scenario.place.service, gate.scenario.spec.deploy.revision),
        )
        for gate, since, happening, why in found
    )
    verdict = next((one for one in seen if not one.of), None)
    known = {Happening.ROLLBACK: Verdict.ROLLBACK, Happening.PROMOTE: Verdict.PROMOTE}
    return Run(
        scenario=scenario.name,
        seed=seed,
        verdict=known.get(verdict.happening, Verdict.HOLD) if verdict and verdict.happening else Verdict.HOLD,
        decided_at=verdict.at if verdict is not None else scenario.horizon,
        seen=seen,
        harm=own.world.harm,
        values=scenario.values,
    )


class _Gate:
    """The gate of one service, in turns of ERROR_RETRY. shift: when its canary got its first user, unix seconds."""

    def __init__(self, scenario: Scenario, world: World, *, looks: bool) -> None:
        self.scenario, self.world, self.looks = scenario, world, looks
        self.over = False
        first, self._events = _told(scenario, world)
        lag = scenario.spec.platform
        begins = first + lag.answers + lag.ready
        self.shift = Instant(begins + lag.weight_lag)
        world.start_canary(Instant(begins))
        self._steps = [step for step in scenario.policy.strategy.steps() if step.weight < 1]
        world.serve(self._steps[0].weight, self.shift)
        self._alerts = _alerts(scenario, world, self.shift) if looks else []
        self._begin(0.0)

    def turns(self, end: float) -> range:
        """Return the numbers of its turns up to a time."""
        return range(1, math.ceil((end - self.shift) / ERROR_RETRY) + 1)

    def _begin(self, t: float) -> None:
        """Begin the plan, and count failed checks from none on."""
        self._failures = self._errors = 0
        self._check = t + CHECK
        self._ends = t + np.cumsum([step.bake for step in self._steps])

    def turn(self, t: float) -> Iterator[tuple[float, Happening, str]]:
        """t: seconds since its shift. Yield what it does: (when, what, why); `over` once it has decided."""
        world, now = self.world, Instant(self.shift + t)
        world.advance(now)
        for _, revision in [one for one in self._events if one[0] <= now]:
            self._events.pop(0)
            if revision != self.scenario.spec.deploy.revision:
                yield self._end(t, Weight(0.0), Happening.SUPERSEDED, f"deploy event of {revision}")
                return
            self._begin(t)
        if any(at <= t for at in self._alerts):
            self._end(t, Weight(0.0), Happening.ROLLBACK, "alert")
            yield from ((at, Happening.ROLLBACK, "alert") for at in self._alerts)
            return
        if self.looks and (t >= self._check or self._errors):
            passed = _check(world)
            self._errors = self._errors + 1 if passed is None else 0
            self._failures += passed is False
            self._check = t + CHECK
            if self._failures > FAILURE_LIMIT or self._errors > QUERY_ERROR_LIMIT:
                yield self._end(t, Weight(0.0), Happening.ROLLBACK, "no data" if self._errors else "threshold")
                return
        if t >= self._ends[-1]:
            yield self._end(t, Weight(1.0), Happening.PROMOTE, "time over")
            return
        weight = self._steps[int(np.searchsorted(self._ends, t, side="right"))].weight
        if world.weight(now) != weight:
            world.serve(weight, now)

    def _end(self, t: float, weight: Weight, happening: Happening, why: str) -> tuple[float, Happening, str]:
        self.over = True
        self.world.serve(weight, Instant(self.shift + t))
        return t, happening, why


def _told(scenario: Scenario, world: World) -> tuple[float, list[tuple[float, str]]]:
    """Return when the release is first heard of, and what comes after that: (unix seconds, revision)."""
    told = sorted(
        (at, number, event.revision or scenario.spec.deploy.revision)
        for number, event in enumerate(scenario.spec.deploys)
        for at in event.times(world.opening, world.chance.at(Purpose.EVENTS, number))
    )
    first = next(at for at, _, revision in told if revision == scenario.spec.deploy.revision)
    return first, [(at, revision) for at, _, revision in told if at > first]


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
