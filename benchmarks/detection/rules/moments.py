"""Means and variances of both tracks since the release began: what the tests on means have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.detection.rules.base import Signal
from benchmarks.detection.streams import BOUNDS, Floats
from benchmarks.detection.tracks import CANARY, STABLE, Tracks


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Of single requests, (runs, looks, 2): how many, their mean, their variance. at: (looks,). NaN: no requests."""

    at: Floats
    n: Floats
    mean: Floats
    variance: Floats

    def sides(self) -> tuple[tuple[Floats, Floats, Floats], tuple[Floats, Floats, Floats]]:
        """n, mean, variance of the canary, then of stable; each (runs, looks)."""
        parts = (self.n, self.mean, self.variance)
        n, mean, variance = (part[:, :, CANARY] for part in parts)
        other, usual, spread = (part[:, :, STABLE] for part in parts)
        return (n, mean, variance), (other, usual, spread)


def middles() -> Floats:
    """A latency for each bucket: the geometric middle, half the first bound, twice the last."""
    bounds = np.array(BOUNDS[:-1])
    return np.concatenate(([bounds[0] / 2.0], np.sqrt(bounds[:-1] * bounds[1:]), [bounds[-1] * 2.0]))


def moments(tracks: Tracks, signal: Signal, *, every: float) -> Moments:
    """Cumulated from the first canary traffic on. Errors: 0 or 1 a request; latency: its bucket's middle, seconds."""
    window = tracks.windows(every=every)
    with np.errstate(invalid="ignore", divide="ignore"):
        if signal is Signal.ERRORS:
            mean = window.rate
            return Moments(at=window.at, n=window.requests, mean=mean, variance=mean * (1.0 - mean))
        if window.buckets is None:
            raise ValueError("these streams have no histograms")
        n, value = window.buckets.sum(axis=-1), middles()
        mean = window.buckets @ value / n
        return Moments(at=window.at, n=n, mean=mean, variance=window.buckets @ value**2 / n - mean**2)
