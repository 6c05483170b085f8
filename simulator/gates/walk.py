"""A scenario under a gate of another kind: the same users, pods and incidents as in the guardian's run of that seed.

The traffic moves as the policy's steps say, each when its time is over; the last one that can be compared is the
gate's promotion. Does not know what a gate looks at.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from guardian.core.model import Instant, Seconds, Verdict, Weight
from simulator.chance import Chance, Purpose
from simulator.gates.base import GO_ON, Gate, Look
from simulator.gates.view import View
from simulator.grains import world_of
from simulator.messages import AlertStorm
from simulator.outcome import Run, Seen
from simulator.scenario import Scenario
from simulator.truth import Happening
from simulator.world import World

TICK: Final = 10.0
"""Seconds between two looks; Argo's retry after an error, and the shortest of all gates."""


def run_gate(scenario: Scenario, seed: int, gate: Gate | None) -> Run:
    """Return what a gate makes of a scenario; None: nobody looks, each step passes when its time is over."""
    world = world_of(scenario, Chance(seed))
    lag = scenario.spec.platform
    first = world.opening + lag.answers + lag.ready
    world.start_canary(Instant(first))
    plan = [step for step in scenario.policy.strategy.steps() if step.weight < 1]
    shift = Instant(first + lag.weight_lag)
    world.serve(plan[0].weight, shift)
    seen = tuple(_decided(scenario, world, shift, gate))
    world.advance(Instant(shift + scenario.horizon))
    verdict = Verdict(seen[0].happening.value) if seen and seen[0].happening else Verdict.HOLD
    return Run(
        scenario=scenario.name,
        seed=seed,
        verdict=verdict,
        decided_at=seen[0].at if seen else scenario.horizon,
        seen=seen,
        harm=world.harm,
    )


def _decided(scenario: Scenario, world: World, shift: Instant, gate: Gate | None) -> list[Seen]:
    """Walk through the plan and the looks; the rollback or the promotion, and what follows."""
    view, lost, t = View(world), 0.0, 0.0
    alerts = _alerts(scenario, world, shift) if gate is not None and gate.alerts else []
    plan = [step for step in scenario.policy.strategy.steps() if step.weight < 1]
    ends = np.cumsum([step.bake for step in plan])
    while t < scenario.horizon:
        t += TICK
        world.advance(Instant(shift + t))
        if any(at <= t for at in alerts):
            world.serve(Weight(0.0), Instant(shift + t))
            return [_seen(at, Happening.ROLLBACK, "alert") for at in alerts]
        look = gate.look(view, t) if gate is not None else GO_ON
        lost += look.lost
        over = t - lost >= ends[-1]
        if over and gate is not None and not look.back:
            look = Look(back=gate.last(view, t))
        if look.back:
            world.serve(Weight(0.0), Instant(shift + t))
            return [_seen(t, Happening.ROLLBACK, look.back)]
        if over:
            world.serve(Weight(1.0), Instant(shift + t))
            return [_seen(t, Happening.PROMOTE, "steps over")]
        weight = plan[int(np.searchsorted(ends, max(t - lost, 0.0), side="right"))].weight
        if world.weight(shift + t) != weight:
            world.serve(weight, Instant(shift + t))
    return []


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
