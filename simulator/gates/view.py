"""What a metric backend answers a gate: sums over the pods of one track, asked over trailing windows.

It reads what scrapes saw and nothing of the ground truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from guardian.core.looks import Ints
from guardian.core.model import Track
from simulator.topology import Flags, Group
from simulator.traffic import Floats
from simulator.world import World

FRESH: Final = 10.0
"""Seconds within which the newest sample must lie, or one scrape interval: an instant query finds nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Increases over a trailing window. seen: whether there is a fresh sample; buckets: (B,), not summed up."""

    seen: bool
    total: int
    bad: int
    buckets: Ints
    bounds: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Share of bad requests; NaN where there was none: 0 / 0."""
        return self.bad / self.total if self.total else math.nan

    def quantile(self, share: float) -> float:
        """Latency in seconds as histogram_quantile gives it; NaN without requests."""
        return quantile(self.buckets, self.bounds, share) if self.buckets.sum() else math.nan


class View:
    """Telemetry of one world, up to where it was played."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._usual: dict[float, Window] = {}

    def window(self, track: Track, t: float, seconds: float) -> Window:
        """Increases over `seconds` up to t, seconds after the shift; control pods stand for stable's."""
        topology = self._world.topology
        return self._over(topology.canary if track is Track.CANARY else topology.baseline, t, seconds)

    def usual(self, seconds: float) -> Window:
        """Increases of stable's pods over the last `seconds` before the traffic shift."""
        if seconds not in self._usual:  # the past does not change
            self._usual[seconds] = self._over(self._world.topology.stable, 0.0, seconds)
        return self._usual[seconds]

    def _over(self, group: Group, t: float, seconds: float) -> Window:
        world = self._world
        until = world.zero + t
        counts, seen = self._rows(group.slots, until - seconds - world.every, until)
        near = max(1, int(FRESH / world.every))
        total, bad, *buckets = increase(counts, seen).tolist()
        return Window(
            seen=bool(seen[-near:].any()), total=total, bad=bad, buckets=np.array(buckets, dtype=np.int64),
            bounds=world.spec.service.latency.bounds,
        )  # fmt: skip

    def _rows(self, slots: slice, since: float, until: float) -> tuple[Ints, Flags]:
        """Return counters (rounds, pods, columns) and what was scraped (rounds, pods) of rounds in (since, until]."""
        width = len(self._world.spec.service.latency.bounds) + 3
        counts = [np.empty((0, slots.stop - slots.start, width), np.int64)]
        seen = [np.empty((0, slots.stop - slots.start), np.bool_)]
        for one in reversed(self._world.rounds):
            end = one.time.max(axis=1)
            if end[-1] <= since:
                break
            rows = (end > since) & (end <= until)
            if one.time.shape[1] >= slots.stop:
                sums = np.stack((one.total[rows, slots], one.bad[rows, slots]), axis=-1)
                counts.append(np.concatenate((sums, one.buckets[rows, slots]), axis=-1))
                seen.append((one.seen & (self._world.arrivals(one)[0] <= until))[rows, slots])
        return np.concatenate(counts[::-1]), np.concatenate(seen[::-1])


def increase(counts: Ints, seen: Flags) -> Ints:
    """Return increases summed over pods, resets counted from 0; counts: (rounds, pods, columns)."""
    total = np.zeros(counts.shape[2], dtype=np.int64)
    for pod in range(counts.shape[1]):
        rows = counts[seen[:, pod], pod]
        steps = np.diff(rows, axis=0)
        fell = (steps[:, :1] < 0) if len(steps) else np.zeros((0, 1), np.bool_)
        total += np.where(fell, rows[1:], steps).sum(axis=0)
    return total


def quantile(buckets: Ints | Floats, bounds: tuple[float, ...], share: float) -> float:
    """Return a quantile as histogram_quantile does: linear within a bucket, the last bound beyond it."""
    summed = np.cumsum(buckets)
    rank = share * summed[-1]
    bucket = int(np.searchsorted(summed, rank))
    if bucket >= len(bounds):
        return bounds[-1]
    low, before = (bounds[bucket - 1], summed[bucket - 1]) if bucket else (0.0, 0.0)
    return float(low + (bounds[bucket] - low) * (rank - before) / max(buckets[bucket], 1.0))
