"""Streams as a metric backend shows them to a rule: both tracks summed over their pods, asked over trailing windows.

Where there are control pods, they are what a rule sees as stable from the canary's first traffic on.

It knows what a query answers, also when there is nothing to answer with; what follows from it is each rule's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.detection.streams import BOUNDS, Flags, Floats, Streams
from guardian.core.model import Track

CANARY: Final = 0
STABLE: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Sums over trailing windows, one per check. at: (checks,) seconds after the first canary traffic.

    requests, bad: (runs, checks, 2); buckets: (runs, checks, 2, B) or None; seen: whether any row was in the window.
    The third axis is CANARY, STABLE.
    """

    at: Floats
    requests: Floats
    bad: Floats
    buckets: Floats | None
    seen: Flags

    @property
    def rate(self) -> Floats:
        """Share of bad requests, (runs, checks, 2); NaN where there was no request: 0 / 0."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.bad / self.requests)

    def quantile(self, share: float) -> Floats:
        """Latency in seconds as Prometheus' histogram_quantile gives it, (runs, checks, 2); NaN without requests."""
        if self.buckets is None:
            raise ValueError("these streams have no histograms")
        return quantile(self.buckets, share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """Sums over the pods of each track. times: (ticks,) ends of the ticks, seconds after the first canary traffic.

    requests, bad: (runs, ticks, 2); buckets: (runs, ticks, 2, B) or None; seen: (runs, ticks, 2), a row was there.
    """

    tick: float
    times: Floats
    requests: Floats
    bad: Floats
    buckets: Floats | None
    seen: Flags

    @classmethod
    def of(cls, streams: Streams) -> Tracks:
        """Add up the pods."""
        situation, buckets = streams.situation, streams.buckets
        control, live = situation.on(Track.CONTROL), (situation.times > 0)[:, None]
        other = np.where(live, control, situation.on(Track.STABLE)) if control.any() else ~situation.canary
        sides = [np.broadcast_to(side, (len(situation.times), len(control))) for side in (situation.canary, other)]
        return cls(
            tick=situation.tick,
            times=situation.times,
            requests=np.stack([(streams.requests * side).sum(axis=2) for side in sides], axis=2),
            bad=np.stack([(streams.bad * side).sum(axis=2) for side in sides], axis=2),
            buckets=None
            if buckets is None
            else np.stack([(buckets * side[..., None]).sum(axis=2) for side in sides], axis=2),
            seen=np.stack([(streams.present & side).any(axis=2) for side in sides], axis=2),
        )

    @property
    def runs(self) -> int:
        """How many runs these are."""
        return len(self.requests)

    @property
    def length(self) -> float:
        """Seconds from the first canary traffic to the end."""
        return float(self.times[-1])

    def windows(self, *, every: float, over: float | None = None, after: float = 0.0) -> Window:
        """Ask every so many seconds (never more often than there are ticks) for the last `over` seconds.

        over: None: everything since `after`. after: the first window begins there.
        """
        every = max(every, self.tick)
        checks = after + every * np.arange(1.0, int((self.length - after) / every + 1e-9) + 1.0)
        return self.between(np.full(len(checks), after) if over is None else checks - max(over, self.tick), checks)

    def between(self, begin: Floats, end: Floats) -> Window:
        """Sums over rows in (begin, end], one window a pair."""
        first, last = (np.searchsorted(self.times, each + 1e-6, side="right") for each in (begin, end))

        def total(counts: Floats) -> Floats:
            summed = np.concatenate((np.zeros_like(counts[:, :1]), np.cumsum(counts, axis=1)), axis=1)
            return np.asarray(summed[:, last] - summed[:, first])

        return Window(
            at=end,
            requests=total(self.requests),
            bad=total(self.bad),
            buckets=None if self.buckets is None else total(self.buckets),
            seen=total(self.seen.astype(np.float64)) > 0,
        )

    @property
    def history(self) -> Window:
        """Everything before the first canary traffic, as one window."""
        return self.between(np.array([-np.inf]), np.array([0.0]))


def quantile(buckets: Floats, share: float) -> Floats:
    """Quantile of counts per bucket (..., B), linear within its bucket; NaN where there are no counts.

    In the last, unbounded bucket the answer is its lower bound.  Source: promql/quantile.go, bucketQuantile.
    """
    below = np.cumsum(buckets, axis=-1)
    rank = share * below[..., -1:]
    place = np.minimum((below < rank).sum(axis=-1, keepdims=True), len(BOUNDS) - 1)
    edges = np.concatenate(([0.0], BOUNDS))
    lower, upper = edges[place], edges[place + 1]
    inside = np.take_along_axis(buckets, place, axis=-1)
    before = np.take_along_axis(below, place, axis=-1) - inside
    with np.errstate(invalid="ignore", divide="ignore"):
        linear = lower + (upper - lower) * (rank - before) / inside
    found = np.where(np.isinf(upper), lower, linear)[..., 0]
    return np.asarray(np.where(below[..., -1] > 0, found, np.nan))
