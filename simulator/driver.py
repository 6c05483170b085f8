"""The guardian in virtual time: SimPy owns `now`, the engine decides, the simulated ports answer.

It waits, delivers, keeps the journal and performs, as the asyncio driver does; it judges nothing and knows no
step of a rollout. The engine is guardian.core.engine.Engine itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, cast

import numpy as np
from simpy import Environment, Event, Store

from guardian.core.effects import Effect, MakeStable, Measure, Preflight, SetWeight, StartCanary, StopCanary
from guardian.core.engine import Decision, Engine
from guardian.core.facts import EffectDone, EffectFailed, Fact, WeightRead, Woke
from guardian.core.looks import Ints, Observed
from guardian.core.model import Instant, Place, RolloutId
from guardian.core.records import Record
from guardian.errors import AdapterError, Refused, SimulationError
from guardian.ports import MetricSource, Samples, Target
from simulator.bridge import VirtualClock, awaited
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
        self._metrics, self._platforms = metrics, platforms
        self._inbox = Store(environment)
        self._keys: object = None
        self._series: Ints = np.empty(0, np.int64)

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
        for query in self.engine.queries(now):
            if isinstance(query, Measure):
                asked = self.engine.measures(query, now)
                samples = yield from awaited(self._metrics.measure(asked))
                self.engine.receive(self._observed(samples), self.clock.now())
            else:
                for name in query.rollouts:
                    reading = yield from self._read_weight(RolloutId(name))
                    self.engine.receive(reading, self.clock.now())
        self._carry_out(self.engine.receive(Woke(), self.clock.now()))
        self.looked()

    def _observed(self, samples: Samples) -> Observed:
        if samples.keys is not self._keys:  # the source gives the same object while it is asked the same
            self._keys = samples.keys
            self._series = np.array([self.engine.series(key) for key in samples.keys], dtype=np.int64)
        return Observed(series=self._series[samples.key], time=samples.time, value=samples.value)

    def _read_weight(self, rollout: RolloutId) -> Generator[Event, Any, WeightRead]:
        place = self.engine.world.rollouts[rollout].place
        platform, target, asked = self._platforms[place], _target(place), self.clock.now()
        accepted = yield from awaited(platform.accepted_weight(target))
        observed = yield from awaited(platform.observed_share(target))
        return WeightRead(rollout=rollout, asked=asked, accepted=accepted, observed=observed)

    def _carry_out(self, decision: Decision) -> None:
        """Journal, then act."""
        self.journal.extend(decision.records)
        for record in decision.records:
            self.watch(record)
        for rollout, effect in decision.effects:
            self.performed.append((self.clock.now(), effect))
            self.environment.process(self._perform(rollout, effect))

    def _perform(self, rollout: RolloutId, effect: Effect) -> Process:
        platform = self._platforms.get(effect.place)
        if platform is None:
            raise SimulationError(f"no platform is simulated at {effect.place}", remedy="add the service")
        try:
            fact: Fact = yield from awaited(_perform(platform, rollout, effect))
        except AdapterError as error:
            again = not isinstance(error, Refused)
            fact = EffectFailed(rollout=rollout, effect=effect.id, reason=str(error), again=again)
        self.put(fact)


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
