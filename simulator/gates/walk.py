"""A scenario under a gate of another kind: the same users, pods and incidents as in the guardian's run of that seed.

Each service has a gate of its own. The traffic moves as the policy's steps say, each when its time is over; the last
one that can be compared is the gate's promotion. An event of the same revision begins plan and gate anew, one of
another takes the canary away. Does not know what a gate looks at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from guardian.core.model import Instant, Seconds, Verdict, Weight
from simulator.chance import Purpose
from simulator.gates.base import GO_ON, Gate, Look
from simulator.gates.view import View
from simulator.grains import worlds_of
from simulator.messages import AlertStorm
from simulator.outcome import Run, Seen
from simulator.scenario import Scenario
from simulator.truth import Happening
from simulator.world import World

TICK: Final = 10.0
"""Seconds between two looks: Argo's retry after an error, and the shortest of all gates."""
VERDICTS: Final = {Happening.ROLLBACK: Verdict.ROLLBACK, Happening.PROMOTE: Verdict.PROMOTE}
Made = Callable[[], Gate]
"""Makes a fresh gate."""


def run_gate(scenario: Scenario, seed: int, made: Made | None) -> Run:
    """Return what a gate makes of a scenario; None: nobody looks, each step passes when its time is over."""
    scenario = scenario.drawn(seed)
    worlds = worlds_of(scenario, seed)
    walks = [_Walk(one, worlds[one.place.service], made) for one in (scenario, *scenario.beside)]
    own = walks[0]
    end = own.shift + scenario.horizon
    found: list[tuple[_Walk, float, Happening, str]] = []
    turns = ((walk.shift + TICK * turn, number) for number, walk in enumerate(walks) for turn in walk.turns(end))
    for at, number in sorted(turns):
        walk = walks[number]
        if not walk.over:
            found += [(walk, since, happening, why) for since, happening, why in walk.turn(at - walk.shift)]
    own.world.advance(Instant(end))
    seen = tuple(
        Seen(
            at=Seconds(since + walk.shift - own.shift),
            happening=happening,
            event=happening.value,
            reason=why,
            of=() if walk is own else (walk.scenario.place.service, walk.scenario.spec.deploy.revision),
        )
        for walk, since, happening, why in found
    )
    verdict = next((one for one in seen if not one.of), None)
    decided = VERDICTS.get(verdict.happening) if verdict is not None and verdict.happening is not None else None
    return Run(
        scenario=scenario.name,
        seed=seed,
        verdict=Verdict.HOLD if decided is None else decided,
        decided_at=scenario.horizon if verdict is None else verdict.at,
        seen=seen,
        harm=own.world.harm,
        values=scenario.values,
    )


class _Walk:
    """One service under its gate, in turns of TICK. shift: when its canary got its first user, unix seconds."""

    def __init__(self, scenario: Scenario, world: World, made: Made | None) -> None:
        self.scenario, self.world, self.over = scenario, world, False
        self._made, self._view = made, View(world)
        first, self._events = _told(scenario, world)
        lag = scenario.spec.platform
        begins = first + lag.answers + lag.ready
        self.shift = Instant(begins + lag.weight_lag)
        world.start_canary(Instant(begins))
        steps = scenario.policy.strategy.steps()
        self._steps = [step for step in steps if 0 < step.weight < 1] or [steps[-1]]
        world.serve(self._steps[0].weight, self.shift)
        self._begin(0.0)
        self._alerts = _alerts(scenario, world, self.shift) if self._gate is not None and self._gate.alerts else []

    def turns(self, end: float) -> range:
        """Return the numbers of its turns up to a time."""
        return range(1, math.ceil((end - self.shift) / TICK) + 1)

    def _begin(self, t: float) -> None:
        """Begin the plan, and the gate, anew."""
        self._gate = self._made() if self._made is not None else None
        self._began, self._lost = t, 0.0
        self._ends = np.cumsum([step.bake for step in self._steps])

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
        look = self._look(t)
        spent = t - self._began - self._lost
        if look.back:
            yield self._end(t, Weight(0.0), Happening.ROLLBACK, look.back)
        elif spent >= self._ends[-1]:
            yield self._end(t, Weight(1.0), Happening.PROMOTE, "steps over")
        else:
            weight = self._steps[int(np.searchsorted(self._ends, max(spent, 0.0), side="right"))].weight
            if world.weight(now) != weight:
                world.serve(weight, now)

    def _look(self, t: float) -> Look:
        """Ask the gate, and once more where all steps are over."""
        if self._gate is None:
            return GO_ON
        look = self._gate.look(self._view, t)
        self._lost += look.lost
        if look.back or t - self._began - self._lost < self._ends[-1]:
            return look
        return Look(back=self._gate.last(self._view, t))

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
