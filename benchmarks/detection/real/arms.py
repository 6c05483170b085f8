"""Puts points of real series side by side, as the streams that rules are given: one arm is the canary, one is stable.

Arms are groups, pods, or the same service at two times. Nothing is drawn at random here; machines.py does, where a file
has no errors or histograms of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import norm

from benchmarks.detection.real.reading import Point
from benchmarks.detection.streams import BOUNDS, Flags, Floats, Situation, Streams

SCORES: Final = tuple(float(norm.ppf(share)) for share in (0.5, 0.95, 0.99))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """One run: points per pod, on a time axis that begins with the first canary traffic at 0 (ends of intervals)."""

    canary: tuple[tuple[Point, ...], ...]
    stable: tuple[tuple[Point, ...], ...]


def shifted(points: Sequence[Point], by: float) -> tuple[Point, ...]:
    """The same points, later by so many seconds."""
    return tuple(
        Point(time=one.time + by, requests=one.requests, errors=one.errors, p50=one.p50, p95=one.p95, p99=one.p99)
        for one in points
    )


def between(points: Sequence[Point], begin: float, end: float) -> list[Point]:
    """Points with begin < time <= end."""
    return [one for one in points if begin < one.time <= end]


def streams(runs: Sequence[Arms], *, tick: float, history: float, length: float, latency: bool) -> Streams:
    """All runs as one batch. Points fall into the tick that their time ends; ticks without one were not scraped."""
    canaries, stables = len(runs[0].canary), len(runs[0].stable)
    merged = canaries == stables == 1
    situation = Situation(
        tick=tick,
        history=history,
        length=length,
        canary_pods=canaries,
        stable_pods=stables,
        latency=latency,
        merged=merged,
    )
    times = situation.times
    shape = (len(runs), len(times), canaries + stables)
    requests, bad, present = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.bool_)
    buckets = np.zeros((*shape, len(BOUNDS))) if latency else None
    for run, arms in enumerate(runs):
        for pod, points in enumerate((*arms.canary, *arms.stable)):
            _place(points, tick, times, (requests[run, :, pod], bad[run, :, pod], present[run, :, pod]),
                   None if buckets is None else buckets[run, :, pod])  # fmt: skip
    return Streams(situation=situation, requests=requests, bad=bad, buckets=buckets, present=present)


def _place(
    points: Sequence[Point], tick: float, times: Floats, counts: tuple[Floats, Floats, Flags], buckets: Floats | None
) -> None:
    requests, bad, present = counts
    for one in points:
        index = round((one.time - times[0]) / tick)
        if not 0 <= index < len(times):
            continue
        if buckets is not None and one.requests and np.isnan(one.p50):
            continue
        requests[index] += one.requests
        bad[index] += min(one.errors, one.requests)
        present[index] = True
        if buckets is not None:
            buckets[index] += histogram(one)


def histogram(one: Point) -> Floats:
    """Buckets of an interval of which only p50, p95 and p99 are known: (B,), whole numbers that add up to its requests.

    Log latency is taken as piecewise linear in the normal score through the three quantiles (two pieces, extended to
    both sides). A reconstruction: what lies beyond p99 is not measured.
    """
    if not one.requests:
        return np.zeros(len(BOUNDS))
    known = np.maximum.accumulate(np.maximum((one.p50, one.p95, one.p99), 1e-6))
    logs = np.log(known) + 1e-9 * np.arange(3)
    edges = np.log(np.array(BOUNDS[:-1]))
    first = (SCORES[1] - SCORES[0]) / (logs[1] - logs[0])
    last = (SCORES[2] - SCORES[1]) / (logs[2] - logs[1])
    score = np.where(edges <= logs[1], SCORES[0] + (edges - logs[0]) * first, SCORES[1] + (edges - logs[1]) * last)
    wanted = np.diff(norm.cdf(score), prepend=0.0, append=1.0) * one.requests
    whole = np.floor(wanted)
    rest = round(one.requests - whole.sum())
    whole[np.argsort(wanted - whole)[::-1][:rest]] += 1.0
    return np.asarray(whole)
