"""What happened in one run, as series over time: what scrapes saw, weights, evidence at every look, and decisions.

It watches a run and draws nothing. Gaps in the metrics stay gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.quantiles import bucket_quantile
from guardian.core import records as r
from guardian.core.course import Course, Readings, marks, thresholds
from guardian.core.looks import Ints
from guardian.core.model import RolloutId, Track
from guardian.core.rollout import Rollout
from simulator.counted import Rounds
from simulator.outcome import Outcome, compare
from simulator.run import Process, Simulation
from simulator.scenario import Scenario
from simulator.traffic import Floats
from simulator.world import World

WINDOW: Final = 60.0
"""Seconds over which shares of failures and quantiles are taken: a scrape of a small canary holds too few requests."""
QUANTILE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One track as scrapes saw it; each (n,), NaN where nothing was seen. slow: seconds, the 95th percentile."""

    rate: Floats
    errors: Floats
    slow: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One run. time: (n,) seconds after the traffic shift. weights: (seconds, canary's share from then on)."""

    scenario: Scenario
    outcome: Outcome
    time: Floats
    tracks: Mapping[Track, Seen]
    weights: tuple[tuple[float, float], ...]
    course: Course


class Tracing:
    """A run, and what is seen of it at any moment; watching changes nothing."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.simulation, self._readings = Simulation(scenario, seed), Readings()
        self.simulation.driver.looked = self._looked

    def every(self, step: float, then: Callable[[], None]) -> None:
        """Have something done every `step` seconds of the run's own time, from its beginning on; it may only look."""

        def beats() -> Process:
            while True:
                yield self.simulation.environment.timeout(step)
                then()

        self.simulation.environment.process(beats())

    @property
    def now(self) -> float:
        """Return seconds since the traffic shift, before it since the deploy event."""
        return float(self.simulation.environment.now - self.simulation.world.zero)

    @property
    def rollout(self) -> Rollout | None:
        """Return the newest rollout of the scenario's own place."""
        known = self.simulation.engine.world.rollouts.values()
        return next((one for one in reversed(list(known)) if one.place == self.scenario.place), None)

    def course(self) -> Course:
        """Return the evidence until now, and what happened since the traffic shift."""
        rollback, promotion = thresholds(self.scenario.policy)
        mine, journal = self._mine(), self.simulation.driver.journal
        own = (record for record in journal if isinstance(record, r.OfRollout) and record.rollout in mine)
        return Course(
            rollout=f"{self.scenario.name}, seed {self.simulation.seed}",
            zero="the traffic shift",
            resolution="every look",
            rollback=rollback,
            promotion=promotion,
            series=self._readings.series(),
            marks=tuple(mark for mark in marks(own, self.simulation.world.zero) if mark.at >= 0),
        )

    def tracks(self, last: int | None = None) -> tuple[Floats, dict[Track, Seen]]:
        """Return times (n,) and what each track showed, from some minutes before the shift on.

        last: so many of the newest rounds and those that their shares need, None for all.
        """
        world = self.simulation.world
        rounds = world.rounds if last is None else world.rounds[-last - max(round(WINDOW / world.every), 1) :]
        return _tracks(world, rounds)

    def finished(self) -> Trace:
        """Return all of a run that has ended."""
        world, run = self.simulation.world, self.simulation.result()
        time, tracks = self.tracks()
        return Trace(
            scenario=self.scenario,
            outcome=compare(self.scenario, run),
            time=time,
            tracks=tracks,
            weights=tuple((max(at - world.zero, float(time[0])), float(weight)) for at, weight in world.weights),
            course=self.course(),
        )

    def _mine(self) -> set[RolloutId]:
        known = self.simulation.engine.world.rollouts.values()
        return {one.id for one in known if one.place == self.scenario.place}

    def _looked(self) -> None:
        shift = self.simulation.world.shift
        for rollout in self._mine():
            look = self.simulation.engine.look(rollout)
            if look is not None and look.began is not None and shift is not None:
                self._readings.note_look(look, look.at - shift)


def trace(scenario: Scenario, seed: int) -> Trace:
    """Play one seed and return what happened in it."""
    tracing = Tracing(scenario, seed)
    tracing.simulation.go()
    return tracing.finished()


def _tracks(world: World, rounds: Sequence[Rounds]) -> tuple[Floats, dict[Track, Seen]]:
    slots = len(world.topology.names)
    time = np.concatenate([one.time.max(axis=1) for one in rounds]) - world.zero
    seen = np.concatenate([_padded(one.seen, slots) for one in rounds])
    counts = np.concatenate([_padded(_columns(one), slots) for one in rounds])
    new = np.diff(counts, axis=0, prepend=counts[:1])
    new = np.where(new[..., :1] < 0, counts, new) * seen[..., None]
    lasted = np.diff(time, prepend=time[0] - world.every)
    kept = time >= -5.0 * WINDOW
    window = max(round(WINDOW / world.every), 1)
    bounds = np.array([*world.spec.service.latency.bounds, np.inf])
    found: dict[Track, Seen] = {}
    names = np.array([track.value for track in world.topology.tracks()])
    for track in Track:
        mine = names == track.value
        any_seen = seen[:, mine].any(axis=1)
        ticks = new[:, mine].sum(axis=1).astype(np.float64)
        near = _trailing(ticks, window)
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.where(any_seen & (near[:, 0] > 0), near[:, 1] / near[:, 0], np.nan)
        rate = np.where(any_seen, ticks[:, 0] / np.maximum(lasted, 1e-9), np.nan)
        slow = np.where(any_seen, bucket_quantile(near[:, 2:], bounds, QUANTILE)[0], np.nan)
        found[track] = Seen(rate=rate[kept], errors=errors[kept], slow=slow[kept])
    return time[kept], found


def _columns(rounds: Rounds) -> Ints:
    """Return requests, failures and buckets beside each other, (rounds, slots, 2 + buckets)."""
    return np.concatenate((rounds.total[..., None], rounds.bad[..., None], rounds.buckets), axis=2)


def _padded(values: np.ndarray, slots: int) -> np.ndarray:
    """Return values (rounds, used slots, ...) with nothing in the slots that are not used yet."""
    missing = [(0, 0), (0, slots - values.shape[1]), *[(0, 0)] * (values.ndim - 2)]
    return np.pad(values, missing)


def _trailing(values: Floats, rounds: int) -> Floats:
    """Return sums over the last rounds."""
    sums = np.cumsum(values, axis=0)
    return sums - np.concatenate((np.zeros((min(rounds, len(sums)), values.shape[1])), sums[:-rounds]))
