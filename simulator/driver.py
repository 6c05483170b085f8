"""The guardian in virtual time: SimPy owns `now`, the engine decides, the simulated ports answer.

It waits, delivers, keeps the journal and performs, as the asyncio driver does; it judges nothing and knows no
step of a rollout. The engine is guardian.core.engine.Engine itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, cast

import numpy as np
import simpy
from simpy import Environment, Event, Interrupt, Store

from guardian.core.effects import (
    DEADLINES,
    PATIENCE,
    READING,
    Effect,
    MakeStable,
    Measure,
    Preflight,
    SetWeight,
    StartCanary,
    StopCanary,
)
from guardian.core.engine import Decision, Engine
from guardian.core.facts import EffectDone, EffectFailed, Fact, WeightRead, Woke
from guardian.core.looks import Ints, Observed
from guardian.core.model import EffectId, Instant, Place, Ready, RolloutId, Track
from guardian.core.records import EffectEnded, Record
from guardian.errors import AdapterError, Refused, SimulationError
from guardian.ports import MetricSource, Samples, Target
from simulator.bridge import VirtualClock, attempted, awaited
from simulator.platform import Platform

Process = Generator[Event, Any, None]


class SimDriver:
    """Drives one engine in a SimPy environment."""

    def __init__(
        self, environment: Environment, engine: Engine, *, metrics: MetricSource, platforms: dict[Place, Platform]
    ) -> None:
        self.environment, self.engine = environment, engine
        self.clock = VirtualClock(environment)
        self.journal: list[Record] = []
        self.performed: list[tuple[Instant, Effect]] = []
        self.watch: Callable[[Record], None] = lambda _: None
        self.looked: Callable[[], None] = lambda: None
        self.before_look: Callable[[], Event] | None = None
        """What each look waits for, once its samples are there; None: nothing."""
        self._metrics, self._platforms = metrics, platforms
        self._inbox = Store(environment)
        self._keys: object = None
        self._series: Ints = np.empty(0, np.int64)
        self._owed: set[RolloutId] = set()
        self._under_way: dict[EffectId, simpy.Process] = {}

    def put(self, fact: Fact) -> None:
        """Deliver a fact from outside."""
        self._inbox.put(fact)

    def guard(self) -> Process:
        """Deliver facts as they come, and wake the engine when it asked for it; never ends."""
        waiting = self._inbox.get()
        while True:
            wake = self.engine.wake_at()
            if wake is None:
                yield waiting
            elif not waiting.triggered and wake > self.environment.now:
                yield waiting | self.environment.timeout(wake - self.environment.now)
            if waiting.triggered:
                fact = cast("Fact", waiting.value)
                self._carry_out(self.engine.receive(fact, self.clock.now()))
                waiting = self._inbox.get()
            else:
                yield from self._tick()

    def _tick(self) -> Process:
        now = self.clock.now()
        readings: list[Event] = []
        for query in self.engine.queries(now):
            if isinstance(query, Measure):
                asked = self.engine.measures(query, now)
                samples = yield from awaited(self._metrics.measure(asked))
                self.engine.receive(self._observed(samples), self.clock.now())
            else:
                owing = (RolloutId(name) for name in query.rollouts if name not in self._owed)
                readings += [self.environment.process(self._read_weight(name)) for name in owing]
        if readings:
            yield self.environment.all_of(readings) | self.environment.timeout(PATIENCE)
        if self.before_look is not None:
            yield self.before_look()
        self._carry_out(self.engine.receive(Woke(), self.clock.now()))
        self.looked()

    def _observed(self, samples: Samples) -> Observed:
        if samples.keys is not self._keys:  # the source gives the same object while it is asked the same
            self._keys = samples.keys
            self._series = np.array([self.engine.series(key) for key in samples.keys], dtype=np.int64)
        return Observed(series=self._series[samples.key], time=samples.time, value=samples.value)

    def _read_weight(self, rollout: RolloutId) -> Process:
        """Ask the router; it is not asked again before it has answered, or its time is over."""
        place = self.engine.world.rollouts[rollout].place
        self._owed.add(rollout)
        reading = yield from attempted(self.environment, self._reading(rollout, place), READING)
        self._owed.remove(rollout)
        if not isinstance(reading, AdapterError):
            self.engine.receive(reading, self.clock.now())

    async def _reading(self, rollout: RolloutId, place: Place) -> WeightRead:
        platform, target, asked = self._platforms[place], _target(place), self.clock.now()
        accepted = await platform.accepted_weight(target)
        observed = await platform.observed_share(target)
        canary, stable = [await platform.ready(target, track) for track in (Track.CANARY, Track.STABLE)]
        ready = Ready(canary=canary, stable=stable)
        return WeightRead(rollout=rollout, asked=asked, accepted=accepted, observed=observed, ready=ready)

    def _carry_out(self, decision: Decision) -> None:
        """Journal, then act; what is not wanted any more is cut short."""
        self.journal.extend(decision.records)
        for record in decision.records:
            self.watch(record)
            if isinstance(record, EffectEnded) and (attempt := self._under_way.pop(record.effect, None)) is not None:
                attempt.interrupt()
        for rollout, effect in decision.effects:
            self.performed.append((self.clock.now(), effect))
            self._under_way[effect.id] = self.environment.process(self._perform(rollout, effect))

    def _perform(self, rollout: RolloutId, effect: Effect) -> Process:
        platform = self._platforms.get(effect.place)
        if platform is None:
            raise SimulationError(f"no platform is simulated at {effect.place}", remedy="add the service")
        call = _perform(platform, rollout, effect)
        try:
            outcome = yield from attempted(self.environment, call, DEADLINES[type(effect)])
        except Interrupt:
            return
        self._under_way.pop(effect.id, None)
        if isinstance(outcome, AdapterError):
            again = not isinstance(outcome, Refused)
            self.put(EffectFailed(rollout=rollout, effect=effect.id, reason=str(outcome), again=again))
        else:
            self.put(outcome)


def _target(place: Place) -> Target:
    return Target(place=place, options={})


async def _perform(platform: Platform, rollout: RolloutId, effect: Effect) -> EffectDone:
    target, accepted, stable = _target(effect.place), None, None
    match effect:
        case Preflight():
            await platform.check(target, effect.revision)
            accepted = await platform.accepted_weight(target)
            stable = await platform.stable_revision(target)
        case StartCanary():
            await platform.start_canary(target, effect.revision)
            await platform.probe(target, effect.revision)
        case SetWeight():
            await platform.set_weight(target, effect.weight)
            accepted = await platform.accepted_weight(target)
        case MakeStable():
            await platform.make_stable(target, effect.revision)
        case StopCanary():
            await platform.stop_canary(target)
    return EffectDone(rollout=rollout, effect=effect.id, accepted=accepted, stable=stable)
