"""How long each step of a policy needs, at a given traffic, to see a canary that is worse or to show that it is not.

A forecast by formula, for equal pods and for requests that are independent but for users who stick to a track
(analysis/users.py); it decides nothing. Pods that differ need more, and of gauges only pods tell: core/rehearsed.py
puts its own sights in the place of these. Beside `judge` on four pods (50 and 200 requests a second, both kinds) 80 %
of runs ended within 1.9 times the forecast.
Source: analysis.power (expected growth of evidence); CONTRACTS section 5 for what a step waits for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from analysis.power import TAIL_COST, binomial_divergence, latency_growth, ratio_growth, requests_needed
from analysis.sequential.latency import LatencyTest
from analysis.users import Users
from guardian.core.looks import Floats
from guardian.core.model import Ratio, Seconds, Track, Value, Weight
from guardian.core.policy import Compare, CountSli, GaugeSli, Guardrail, Policy, RatioSli, full
from guardian.core.strategies import Step

SMALLEST: Final = 1e-9
"""Stands in for an error share of 0, at which no error will ever be seen."""
WORSE: Final = (1.5, 2.0)
EVEN: Final = Weight(0.5)
"""Canary's share beside a control track: as many control pods as the canary's serve as much."""
TAIL: Final = (0.005, 6.0)
"""A tail that must be seen: share of requests, and how many times as long they take."""
Buckets = tuple[tuple[float, ...], tuple[float, ...]]
"""Upper bounds in seconds, the last one inf; requests per bucket."""


class Traffic(Value, frozen=True, kw_only=True):
    """What comes in: requests a second on both tracks together, stable's error share, stable's latency buckets.

    errors: guardrail -> share of bad events. buckets: guardrail -> (upper bounds in seconds, requests per bucket).
    events: guardrail -> events per request, of counts; where it is not known, neither is what they show.
    noise: guardrail -> standard deviation of a gauge's reading around its pod's level, in units of the level.
    pods: of both tracks together; 0: not known. stable_pods: of stable, where that is what is known. canary_pods: 0: as
    the policy's workload says, or by the weight. differ: guardrail -> lasting sd of the logarithm of what pods do.
    """

    requests: dict[str, float]
    errors: dict[str, float] = msgspec.field(default_factory=dict)
    buckets: dict[str, Buckets] = msgspec.field(default_factory=dict)
    events: dict[str, float] = msgspec.field(default_factory=dict)
    noise: dict[str, float] = msgspec.field(default_factory=dict)
    pods: int = 0
    stable_pods: int = 0
    canary_pods: int = 0
    differ: dict[str, float] = msgspec.field(default_factory=dict)


class Sight(Value, frozen=True, kw_only=True):
    """One guardrail at one step; times in seconds, inf where traffic of this kind never shows it, NaN: not known.

    worse: seconds to rollback evidence for a canary `WORSE` times as bad. promote: to the promote verdict of a
    healthy canary. sample: until the step has its `min_requests`. fewer: of counts, to a canary with 1 / `WORSE` times
    the events. growing: of gauges, to one that grows to `WORSE` times within an hour. tail: of histograms, to `TAIL`.
    smallest: change, as a multiple, that is seen within the step's limit, inf: none; fewest: the same of too few
    events, 0: none. None: not asked, which pods there are is not known.
    """

    guardrail: str
    worse: tuple[Seconds, ...]
    promote: Seconds
    sample: Seconds
    fewer: tuple[Seconds, ...] = ()
    growing: tuple[Seconds, ...] = ()
    tail: Seconds | None = None
    smallest: float | None = None
    fewest: float | None = None


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


Sights = Callable[[Policy, Guardrail, Traffic, Step], Sight]


def forecast(policy: Policy, guardrail: Guardrail, traffic: Traffic, step: Step) -> Sight:
    """Return what a guardrail sees at a step, by formula."""
    return _sight(policy, guardrail, traffic, step.weight)


def foresee(policy: Policy, traffic: Traffic, sights_of: Sights = forecast) -> tuple[StepForesight, ...]:
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
        sights = tuple(sights_of(policy, guardrail, traffic, step) for guardrail in policy.participating)
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
    part = weight if policy.baseline is Track.STABLE else EVEN  # what is compared is then canary and control alone
    found = growth(guardrail.name, compare, traffic, part)
    # Rollback evidence is the average over guardrails: one alone must reach their number times as much.
    alpha, users = policy.risk_each, policy.users_of(guardrail)
    worse, fewer, tail = (
        tuple(_seen(needed, canary, users) for needed in requests_needed(each, alpha=alpha).tolist())
        for each in (found.worse, found.fewer, found.tail)
    )
    promote = requests_needed(found.healthy, alpha=policy.risk.false_promotion)
    asked = guardrail.min_requests
    default = float(requests_needed(found.sample, alpha=policy.risk.false_rollback)[0]) * policy.dispersion(guardrail)
    return Sight(
        guardrail=guardrail.name, worse=worse, fewer=fewer, tail=tail[0] if tail else None,
        promote=_seen(float(promote[0]), canary, users),
        sample=_time(default if asked is None else float(asked), canary),
    )  # fmt: skip


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Growth:
    """Log evidence per canary request: of harm at each of `WORSE`, of a sample's, of safety if healthy.

    sample: of harm at twice the promote margin. fewer: of harm at each of 1 / `WORSE` times the events;
    tail: at `TAIL`; empty where that is not asked.
    """

    worse: Floats
    sample: Floats
    healthy: Floats
    fewer: Floats = field(default_factory=lambda: np.zeros(0))
    tail: Floats = field(default_factory=lambda: np.zeros(0))


def _ratio(name: str, compare: Compare, traffic: Traffic, weight: Weight) -> _Growth:
    stable = max(traffic.errors.get(name, 0.0), SMALLEST)
    rollback = compare.rollback.relative + compare.rollback.absolute / stable
    promote = compare.promote.relative + compare.promote.absolute / stable
    rates = np.minimum(stable * np.array([*WORSE, 2.0 * promote]), 1.0 - 1e-6)
    harm = _harm(stable, rates, rollback, weight)
    healthy = np.array([_shown(stable, promote, weight) if promote > 1.0 else 0.0])
    return _Growth(worse=harm[:2], sample=harm[2:], healthy=healthy)


def _count(name: str, compare: Compare, traffic: Traffic, weight: Weight) -> _Growth:
    """Too many, or too few by a factor; safety is the slower of not too many and not too few."""
    rate, margin, promote = traffic.events[name], compare.rollback.relative, compare.promote.relative
    harm = _harm(rate, rate * np.array([*WORSE, 2.0 * promote]), margin, weight)
    fewer = _harm(rate, rate / np.array(WORSE), min(1.0 / margin, 1.0 - 1e-9), weight)
    healthy = np.array([min(_shown(rate, edge, weight) for edge in (promote, 1.0 / promote))])
    return _Growth(worse=harm[:2], sample=harm[2:], healthy=healthy, fewer=fewer)


def _harm(stable: float, rates: Floats, theta: float, weight: Weight) -> Floats:
    """Growth of harm at each rate of the canary, against a margin as a multiple."""
    known = (np.full(len(rates), value) for value in (stable, theta, weight))
    return ratio_growth(canary_rate=rates, **dict(zip(("stable_rate", "theta", "weight"), known, strict=True)))


def _shown(rate: float, margin: float, weight: Weight) -> float:
    """Growth of safety when the canary does as stable, at a rate, against a margin as a multiple."""
    others = (1.0 - weight) / weight
    divergence = binomial_divergence(np.array([weight]), np.array([margin / (margin + others)]))
    return float((rate / weight) * divergence[0])


def _latency(name: str, compare: Compare, traffic: Traffic, weight: Weight) -> _Growth:
    """All requests slower by a factor; safety is the slower of scale and tail."""
    if name not in traffic.buckets:
        return _Growth(worse=np.zeros(2), sample=np.zeros(1), healthy=np.zeros(1), tail=np.zeros(1))
    bounds, counts = traffic.buckets[name]
    stable, part = np.array([counts], np.float64), np.array([float(weight)])
    rollback = _test(bounds, compare.rollback.relative, compare.tail_rollback)
    slower = (*WORSE, 2.0 * compare.promote.relative)
    harm = [latency_growth(rollback, stable, scale=scale, weight=part)[0] for scale in slower]
    nulls = (_test(bounds, compare.promote.relative, Ratio(0.0)), _test(bounds, 1.0, compare.tail_promote))
    healthy = min(float(latency_growth(null, stable, scale=1.0, weight=part)[0]) for null in nulls)
    share, times = TAIL
    tail = latency_growth(rollback, stable, scale=times, weight=part, share=share) / TAIL_COST
    return _Growth(worse=np.array(harm[:2]), sample=np.array(harm[2:]), healthy=np.array([healthy]), tail=tail)


def _test(bounds: tuple[float, ...], relative: float, tail: Ratio) -> LatencyTest:
    return LatencyTest(bounds=bounds, relative=relative, tail=tail, promote_relative=1.5, promote_tail=0.003)
