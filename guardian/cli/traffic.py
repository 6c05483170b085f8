"""Today's traffic for `guardian plan`: from flags, or measured by the environment's Prometheus."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from msgspec.structs import replace

from guardian.adapters._http import Login
from guardian.adapters._past import Line
from guardian.adapters._selectors import equal, parse_selector
from guardian.adapters.metrics.history import PrometheusHistory
from guardian.cli.spread import Spread
from guardian.config.settings import Metrics
from guardian.core.foresight import Buckets, Traffic
from guardian.core.model import Instant, Seconds
from guardian.core.policy import CountSli, GaugeSli, Guardrail, HistogramSli, Policy, RatioSli

WINDOW: Final = "30m"
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)
"""Upper bounds of the buckets that Prometheus' client libraries have by default."""
SPREAD: Final = 0.8
"""Standard deviation of the logarithm of an assumed latency: p95 is 3.7 times the median."""
_SAMPLE: Final = 1e6
ASSUMED_DIFFERENCE: Final = 0.1
"""Lasting spread of the logarithm between equal pods: 0.105 of latencies in production (docs/statistics.md)."""
ASSUMED_NOISE: Final = 0.05
"""Standard deviation of a gauge's reading around its pod's level, in units of the level."""


def assumed_buckets(p95: float) -> Buckets:
    """Return log-normal latencies with this 95th percentile, in seconds."""
    median = p95 / math.exp(1.645 * SPREAD)
    below = [_below(bound, median) for bound in BOUNDS]
    counts = [(after - before) * _SAMPLE for before, after in zip([0.0, *below], below, strict=False)]
    return BOUNDS, tuple(counts)


def _below(bound: float, median: float) -> float:
    if math.isinf(bound):
        return 1.0
    return 0.5 * (1.0 + math.erf(math.log(bound / median) / (SPREAD * math.sqrt(2.0))))


def from_flags(
    policy: Policy, *, rps: float, error_rate: float, p95: float | None, pods: int, canary_pods: int, differ: float
) -> Traffic:  # fmt: skip
    """Return the same traffic for every guardrail; latencies are log-normal around p95 or the objective's target.

    differ: lasting standard deviation of the logarithm of what pods do.
    """
    requests, errors, buckets, noise = {}, {}, {}, {}
    for guardrail in policy.participating:
        if isinstance(guardrail.sli, GaugeSli):
            noise[guardrail.name] = ASSUMED_NOISE
        if not isinstance(guardrail.sli, GaugeSli):
            requests[guardrail.name] = rps
        if isinstance(guardrail.sli, RatioSli):
            errors[guardrail.name] = error_rate
        elif isinstance(guardrail.sli, HistogramSli):
            buckets[guardrail.name] = assumed_buckets(p95 or _target(guardrail))
    return Traffic(
        requests=requests, errors=errors, buckets=buckets, noise=noise, pods=pods, canary_pods=canary_pods,
        differ={guardrail.name: differ for guardrail in policy.participating},
    )  # fmt: skip


def _target(guardrail: Guardrail) -> float:
    return guardrail.objective.target if guardrail.objective is not None else 0.5


def measured(
    policy: Policy, service: str, metrics: Metrics, *, pods: int, canary_pods: int, differ: float | None
) -> Traffic:  # fmt: skip
    """Return the mean of the last 30 minutes, and how much stable's pods differ, as far as it can be learnt.

    pods, canary_pods: 0: as measured, as the policy says. differ: instead of what is measured; it is not in
    `Traffic.differ` where neither is known. Raises Unavailable, Refused; PolicyError for a bad selector.
    """
    return asyncio.run(_with_pods(policy, service, metrics, pods, canary_pods, differ))


async def _with_pods(
    policy: Policy, service: str, metrics: Metrics, pods: int, canary_pods: int, differ: float | None
) -> Traffic:  # fmt: skip
    history, now = history_of(metrics), Instant(time.time())
    traffic = await _measured(history, policy, service, metrics.labels, now)
    spread = Spread(
        history=history, policy=policy, service=service, everywhere=metrics.labels,
        scrape=Seconds(metrics.scrape_interval),
    )  # fmt: skip
    found = {
        guardrail.name: await spread.learnt(guardrail, traffic.buckets.get(guardrail.name, ((), ()))[0], now)
        for guardrail in policy.participating
    }
    between = {name: learnt.differ if differ is None else differ for name, (learnt, _) in found.items()}
    return replace(
        traffic, pods=pods, canary_pods=canary_pods, stable_pods=max((count for _, count in found.values()), default=0),
        differ={name: known for name, known in between.items() if known is not None},
        noise={name: learnt.noise for name, (learnt, _) in found.items() if learnt.noise is not None},
    )  # fmt: skip


def history_of(metrics: Metrics) -> PrometheusHistory:
    """Return a way to ask the environment's Prometheus with PromQL."""
    login = Login(
        token=metrics.token.read if metrics.token else None,
        username=metrics.username,
        password=metrics.password.read if metrics.password else None,
    )
    return PrometheusHistory(url=metrics.url or "", login=login, timeout=Seconds(metrics.timeout))


async def _measured(
    history: PrometheusHistory, policy: Policy, service: str, everywhere: Mapping[str, str], now: Instant
) -> Traffic:
    requests: dict[str, float] = {}
    errors: dict[str, float] = {}
    buckets: dict[str, Buckets] = {}
    events: dict[str, float] = {}
    others = [policy.exposing] if policy.exposing is not None and policy.exposing.compare is None else []
    for guardrail in (*policy.participating, *others):
        sli = guardrail.sli
        if isinstance(sli, RatioSli):
            total = await history.query(f"sum({_rate(sli.total, policy, service, everywhere)})", now)
            bad = await history.query(f"sum({_rate(sli.bad, policy, service, everywhere)})", now)
            requests[guardrail.name] = _sum(total)
            errors[guardrail.name] = _sum(bad) / _sum(total) if _sum(total) > 0 else 0.0
        elif isinstance(sli, HistogramSli):
            found = await history.query(f"sum by (le) ({_rate(sli.buckets, policy, service, everywhere)})", now)
            if found:
                buckets[guardrail.name], requests[guardrail.name] = _buckets(found)
        elif isinstance(sli, CountSli):
            counted = await history.query(f"sum({_rate(sli.events, policy, service, everywhere)})", now)
            events[guardrail.name] = _sum(counted)
    served = requests.get(policy.exposing.name, 0.0) if policy.exposing is not None else 1.0
    return Traffic(
        requests=requests | dict.fromkeys(events, served), errors=errors, buckets=buckets,
        events={name: rate / served for name, rate in events.items() if served > 0},
    )  # fmt: skip


def _rate(selector: str, policy: Policy, service: str, everywhere: Mapping[str, str]) -> str:
    """Return the rate of a selector, narrowed to the service as measuring does; good enough for a forecast only."""
    wanted = parse_selector(selector)
    more = [equal(label, value) for label, value in everywhere.items() if not wanted.constrains(label)]
    if policy.labels.service and not wanted.constrains(policy.labels.service):
        more.append(equal(policy.labels.service, service))
    return f"rate({wanted.plus(more)}[{WINDOW}])"


def _sum(lines: tuple[Line, ...]) -> float:
    return float(sum(line.value[-1] for line in lines if math.isfinite(line.value[-1])))


def _buckets(lines: tuple[Line, ...]) -> tuple[Buckets, float]:
    """Return requests per bucket, scaled to a large sample, and requests a second."""
    cumulative = sorted((float(line.labels["le"]), float(line.value[-1])) for line in lines if "le" in line.labels)
    total = cumulative[-1][1]
    below = [0.0, *(rate for _, rate in cumulative)]
    counts = [max(after - before, 0.0) for before, after in pairwise(below)]
    scale = _SAMPLE / total if total > 0 else 0.0
    return (tuple(bound for bound, _ in cumulative), tuple(count * scale for count in counts)), total
