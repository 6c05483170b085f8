"""One run of a scenario: world, engine and driver put together, from the deploy event to the end.

What it came to is a `Run`; whether that was right is outcome.py's part.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Final

from simpy import Environment, Event

from guardian.core import records as r
from guardian.core.engine import Engine
from guardian.core.events import event_name
from guardian.core.facts import DeployRequested
from guardian.core.fleet import Fleet
from guardian.core.model import EventRef, Instant, Phase, Seconds, Verdict, Weight
from guardian.core.policies import Policies
from guardian.core.records import Record
from guardian.core.tape import Part
from guardian.core.taping import TapedEngine, Taping
from simulator.bridge import VirtualClock
from simulator.chance import Chance, Purpose
from simulator.driver import SimDriver
from simulator.grains import worlds_of
from simulator.messages import AlertStorm, Arrival
from simulator.outcome import Run, Seen
from simulator.outsider import Outsider
from simulator.platform import Platform
from simulator.scenario import BEFORE, Scenario
from simulator.telemetry import Telemetry
from simulator.truth import Happening

_HAPPENINGS: Final = {one.value: one for one in Happening if one not in {Happening.ROLLBACK, Happening.PROMOTE}}
Process = Generator[Event, Any, None]


class Simulation:
    """A scenario set up just before its deploy event, its history already behind it."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        *,
        keep: Callable[[Part], None] | None = None,
        fleet: Fleet | None = None,
    ) -> None:
        """Set it up. keep: takes the tape of the run, at its end. fleet: holds its evidence; None: one of its own."""
        self.scenario, self.seed = scenario.drawn(seed), seed
        self.chance = Chance(seed)
        everybody = (self.scenario, *self.scenario.beside)
        self.worlds = worlds_of(self.scenario, seed)
        self.world = self.worlds[scenario.place.service]
        self.environment = Environment(initial_time=min(world.opening for world in self.worlds.values()))
        clock = VirtualClock(self.environment)
        policies, fleet = Policies([one.policy for one in everybody]), fleet if fleet is not None else Fleet()
        self.engine = (
            Engine(policies=policies, fleet=fleet)
            if keep is None
            else TapedEngine(policies=policies, fleet=fleet, taping=Taping(keep=keep))
        )
        self._platforms = {one.place: Platform(self.worlds[one.place.service], clock) for one in everybody}
        self.driver = SimDriver(
            self.environment, self.engine, metrics=Telemetry(self.worlds, clock), platforms=self._platforms
        )
        self.driver.watch = self._watch
        self._outsiders = {
            one.place: Outsider(one, self.worlds[one.place.service], self.environment)
            for one in everybody
            if one.spec.deploy.weight is not None
        }
        self._over = self.environment.event()
        self._seen: list[tuple[Instant, Happening | None, str, r.OfRollout]] = []
        self._verdict: tuple[Instant, Verdict] | None = None

    def play(self) -> Run:
        """Play it to its end and return what it came to."""
        self.go()
        return self.result()

    @property
    def over(self) -> bool:
        """Whether nothing is left to be played."""
        return self._over.processed

    def go(self) -> None:
        """Play it to its end, or until `end` is called."""
        self.begin()
        self.environment.run(until=self._over)
        if isinstance(self.engine, TapedEngine):
            self.engine.stop(Instant(self.environment.now))

    def begin(self) -> None:
        """Set going what happens by itself."""
        self.environment.process(self.driver.guard())
        for number, one in enumerate((self.scenario, *self.scenario.beside)):
            self.environment.process(self._deliver(self._events(one, number)))
        self.environment.process(self._watch_traffic())

    def end(self) -> None:
        """End it at the present moment of its own time."""
        if not self._over.triggered:
            self._over.succeed()

    @property
    def seen(self) -> tuple[Seen, ...]:
        """What the guardian did until now."""
        return tuple(
            Seen(
                at=Seconds(when - self.world.zero),
                happening=happening,
                event=event,
                guardrail=str(getattr(record, "guardrail", "")),
                reason=record.reason,
                of=self._of(record),
            )
            for when, happening, event, record in self._seen
        )

    def result(self) -> Run:
        """Return what it came to, once it has ended; the world goes on to the horizon under the verdict."""
        shift = self.world.zero
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
            seen=self.seen,
            harm=self.world.harm,
            values=self.scenario.values,
        )

    def _events(self, of: Scenario, number: int) -> list[Arrival]:
        """Return the deploy events of one service, in the order in which they come."""
        deploy = of.spec.deploy
        name = f"{self.scenario.name}/{self.seed}" + (f"/{of.place.service}" if number else "")
        opening, found = self.worlds[of.place.service].opening, list[Arrival]()
        for place, event in enumerate(of.spec.deploys):
            revision = event.revision or deploy.revision
            request = DeployRequested(
                event=EventRef(source="simulator", id=f"{name}/{place}" if place else name),
                time=opening,
                place=of.place,
                revision=revision,
                driver=deploy.driver,
                previous=deploy.previous if revision == deploy.revision else None,
                change=deploy.change,
                irreversible=deploy.irreversible,
            )
            found += event.arrivals(request, opening, self.chance.at(Purpose.EVENTS, place))
        return sorted(found, key=lambda arrival: arrival[0])

    def _deliver(self, arrivals: Iterable[Arrival]) -> Process:
        for at, fact in arrivals:
            yield self.environment.timeout(max(0.0, at - self.environment.now))
            self.driver.put(fact)

    def _watch_traffic(self) -> Process:
        """Send what comes with the traffic, and end the run at its horizon."""
        while self.world.shift is None and self.environment.now < self.world.opening + BEFORE:
            yield self.environment.timeout(1.0)
        shift = self.world.shift
        if shift is not None:
            stream = self.chance.at(Purpose.EVENTS)
            storms = [fault for fault in self.scenario.spec.faults if isinstance(fault, AlertStorm)]
            for storm in storms:
                arrivals = storm.arrivals(shift, self.scenario.place, stream)
                self.environment.process(self._deliver(arrivals))
            yield self.environment.timeout(max(0.0, shift + self.scenario.horizon - self.environment.now))
        self.end()

    def _watch(self, record: Record) -> None:
        """Note what the guardian concluded, and end a run whose verdict is there and carried out."""
        if not isinstance(record, r.OfRollout):
            return
        outsider = self._outsiders.get(self.engine.world.rollouts[record.rollout].place)
        if outsider is not None:
            outsider.hear(record)
        goes_back = isinstance(record, r.RollbackOrdered) and record.outcome is Phase.ROLLED_BACK
        if goes_back or (isinstance(record, r.Ended) and record.phase is Phase.ROLLED_BACK and not self._went(record)):
            self._seen.append((record.at, Happening.ROLLBACK, "rollback", record))
            self._decided(record, Verdict.ROLLBACK)
        elif (isinstance(record, r.Judged) and record.verdict is Verdict.PROMOTE) or self._kept(record):
            self._seen.append((record.at, Happening.PROMOTE, "promote", record))
            self._decided(record, Verdict.PROMOTE)
        if (name := event_name(record)) is not None:
            self._seen.append((record.at, _HAPPENINGS.get(name), name, record))
        promoted = self._verdict is not None and self._verdict[1] is Verdict.PROMOTE
        if (isinstance(record, r.Ended) or promoted) and not self._of(record) and self._may_stop():
            self.end()

    def _kept(self, record: r.OfRollout) -> bool:
        """Whether a rollout without steps to compare on was verified: no evidence spoke of it before."""
        compares = bool(self.engine.world.rollouts[record.rollout].policy.participating)
        return isinstance(record, r.Ended) and record.phase is Phase.VERIFIED and not compares

    def _went(self, record: r.OfRollout) -> bool:
        """Whether this rollout was seen to be ordered back; where somebody else moves its traffic, the end says it."""
        return any(one is Happening.ROLLBACK and of.rollout == record.rollout for _, one, _, of in self._seen)

    def _of(self, record: r.OfRollout) -> tuple[str, ...]:
        """Return whose record it is, as Seen has it."""
        rollout, own = self.engine.world.rollouts[record.rollout], self.scenario
        if (rollout.place, rollout.revision) == (own.place, own.spec.deploy.revision):
            return ()
        return rollout.place.service, rollout.revision

    def _may_stop(self) -> bool:
        """Whether nothing that the truth speaks of is still to come."""
        truth = self.scenario.spec.truth
        if truth.verdict is Verdict.HOLD or any(one.more_than or one.of is not None for one in truth.never):
            return False
        shift = self.world.zero
        return all(
            any(one is wanted.event and at >= shift + wanted.after for at, one, _, _ in self._seen)
            for wanted in truth.expect
        )

    def _decided(self, record: r.OfRollout, verdict: Verdict) -> None:
        if self._verdict is None and not self._of(record):
            self._verdict = (record.at, verdict)


def run(scenario: Scenario, seed: int, *, keep: Callable[[Part], None] | None = None) -> Run:
    """Play one seed of a scenario; the same seed gives the same run, bit for bit. keep: takes its tape."""
    return Simulation(scenario, seed, keep=keep).play()
