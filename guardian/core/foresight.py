"""How long each step of a policy needs, at a given traffic, to see a canary that is worse or to show that it is not.

A forecast for equal pods, and for requests that are independent but for users who stick to a track (analysis/users.py);
it decides nothing. Pods that differ need more: beside `judge` on four pods (50 and 200 requests a second, both kinds)
80 % of runs ended within 1.9 times the forecast. Of gauges it says that it is not known: how soon a level tells depends
on how much pods differ, not on how many readings come.
Source: analysis.power (expected growth of evidence); CONTRACTS section 5 for what a step waits for.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from analysis.power import binomial_divergence, latency_growth, ratio_growth, requests_needed
from analysis.sequential.latency import LatencyTest
from analysis.users import Users
from guardian.core.looks import Floats
from guardian.core.model import Ratio, Seconds, Value, Weight
from guardian.core.policy import Compare, CountSli, GaugeSli, Guardrail, Policy, RatioSli, full

SMALLEST: Final = 1e-9
"""Stands in for an error share of 0, at which no error will ever be seen."""
WORSE: Final = (1.5, 2.0)
Buckets = tuple[tuple[float, ...], tuple[float, ...]]
"""Upper bounds in seconds, the last one inf; requests per bucket."""


class Traffic(Value, frozen=True, kw_only=True):
    """What comes in: requests a second on both tracks together, stable's error share, stable's latency buckets.

    errors: guardrail -> share of bad events. buckets: guardrail -> (upper bounds in seconds, requests per bucket).
    events: guardrail -> events per request, of counts; where it is not known, neither is what they show.
    pods: of both tracks together; 0: not known.
    """

    requests: dict[str, float]
    errors: dict[str, float] = msgspec.field(default_factory=dict)
    buckets: dict[str, Buckets] = msgspec.field(default_factory=dict)
    events: dict[str, float] = msgspec.field(default_factory=dict)
    pods: int = 0


class Sight(Value, frozen=True, kw_only=True):
    """One guardrail at one step; times in seconds, inf where traffic of this kind never shows it, NaN: not known.

    worse: seconds to rollback evidence for a canary `WORSE` times as bad. promote: to the promote verdict of a
    healthy canary. sample: until the step has its `min_requests`.
    """

    guardrail: str
    worse: tuple[Seconds, ...]
    promote: Seconds
    sample: Seconds


class StepForesight(Value, frozen=True, kw_only=True):
    """One step. lasts: how long a healthy canary stays in it, at least; late: longer than its limit.

    sights: of guardrails that compare; empty where no stable traffic is left. extends: it waits for the verdict.
    """

    weight: Weight
    bake: Seconds
    limit: Seconds
    lasts: Seconds
    sights: tuple[Sight, ...] = ()
    extends: bool = False
    late: bool = False


def foresee(policy: Policy, traffic: Traffic) -> tuple[StepForesight, ...]:
    """Return one forecast per step; guardrails without traffic named in `traffic` see nothing, ever."""
    steps = policy.strategy.steps()
    comparable = [step for step in steps if not full(step.weight)]
    found: list[StepForesight] = []
    spent = 0.0
    known: dict[str, float] = {}
    for step in steps:
        if full(step.weight) or not policy.participating:
            found.append(StepForesight(weight=step.weight, bake=step.bake, limit=step.time_limit, lasts=step.bake))
            continue
        sights = tuple(_sight(policy, guardrail, traffic, step.weight) for guardrail in policy.participating)
        extends = step is comparable[-1]
        lasts = _longest(step.bake, *(sight.sample for sight in sights))
        if extends:
            left = [sight.promote * (1.0 - known.get(sight.guardrail, 0.0)) for sight in sights]
            lasts = _longest(lasts, policy.risk.earliest_promotion - spent, *left)
        for sight in sights:
            known[sight.guardrail] = min(1.0, known.get(sight.guardrail, 0.0) + _part(lasts, sight.promote))
        spent += lasts
        late = lasts > step.time_limit
        found.append(
            StepForesight(
                weight=step.weight, bake=step.bake, limit=step.time_limit, lasts=Seconds(lasts),
                sights=sights, extends=extends, late=late,
            )
        )  # fmt: skip
    return tuple(found)


def _longest(*times: float) -> float:
    """Return the longest of the times that are known."""
    return float(np.fmax.reduce(np.array(times)))


def _part(lasts: float, whole: float) -> float:
    """Return which part of its evidence a guardrail gathers in that time."""
    if not math.isfinite(whole):
        return 0.0
    return lasts / whole if math.isfinite(lasts) and whole > 0 else 1.0


def _sight(policy: Policy, guardrail: Guardrail, traffic: Traffic, weight: Weight) -> Sight:
    canary = traffic.requests.get(guardrail.name, 0.0) * weight
    compare = guardrail.compare
    if compare is None:
        raise ValueError(f"guardrail {guardrail.name!r} compares nothing")
    if isinstance(guardrail.sli, GaugeSli) or (
        isinstance(guardrail.sli, CountSli) and not (traffic.events.get(guardrail.name, 0.0) > 0)
    ):
        return _unknown(guardrail, canary)
    growth = {RatioSli: _ratio, CountSli: _count}.get(type(guardrail.sli), _latency)
    worse, healthy, sample = growth(guardrail.name, compare, traffic, weight)
    # Rollback evidence is the average over guardrails: one alone must reach their number times as much.
    alpha = policy.risk.false_rollback / len(policy.participating)
    wanted = requests_needed(worse, alpha=alpha)
    promote = requests_needed(healthy, alpha=policy.risk.false_promotion)
    asked, users = guardrail.min_requests, policy.users_of(guardrail)
    default = float(requests_needed(sample, alpha=alpha)[0]) * policy.dispersion(guardrail)
    return Sight(
        guardrail=guardrail.name,
        worse=tuple(_seen(float(one), canary, users) for one in wanted),
        promote=_seen(float(promote[0]), canary, users),
        sample=_time(default if asked is None else float(asked), canary),
    )


def _unknown(guardrail: Guardrail, canary: float) -> Sight:
    """Return what is known of a guardrail whose evidence cannot be forecast: when its sample is there."""
    gauge, asked = isinstance(guardrail.sli, GaugeSli), guardrail.min_requests
    sample = Seconds(math.nan) if not gauge or asked is not None else Seconds(0.0)
    if asked is not None and not gauge:
        sample = _time(float(asked), canary)
    nothing = Seconds(math.nan)
    return Sight(guardrail=guardrail.name, worse=(nothing,) * len(WORSE), promote=nothing, sample=sample)


def _time(requests: float, rate: float) -> Seconds:
    return Seconds(requests / rate if rate > 0 else math.inf)


def _seen(requests: float, rate: float, users: Users | None) -> Seconds:
    """Return when as many requests were seen that are independent, or as telling as these."""
    alone = _time(requests, rate)
    return alone if users is None else Seconds(float(users.wait(np.array(alone))))


def _ratio(name: str, compare: Compare, traffic: Traffic, weight: Weight) -> tuple[Floats, Floats, Floats]:
    """Return growth per canary request: of harm at each of WORSE, of safety when healthy, of harm at twice promote."""
    stable = max(traffic.errors.get(name, 0.0), SMALLEST)
    rollback = compare.rollback.relative + compare.rollback.absolute / stable
    promote = compare.promote.relative + compare.promote.absolute / stable
    multiples = np.array([*WORSE, 2.0 * promote])
    rates = np.minimum(stable * multiples, 1.0 - 1e-6)
    share = np.full(3, float(weight))
    harm = ratio_growth(stable_rate=np.full(3, stable), canary_rate=rates, theta=np.full(3, rollback), weight=share)
    others = (1.0 - weight) / weight
    actual, allowed = np.array([weight]), np.array([promote / (promote + others)])
    healthy = (stable / weight) * binomial_divergence(actual, allowed)
    return harm[:2], np.where(promote > 1.0, healthy, 0.0), harm[2:]


def _count(name: str, compare: Compare, traffic: Traffic, weight: Weight) -> tuple[Floats, Floats, Floats]:
    """Return the same for events: too many by a factor; safety is the slower of not too many and not too few."""
    rate, share = traffic.events[name], np.full(3, float(weight))
    stable = np.full(3, rate)
    rates = rate * np.array([*WORSE, 2.0 * compare.promote.relative])
    harm = ratio_growth(
        stable_rate=stable, canary_rate=rates, theta=np.full(3, compare.rollback.relative), weight=share
    )  # fmt: skip
    actual, others = np.array([weight]), (1.0 - weight) / weight
    margins = (compare.promote.relative, 1.0 / compare.promote.relative)
    healthy = min(
        float((rate / weight) * binomial_divergence(actual, np.array([margin / (margin + others)]))[0])
        for margin in margins
    )  # fmt: skip
    return harm[:2], np.array([healthy]), harm[2:]


def _latency(name: str, compare: Compare, traffic: Traffic, weight: Weight) -> tuple[Floats, Floats, Floats]:
    """Return the same for latencies: all requests slower by a factor; safety is the slower of scale and tail."""
    if name not in traffic.buckets:
        return np.zeros(2), np.zeros(1), np.zeros(1)
    bounds, counts = traffic.buckets[name]
    stable, share = np.array([counts], np.float64), np.array([float(weight)])
    rollback = _test(bounds, compare.rollback.relative, compare.tail_rollback)
    slower = (*WORSE, 2.0 * compare.promote.relative)
    harm = [latency_growth(rollback, stable, scale=scale, weight=share)[0] for scale in slower]
    nulls = (_test(bounds, compare.promote.relative, Ratio(0.0)), _test(bounds, 1.0, compare.tail_promote))
    healthy = min(float(latency_growth(null, stable, scale=1.0, weight=share)[0]) for null in nulls)
    return np.array(harm[:2]), np.array([healthy]), np.array(harm[2:])


def _test(bounds: tuple[float, ...], relative: float, tail: Ratio) -> LatencyTest:
    return LatencyTest(bounds=bounds, relative=relative, tail=tail, promote_relative=1.5, promote_tail=0.003)
