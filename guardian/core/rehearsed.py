"""What a guardrail sees at a step with the pods there are: rehearsed rollouts in the place of foresight's formula.

It says when 80 % of the rehearsed rollouts had seen a change, and which change is the smallest that 80 % see within the
step's limit. How long a sample takes is a formula of the product, and stays one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from analysis.scoring import quantile_with_misses
from analysis.sequential.base import Floats, Test
from guardian.core.foresight import TAIL, WORSE, Sight, Traffic, forecast
from guardian.core.model import Seconds, Track, Weight
from guardian.core.policy import CountSli, GaugeSli, Guardrail, HistogramSli, Policy, RatioSli
from guardian.core.rehearsal import HEALTHY, Cast, Change, Stakes, rehearse
from guardian.core.roster import comparison
from guardian.core.scenes import Errors, Events, Latencies, Levels, Scene
from guardian.core.strategies import Step

RUNS: Final = 40
"""Rehearsed rollouts of each change: a share of 80 % is then known within 13 points."""
POWER: Final = 0.8
BEYOND: Final = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0)
"""Changes that are tried for the smallest, in multiples of the rollback margin."""
CLOSE: Final = 0.1
"""Such a change is not tried beside x1.5 and x2, if it differs by no more than this part."""
MOST_PODS: Final = 40
"""Pods of a track that are rehearsed. Without the rest a little less is seen, and a fleet of thousands has its plan."""
AT_ONCE: Final = 12_000
"""Pods of all rehearsed rollouts that are held in memory at once."""
LONGEST: Final = 2.0 * 86400.0
"""Seconds after which a rehearsal ends."""


def pods_at(policy: Policy, traffic: Traffic, weight: Weight) -> tuple[int, int]:
    """Return canary and stable pods at a weight; (0, 0) where pods are not known.

    The canary has what is told, else what its workload is told, else (a workload's default) as many as stable, else its
    part by the weight.
    """
    known = traffic.pods or traffic.stable_pods
    if not known:
        return 0, 0
    canary = traffic.canary_pods or _told(policy)
    if not canary and policy.workload is not None:
        canary = traffic.pods // 2 if traffic.pods else known
    if not canary:
        canary = min(max(round(weight * known), 1), max(traffic.pods - 1, 1) if traffic.pods else known)
    return canary, traffic.pods - canary if traffic.pods else known


def _told(policy: Policy) -> int:
    replicas = policy.workload.options.get("replicas") if policy.workload is not None else None
    return replicas if isinstance(replicas, int) else 0


class Rehearsals:
    """Sights of guardrails whose traffic says how much pods differ; the same ones for the same seed.

    heard: told 1 for each guardrail and step that is done.
    """

    def __init__(self, *, seed: int = 0, runs: int = RUNS, heard: Callable[[int], None] = lambda _: None) -> None:
        self._seed, self._runs, self._heard = seed, runs, heard

    def __call__(self, policy: Policy, guardrail: Guardrail, traffic: Traffic, step: Step) -> Sight:
        """Rehearse, or leave it at the formula where what it takes is not known."""
        formula = forecast(policy, guardrail, traffic, step)
        found = scene_of(guardrail, traffic, every=policy.interval)
        canary, stable = pods_at(policy, traffic, step.weight)
        rate = _rate(guardrail, traffic)
        if found is None or not canary or stable < 1 or guardrail.name not in traffic.differ or not rate > 0:
            return formula
        test, scene = found
        cast = Cast(
            canary=min(canary, MOST_PODS), stable=min(stable, MOST_PODS), differ=traffic.differ[guardrail.name],
            rate=rate, weight=float(step.weight), control=policy.baseline is Track.CONTROL,
        )  # fmt: skip
        changes = _changes(guardrail, traffic)
        stakes = Stakes(
            false_rollback=policy.risk_each, false_promotion=policy.risk.false_promotion, tick=policy.interval,
            history=policy.history, length=_length(formula, step), fresh=_fresh(guardrail),
            users=policy.users_of(guardrail),
        )  # fmt: skip
        random = np.random.default_rng(self._seed)
        each, asked = max(AT_ONCE // (len(changes) * len(cast.tracks)), 1), tuple(changes.values())
        parts = (min(each, self._runs - done) for done in range(0, self._runs, each))
        seen = np.concatenate(
            [rehearse(test, scene, cast, asked, stakes, runs=runs, random=random) for runs in parts], axis=1
        )
        self._heard(1)
        return _sight(formula, dict(zip(changes, seen, strict=True)), step.time_limit)


def scene_of(guardrail: Guardrail, traffic: Traffic, *, every: float) -> tuple[Test, Scene] | None:
    """Return a guardrail's test, and what draws its counts; None where the traffic does not say enough.

    every: seconds between two readings of a gauge.
    """
    name, sli = guardrail.name, guardrail.sli
    if isinstance(sli, HistogramSli):
        if name not in traffic.buckets:
            return None
        bounds, counts = traffic.buckets[name]
        return comparison(guardrail, bounds, factor=1.0), Latencies(bounds, counts)
    if isinstance(sli, RatioSli):
        scene: Scene | None = Errors(share=traffic.errors.get(name, 0.0))
    elif isinstance(sli, CountSli):
        scene = Events(each=traffic.events[name]) if traffic.events.get(name, 0.0) > 0 else None
    else:
        scene = Levels(noise=traffic.noise[name], every=every) if name in traffic.noise else None
    return None if scene is None else (comparison(guardrail, (), factor=1.0), scene)


def _rate(guardrail: Guardrail, traffic: Traffic) -> float:
    """Requests a second of both tracks; of gauges, which have none, 1."""
    return 1.0 if isinstance(guardrail.sli, GaugeSli) else traffic.requests.get(guardrail.name, 0.0)


def _fresh(guardrail: Guardrail) -> bool:
    return guardrail.compare is not None and guardrail.compare.fresh_pods


def _length(formula: Sight, step: Step) -> float:
    """Return how long to rehearse: the step's limit, and well beyond what equal pods would need."""
    known = [time for time in (*formula.worse, *formula.fewer, formula.promote) if math.isfinite(time)]
    return min(max(step.time_limit, 2.0 * max(known, default=0.0)), LONGEST)


Asked = tuple[str, float]
"""Kind of a change and its size as a multiple."""


def _changes(guardrail: Guardrail, traffic: Traffic) -> dict[Asked, Change]:
    """Return what is rehearsed."""
    compare, stable = guardrail.compare, traffic.errors.get(guardrail.name, 0.0)
    assert compare is not None  # noqa: S101  only those that compare have a sight
    margin = compare.rollback.relative
    if isinstance(guardrail.sli, RatioSli) and stable > 0:
        margin += compare.rollback.absolute / stable
    others = (margin * each for each in BEYOND)
    sizes = sorted([*WORSE, *(size for size in others if all(abs(size / each - 1.0) > CLOSE for each in WORSE))])
    if isinstance(guardrail.sli, RatioSli) and stable > 0:
        sizes = [size for size in sizes if size in WORSE or size * stable < 1.0]
    below = isinstance(guardrail.sli, GaugeSli) and guardrail.sli.worse == "below"
    found = {("healthy", 1.0): HEALTHY}
    found |= {("worse", size): Change(times=1.0 / size if below else size) for size in sizes}
    if isinstance(guardrail.sli, CountSli):
        found |= {("fewer", size): Change(times=1.0 / size) for size in sizes}
    if isinstance(guardrail.sli, GaugeSli):
        found |= {("growing", size): Change(times=1.0 / size if below else size, grows=True) for size in WORSE}
    if isinstance(guardrail.sli, HistogramSli):
        found["tail", TAIL[1]] = Change(times=TAIL[1], tail=TAIL[0])
    return found


def _sight(formula: Sight, seen: dict[Asked, Floats], limit: Seconds) -> Sight:
    def times(kind: str) -> tuple[Seconds, ...]:
        return tuple(_reached(seen[kind, size]) for size in WORSE if (kind, size) in seen)

    tail = seen.get(("tail", TAIL[1]))
    fewest = _smallest(seen, "fewer", limit) if ("fewer", WORSE[0]) in seen else None
    return msgspec.structs.replace(
        formula, worse=times("worse"), fewer=times("fewer"), growing=times("growing"),
        promote=_reached(seen["healthy", 1.0]), tail=None if tail is None else _reached(tail),
        smallest=_smallest(seen, "worse", limit), fewest=None if fewest is None else 1.0 / fewest,
    )  # fmt: skip


def _reached(seen: Floats) -> Seconds:
    return Seconds(quantile_with_misses(seen, POWER))


def _smallest(seen: dict[Asked, Floats], kind: str, limit: Seconds) -> float:
    """Return the smallest change that `POWER` of the runs see within the limit, between two that were tried; or inf."""
    sizes = np.array([size for each, size in seen if each == kind])
    power = np.maximum.accumulate([float((seen[kind, size] <= limit).mean()) for size in sizes.tolist()])
    enough = int(np.searchsorted(power, POWER))
    if enough == len(sizes):
        return math.inf
    if enough == 0:
        return float(sizes[0])
    part = (POWER - power[enough - 1]) / (power[enough] - power[enough - 1])
    low, high = np.log(sizes[enough - 1]), np.log(sizes[enough])
    return float(np.exp(low + part * (high - low)))


__all__ = ["POWER", "Rehearsals", "pods_at", "scene_of"]
