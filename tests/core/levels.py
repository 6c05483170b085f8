"""Stories with gauges and counts: the same pods told as raw samples, as a running rollout meets them, and as a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from guardian.core.fleet import Fleet
from guardian.core.looks import Look, Observed, Part, SeriesKey
from guardian.core.model import Instant, Ratio, RolloutId, Seconds, Track
from guardian.core.policy import Compare, CountSli, GaugeSli, Guardrail, Margin, Policy, Risk
from guardian.core.samples import Batch
from tests.builders import policy

R = RolloutId("r")
ZERO = 1_750_000_000.0
"""Sample time of the canary's first traffic."""
MARGINS = Compare(rollback=Margin(relative=1.1), promote=Margin(relative=1.5))
MEMORY = Guardrail(name="memory", sli=GaugeSli(value="memory_bytes"), compare=MARGINS)
FREE = Guardrail(name="memory", sli=GaugeSli(value="free_bytes", worse="below"), compare=MARGINS)
ORDERS = Guardrail(name="orders", sli=CountSli(events="orders_total"), compare=MARGINS)
RISK = Risk(false_rollback=Ratio(0.01), false_promotion=Ratio(0.05), earliest_promotion=Seconds(300.0))
Sample = tuple[SeriesKey, float, float]
Value = Callable[[float, bool, np.random.Generator], float]
METRICS = ("errors", "memory", "orders")


def by(*guardrails: Guardrail) -> Policy:
    """A policy of these guardrails."""
    return replace(policy(), guardrails=guardrails, risk=RISK)


def level(worse: float, *, leak: float = 0.0) -> Value:
    """Readings around 1e9, the canary's `worse` times as high and growing by `leak` of it an hour."""
    return lambda t, canary, random: (
        1e9 * (random.normal(1.0, 0.02) + (worse - 1.0 + leak * t / 3600.0 if canary else 0.0))
    )


def events(worse: float) -> Value:
    """About 20 orders a tick and pod."""
    return lambda _, canary, random: float(random.poisson(20.0 * (worse if canary else 1.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Scrapes every 10 s of two canary and four stable pods; the canary's begin at 0. named: whose orders they are."""

    memory: Value = field(default_factory=lambda: level(1.0))
    orders: Value = field(default_factory=lambda: events(1.0))
    named: bool = True
    history: int = 180
    lasts: int = 90
    seed: int = 3

    def scrapes(self) -> Iterable[tuple[float, bool, str, float, float, float, float]]:
        """(t, canary, pod, requests, bad, level, orders) since the scrape before; a pod's first one counts nothing."""
        random = np.random.default_rng(self.seed)
        for tick in range(-self.history, self.lasts + 1):
            for number in range(6):
                canary, t = number < 2, 10.0 * tick
                if canary and tick < 0:
                    continue
                asked = float(random.poisson(400.0))
                values = (random.binomial(int(asked), 0.01), self.memory(t, canary, random))
                yield t, canary, f"p{number}", asked, float(values[0]), values[1], self.orders(t, canary, random)

    def _worker(self, pod: str) -> str:
        return pod if self.named else f"worker-{pod}"

    def samples(self, rollout: RolloutId = R) -> list[Sample]:
        """Raw samples in the order of time: counters since each process began, levels as they are."""
        shown: dict[tuple[str, str], float] = {}
        found: list[Sample] = []
        for t, canary, pod, asked, bad, value, sold in self.scrapes():
            parts = (
                ("errors", pod, Part.TOTAL, asked), ("errors", pod, Part.BAD, bad), ("memory", pod, Part.VALUE, value),
                ("orders", self._worker(pod), Part.COUNT, sold),
            )  # fmt: skip
            for guardrail, name, part, new in parts:
                shown[name, part] = new if part.level else shown.get((name, part), 1000.0) + new
                key = SeriesKey(
                    rollout=rollout, guardrail=guardrail, track=Track.CANARY if canary else Track.STABLE, pod=name,
                    part=part,
                )  # fmt: skip
                found.append((key, ZERO + t, shown[name, part]))
        return found

    def batch(self) -> tuple[Batch, list[str]]:
        """The same as rows of a samples file, and the names of its pods."""
        names: dict[str, int] = {}
        seen: set[tuple[bool, str]] = set()
        rows: list[tuple[float, ...]] = []
        for t, canary, pod, asked, bad, value, sold in self.scrapes():
            first = (canary, pod) not in seen
            seen.add((canary, pod))
            at, who = (t, 0.0 if first else 10.0, float(canary)), names.setdefault(pod, len(names))
            works = names.setdefault(self._worker(pod), len(names))
            rows.append((*at, who, 0, asked, bad, math.nan))
            if not canary or t > 0:  # before its first traffic a canary's level says nothing
                rows.append((*at, who, 1, math.nan, math.nan, value))
            rows.append((*at, works, 2, math.nan, math.nan, sold))
        time, seconds, canary_, pod_, metric, requests, bad_, value_ = np.array(rows).T
        nothing = np.full(len(rows), math.nan)
        return Batch(
            rollout=np.zeros(len(rows), dtype=np.int64), metric=metric.astype(np.int64), pod=pod_.astype(np.int64),
            stratum=np.zeros(len(rows), dtype=np.int64),
            track=np.where(canary_ > 0, Track.CANARY.code, Track.STABLE.code),
            time=time, seconds=seconds, requests=requests, bad=bad_, bound=nothing,
            count=nothing, value=value_,
        ), list(names)  # fmt: skip


def opened(rules: Policy) -> Fleet:
    """A fleet with R open."""
    fleet = Fleet()
    fleet.open(R, rules)
    return fleet


def observe(fleet: Fleet, samples: Iterable[Sample]) -> None:
    """Hand samples over, in the order given."""
    given = list(samples)
    if given:
        fleet.observe(
            Observed(
                series=np.array([fleet.series(key) for key, _, _ in given]),
                time=np.array([at for _, at, _ in given]),
                value=np.array([value for _, _, value in given]),
            )
        )


def look(fleet: Fleet, now: float = ZERO + 1e5) -> Look:
    """How R stands."""
    return fleet.look([R], now=Instant(now))[R]


def told(rules: Policy, samples: Iterable[Sample]) -> Look:
    """How R stands after these samples, taken in one look."""
    fleet = opened(rules)
    observe(fleet, samples)
    return look(fleet)
