"""Streams whose noise is real although their requests are drawn: machines of measured speed, and measured arrivals.

The lottery of fresh machines and the bursts of production traffic cannot be drawn from a formula; errors and latencies,
which those files do not have, are drawn around them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from benchmarks.detection.streams import Floats, Situation, Streams, always, bucket_shares

OLD_SPREAD: Final = 0.005
"""Relative sd between long-lived machines: they agree within half a per cent (README of the data)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Which pods run on fresh machines. slower: times as slow as stable the new version truly is.

    told: whether our policy says so where the canary's are fresh and stable's are not (`fresh_pods`). control: fresh
    pods of the old version that the canary is compared with instead. generation: times as slow as stable's machines
    are those that fresh pods get now.
    """

    canary: int
    stable: int
    fresh_stable: bool
    control: int = 0
    generation: float = 1.0
    slower: float = 1.0
    told: bool = True


def machine_streams(fleet: Fleet, kinds: list[Floats], *, runs: int, seed: int) -> Streams:
    """Runs of one fleet: each draws one kind of machine, and its fresh pods from that kind's measured speeds.

    kinds: operations per second of every measured machine of a kind. Latency is as many times the usual one as the
    machine is slower than the median of its kind.
    """
    rng = np.random.default_rng(seed)
    situation = Situation(
        latency=True, canary_pods=fleet.canary, stable_pods=fleet.stable, control_pods=fleet.control,
        slower=always(fleet.slower),
    )  # fmt: skip
    fresh, pods = fleet.canary + fleet.control, len(situation.tracks)
    scale = np.empty((runs, pods))
    for run, number in enumerate(rng.integers(0, len(kinds), runs)):
        speed = kinds[number]
        scale[run] = np.median(speed) / rng.choice(speed, pods, replace=False)
    if not fleet.fresh_stable:
        scale[:, fresh:] = np.exp(rng.standard_normal((runs, fleet.stable)) * OLD_SPREAD)
    scale[:, :fresh] *= fleet.generation
    scale[:, : fleet.canary] *= fleet.slower
    times, young = situation.times, np.arange(pods) < fresh
    each = np.where(times > 0, 0.1 / fleet.canary, 0.0)[:, None]  # a control pod has a canary pod's share
    load = situation.rps * situation.tick * np.where(young, each, (1.0 - fresh * each) / fleet.stable)
    requests = rng.poisson(np.broadcast_to(load, (runs, *load.shape))).astype(np.float64)
    shares = np.broadcast_to(bucket_shares(scale)[:, None], (*requests.shape, bucket_shares(scale).shape[-1]))
    buckets = rng.multinomial(requests.astype(np.int64), shares).astype(np.float64)
    present = np.broadcast_to(~(young & (times <= 0)[:, None]), requests.shape).copy()
    return Streams(
        situation=situation, requests=requests, bad=np.zeros_like(requests), buckets=buckets, present=present
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Measured arrivals per tick, shared among pods at random; errors are drawn at a fixed rate."""

    counts: Floats
    tick: float
    base: float = 0.01
    canary: int = 2
    stable: int = 6
    history: float = field(default=1200.0)


def arrival_streams(arrivals: Arrivals, *, runs: int, seed: int) -> Streams:
    """Runs on the same arrivals: what differs between runs is who answered, and what failed."""
    rng = np.random.default_rng(seed)
    length = len(arrivals.counts) * arrivals.tick - arrivals.history
    situation = Situation(
        tick=arrivals.tick, history=arrivals.history, length=length, base=arrivals.base,
        canary_pods=arrivals.canary, stable_pods=arrivals.stable,
    )  # fmt: skip
    times, canary = situation.times, situation.canary
    weight = np.where(times > 0, 0.1, 0.0)[:, None]
    chance = np.where(canary, weight / arrivals.canary, (1.0 - weight) / arrivals.stable)
    total = arrivals.counts[: len(times)].astype(np.int64)
    requests = rng.multinomial(
        np.broadcast_to(total, (runs, len(total))), np.broadcast_to(chance, (runs, *chance.shape))
    )
    bad = rng.binomial(requests, arrivals.base).astype(np.float64)
    present = np.broadcast_to(~(canary[None, :] & (times <= 0)[:, None]), requests.shape).copy()
    return Streams(situation=situation, requests=requests.astype(np.float64), bad=bad, buckets=None, present=present)
