"""One run of a scenario: world, engine and driver put together, from the deploy event to the end.

What it came to is a `Run`; whether that was right is outcome.py's part.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final

from simpy import Environment, Event

from guardian.core import records as r
from guardian.core.engine import Engine
from guardian.core.events import event_name
from guardian.core.facts import DeployRequested
from guardian.core.fleet import Fleet
from guardian.core.model import EventRef, Instant, Seconds, Verdict, Weight
from guardian.core.policies import Policies
from guardian.core.records import Record
from simulator.bridge import VirtualClock
from simulator.chance import Chance, Purpose
from simulator.driver import SimDriver
from simulator.grains import world_of
from simulator.messages import AlertStorm, Arrival, EventRepeats
from simulator.outcome import Run, Seen
from simulator.platform import Platform
from simulator.scenario import Scenario
from simulator.telemetry import Telemetry
from simulator.truth import Happening

PATIENCE: Final = 900.0
"""Seconds after the deploy event within which the first traffic should reach the canary."""
_HAPPENINGS: Final = {one.value: one for one in Happening if one not in {Happening.ROLLBACK, Happening.PROMOTE}}
Process = Generator[Event, Any, None]


class Simulation:
    """A scenario set up just before its deploy event, its history already behind it."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario, self.seed = scenario.drawn(seed), seed
        self.chance = Chance(seed)
        self.world = world_of(self.scenario, self.chance)
        self.environment = Environment(initial_time=self.world.opening)
        clock = VirtualClock(self.environment)
        self.engine = Engine(policies=Policies([scenario.policy]), fleet=Fleet())
        self.driver = SimDriver(
            self.environment,
            self.engine,
            metrics=Telemetry({scenario.place.service: self.world}, clock),
            platforms={scenario.place: Platform(self.world, clock)},
        )
        self.driver.watch = self._watch
        self._over = self.environment.event()
        self._seen: list[tuple[Instant, Happening | None, str, str, str]] = []
        self._verdict: tuple[Instant, Verdict] | None = None

    def play(self) -> Run:
        """Play it to its end and return what it came to."""
        self.environment.process(self.driver.guard())
        self.environment.process(self._deliver(self._events()))
        self.environment.process(self._watch_traffic())
        self.environment.run(until=self._over)
        shift = self.world.opening if self.world.shift is None else self.world.shift
        end = Instant(shift + self.scenario.horizon)
        if self._verdict is not None and self._verdict[1] is Verdict.PROMOTE:
            self.world.serve(Weight(1.0), Instant(self.environment.now))  # what the verdict means for users
        self.world.advance(end)
        at, verdict = self._verdict if self._verdict is not None else (end, Verdict.HOLD)
        return Run(
            scenario=self.scenario.name,
            seed=self.seed,
            verdict=verdict,
            decided_at=Seconds(at - shift),
            seen=tuple(
                Seen(at=Seconds(when - shift), happening=happening, event=event, guardrail=guardrail, reason=reason)
                for when, happening, event, guardrail, reason in self._seen
            ),
            harm=self.world.harm,
            values=self.scenario.values,
        )

    def _events(self) -> Iterable[Arrival]:
        deploy, now = self.scenario.spec.deploy, self.world.opening
        request = DeployRequested(
            event=EventRef(source="simulator", id=f"{self.scenario.name}/{self.seed}"),
            time=now,
            place=self.scenario.place,
            revision=deploy.revision,
            driver=deploy.driver,
            previous=deploy.previous,
        )
        repeats = [fault for fault in self.scenario.spec.faults if isinstance(fault, EventRepeats)]
        if not repeats:
            return [(now, request)]
        stream = self.chance.at(Purpose.EVENTS)
        return [arrival for fault in repeats for arrival in fault.arrivals(request, stream)]

    def _deliver(self, arrivals: Iterable[Arrival]) -> Process:
        for at, fact in arrivals:
            yield self.environment.timeout(max(0.0, at - self.environment.now))
            self.driver.put(fact)

    def _watch_traffic(self) -> Process:
        """Send what comes with the traffic, and end the run at its horizon."""
        while self.world.shift is None and self.environment.now < self.world.opening + PATIENCE:
            yield self.environment.timeout(1.0)
        shift = self.world.shift
        if shift is not None:
            stream = self.chance.at(Purpose.EVENTS)
            storms = [fault for fault in self.scenario.spec.faults if isinstance(fault, AlertStorm)]
            for storm in storms:
                arrivals = storm.arrivals(shift, self.scenario.place, stream)
                self.environment.process(self._deliver(arrivals))
            yield self.environment.timeout(max(0.0, shift + self.scenario.horizon - self.environment.now))
        self._end()

    def _end(self) -> None:
        if not self._over.triggered:
            self._over.succeed()

    def _watch(self, record: Record) -> None:
        """Note what the guardian concluded, and end a run whose verdict is there and carried out."""
        if isinstance(record, r.RollbackOrdered):
            self._note(record.at, Happening.ROLLBACK, "rollback", record)
            self._decided(record.at, Verdict.ROLLBACK)
        elif isinstance(record, r.Judged) and record.verdict is Verdict.PROMOTE:
            self._note(record.at, Happening.PROMOTE, "promote", record)
            self._decided(record.at, Verdict.PROMOTE)
            if self._may_stop():
                self._end()
        elif isinstance(record, r.OfRollout) and (name := event_name(record)) is not None:
            self._note(record.at, _HAPPENINGS.get(name), name, record)
        if isinstance(record, r.Ended) and self._may_stop():
            self._end()

    def _may_stop(self) -> bool:
        """Whether nothing that the truth asks for is still to come."""
        truth = self.scenario.spec.truth
        return truth.verdict is not Verdict.HOLD and not any(one.more_than for one in truth.never)

    def _decided(self, at: Instant, verdict: Verdict) -> None:
        if self._verdict is None:
            self._verdict = (at, verdict)

    def _note(self, at: Instant, happening: Happening | None, event: str, record: r.OfRollout) -> None:
        guardrail = str(getattr(record, "guardrail", ""))
        self._seen.append((at, happening, event, guardrail, record.reason))


def run(scenario: Scenario, seed: int) -> Run:
    """Play one seed of a scenario; the same seed gives the same run, bit for bit."""
    return Simulation(scenario, seed).play()
