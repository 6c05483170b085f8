"""How fast any method could decide a scenario, given its truth: the information in the requests, and no more.

E[delay] >= ln(1/alpha) / I, with I the information per second against the nearest world in which the verdict
would be another. Wald 1945: no test that is wrong in at most alpha of runs can be quicker on average.
Objectives and alerts are outside this: they do not compare, and may be quicker.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from guardian.core.model import Seconds, Verdict
from guardian.core.policy import Guardrail, HistogramSli, Margin
from simulator.chance import Chance
from simulator.scenario import Scenario
from simulator.traffic import Floats
from simulator.world import World

STEP: Final = 5.0
"""Seconds between the points at which information is summed up."""


def bound(scenario: Scenario) -> Seconds | None:
    """Return the least mean delay in seconds, from the onset; None where the truth is no verdict.

    Rollback: evidence of all guardrails together that canary and stable differ at all. Promotion: for the
    slowest guardrail, that the canary is not at its promote margin; never before `earliest_promotion`.
    """
    truth, policy = scenario.spec.truth, scenario.policy
    if truth.verdict is Verdict.HOLD:
        return None
    t = np.arange(truth.onset + STEP / 2, truth.onset + 4 * 3600.0, STEP)
    stable, canary, rate, weight = _worlds(scenario, t)
    if truth.verdict is Verdict.ROLLBACK:
        parts = [_separation(stable[one.name], canary[one.name], rate, weight) for one in policy.participating]
        return _reached(sum(parts, np.zeros_like(t)), math.log(1 / policy.risk.false_rollback))
    slowest = 0.0
    for guardrail in policy.participating:
        worse = _at_margin(guardrail, scenario, stable[guardrail.name])
        needed = math.log(1 / policy.risk.false_promotion)
        slowest = max(slowest, _reached(_separation(stable[guardrail.name], worse, rate, weight), needed))
    return Seconds(max(slowest, policy.risk.earliest_promotion - truth.onset))


Shares = dict[str, Floats]


def _worlds(scenario: Scenario, t: Floats) -> tuple[Shares, Shares, Floats, Floats]:
    """Return per guardrail the chances of each kind of answer on stable and canary, then rate and weight over time."""
    world = World(scenario, Chance(0))
    topology = world.topology
    conditions = world.conditions(np.repeat(t[:, None], len(topology.names), axis=1), at=world.opening)
    first, fresh = topology.stable.slots.start, topology.canary.slots.start
    latencies = scenario.spec.service.latency.shares(conditions.slow, conditions.tail)
    sides: list[Shares] = []
    for slot in (first, fresh):
        errors = conditions.errors[:, slot]
        ratio = np.stack([errors, 1 - errors], axis=1)
        sides.append(
            {
                guardrail.name: latencies[:, slot] if isinstance(guardrail.sli, HistogramSli) else ratio
                for guardrail in scenario.policy.participating
            }
        )
    return sides[0], sides[1], conditions.rate[:, first], _planned(scenario, t)


def _planned(scenario: Scenario, t: Floats) -> Floats:
    """Return the weight at each time if every step passed as soon as its bake is over; the last comparable stays."""
    steps = [step for step in scenario.policy.strategy.steps() if step.weight < 1]
    ends = np.cumsum([step.bake for step in steps])
    which = np.minimum(np.searchsorted(ends, t, side="right"), len(steps) - 1)
    return np.array([step.weight for step in steps])[which]


def _at_margin(guardrail: Guardrail, scenario: Scenario, stable: Floats) -> Floats:
    """Return what the canary would answer if it were exactly at the promote margin."""
    margin = guardrail.compare.promote if guardrail.compare is not None else Margin(relative=1.0)
    if isinstance(guardrail.sli, HistogramSli):
        latency = scenario.spec.service.latency
        slow, tail = np.full(len(stable), margin.relative), np.full(len(stable), latency.tail.share)
        return latency.shares(slow, tail)
    worse = np.clip(stable[:, 0] * margin.relative + margin.absolute, 0, 1)
    return np.stack([worse, 1 - worse], axis=1)


def _separation(stable: Floats, canary: Floats, rate: Floats, weight: Floats) -> Floats:
    """Return information per second, in nats: what tells two tracks from one mixed track. Shape (times,)."""
    mixed = weight[:, None] * canary + (1 - weight)[:, None] * stable
    of_canary, of_stable = _divergence(canary, mixed), _divergence(stable, mixed)
    information: Floats = rate * (weight * of_canary + (1 - weight) * of_stable)
    return information


def _divergence(p: Floats, q: Floats) -> Floats:
    """Return the Kullback-Leibler divergence of q from p along the last axis."""
    ratio = np.log(np.where(p > 0, p, 1.0) / np.where((p > 0) & (q > 0), q, 1.0))
    total: Floats = (p * ratio).sum(axis=-1)
    return total


def _reached(information: Floats, needed: float) -> Seconds:
    """Return the time at which the summed information reaches what is needed, inf when it never does."""
    summed = np.cumsum(information) * STEP
    if summed[-1] < needed:
        return Seconds(math.inf)
    step = int(np.searchsorted(summed, needed))
    before = summed[step - 1] if step else 0.0
    return Seconds(STEP * (step + (needed - before) / (summed[step] - before)))
