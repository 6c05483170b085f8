"""How fast any method could decide a scenario, given its truth: the information in the requests, and no more.

E[delay] >= ln(1/alpha) / I, with I the information per second against the nearest world in which the verdict
would be another. Wald 1945: no test that is wrong in at most alpha of runs can be quicker on average.
Objectives and alerts are outside this: they do not compare, and may be quicker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from guardian.core.model import Seconds, Verdict
from guardian.core.policy import GaugeSli, Guardrail, Margin
from simulator.chance import Chance
from simulator.faults import CrashLoop
from simulator.request.language import Grain
from simulator.scenario import Scenario, Spec
from simulator.service import BUCKET, TOTAL, Latency
from simulator.telemetry import measured
from simulator.traffic import Floats
from simulator.world import World

STEP: Final = 5.0
"""Seconds between the points at which information is summed up."""


def bound(scenario: Scenario) -> Seconds | None:
    """Return the least mean delay in seconds, from the onset; None where the truth is no verdict, or not known.

    In request grain harm follows from causes: what the requests would tell is not known beforehand. Pods that are not
    ready tell nothing by requests, and what bots and readings of gauges tell is not summed up.

    Rollback: evidence of all guardrails together that canary and stable differ at all. Promotion: for the
    slowest guardrail, that the canary is not at its promote margin; never before `earliest_promotion`. Of a scenario
    with parameters, the largest of their ends.
    """
    least = [_bound(corner) for corner in scenario.corners()]
    known = [one for one in least if one is not None]
    return max(known) if known else None


def _bound(scenario: Scenario) -> Seconds | None:
    truth, policy = scenario.spec.truth, scenario.policy
    silent = any(isinstance(fault, CrashLoop) for fault in scenario.spec.faults)
    silent |= bool(scenario.spec.bots)
    silent |= any(isinstance(one.sli, GaugeSli) for one in policy.participating)
    if truth.verdict is Verdict.HOLD or scenario.spec.grain is Grain.REQUEST or silent:
        return None
    t = np.arange(truth.onset + STEP / 2, truth.onset + 4 * 3600.0, STEP)
    stable, canary = _sides(scenario, t)
    spec = scenario.spec
    if truth.verdict is Verdict.ROLLBACK:
        parts = [_separation(stable, canary, one, spec) for one in policy.participating]
        return _reached(sum(parts, np.zeros_like(t)), math.log(1 / policy.risk.false_rollback))
    slowest = 0.0
    for guardrail in policy.participating:
        worse = _at_margin(guardrail, stable, flow=canary.flow)
        needed = math.log(1 / policy.risk.false_promotion)
        slowest = max(slowest, _reached(_separation(stable, worse, guardrail, spec), needed))
    return Seconds(max(slowest, policy.risk.earliest_promotion - truth.onset))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """The truth of a track, (times, zones) each: factor on latencies, share in the tail, requests/s.

    bad: by metric, the chance that what it counts goes wrong. of: by metric, the share of requests that it counts.
    """

    bad: dict[str, Floats]
    slow: Floats
    tail: Floats
    flow: Floats
    of: dict[str, float]

    def answers(self, metric: str, latency: Latency) -> Floats:
        """Return the chances of each kind of answer, shape (times, zones, kinds)."""
        if metric == BUCKET:
            return latency.shares(self.slow, self.tail)
        return np.stack([self.bad[metric], 1 - self.bad[metric]], axis=-1)


def _sides(scenario: Scenario, t: Floats) -> tuple[_Side, _Side]:
    """Return what the canary is compared with, and the canary, at each time; of each zone its first pod speaks."""
    world = World(scenario, Chance(0))
    topology, zones = world.topology, scenario.spec.service.places
    weight = _planned(scenario, t)
    times, share = (np.repeat(one[:, None], len(topology.names), axis=1) for one in (t, weight))
    held = world.conditions(times, at=world.opening, share=share)
    bad, of = {TOTAL: held.errors, **held.wrong}, {TOTAL: 1.0, BUCKET: 1.0}
    of |= {one.metric: one.of for one in scenario.spec.service.attempts}
    sides: list[_Side] = []
    pods = scenario.spec.service.pods
    other = np.minimum(weight * pods.control / pods.canary, 1.0 - weight) if pods.control else 1.0 - weight
    for group, part in ((topology.baseline, other), (topology.canary, weight)):
        start, homes = group.slots.start, topology.homes[group.slots]
        first = [start + (homes.index(zone) if zone in homes else 0) for zone in zones]  # no pod, no flow
        loads = np.array([zone.load * homes.count(zone) for zone in zones])
        flow = held.rate[:, :1] * part[:, None] * loads / (loads.sum() or 1.0)
        here = {metric: chance[:, first] for metric, chance in bad.items()}
        sides.append(_Side(bad=here, slow=held.slow[:, first], tail=held.tail[:, first], flow=flow, of=of))
    return sides[0], sides[1]


def _planned(scenario: Scenario, t: Floats) -> Floats:
    """Return the weight at each time if every step passed as soon as its bake is over; the last comparable stays."""
    steps = [step for step in scenario.policy.strategy.steps() if step.weight < 1]
    ends = np.cumsum([step.bake for step in steps])
    which = np.minimum(np.searchsorted(ends, t, side="right"), len(steps) - 1)
    return np.array([step.weight for step in steps])[which]


def _at_margin(guardrail: Guardrail, stable: _Side, *, flow: Floats) -> _Side:
    """Return what the canary would answer if it were exactly at the promote margin."""
    margin = guardrail.compare.promote if guardrail.compare is not None else Margin(relative=1.0)
    worse = {metric: np.clip(bad * margin.relative + margin.absolute, 0, 1) for metric, bad in stable.bad.items()}
    return replace(stable, bad=worse, slow=stable.slow * margin.relative, flow=flow)


def _separation(stable: _Side, canary: _Side, guardrail: Guardrail, spec: Spec) -> Floats:
    """Return information per second, in nats: what tells the tracks from one mixed track in each zone; (times,)."""
    flow = canary.flow + stable.flow
    part = np.divide(canary.flow, flow, out=np.zeros_like(flow), where=flow > 0)[..., None]
    metric = measured(guardrail, spec)
    one, other = (side.answers(metric, spec.service.latency) for side in (canary, stable))
    mixed = part * one + (1 - part) * other
    information = canary.flow * _divergence(one, mixed) + stable.flow * _divergence(other, mixed)
    return np.asarray(information.sum(axis=1)) * stable.of[metric]


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
