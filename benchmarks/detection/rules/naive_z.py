"""The test of a textbook, used at every look: what a home-grown gate often is.

Source: two-proportion z test with pooled variance (Fleiss, Levin and Paik 2003, chapter 3), Welch's for latency means.
Its level holds for one look that was planned beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from benchmarks.detection.rules.base import Calls, Signal, Watch, at_the_end, first
from benchmarks.detection.rules.moments import moments


@dataclass(frozen=True, slots=True, kw_only=True)
class NaiveZ:
    """One-sided, against "no difference", every tick."""

    name: str = "z test"
    source: str = "Fleiss, Levin and Paik 2003, chapter 3 (pooled z); Welch 1947 (latency means)"
    parameters: str = "every tick since the start; one-sided at the policy's risk (1 %); promoted at the end"

    def judge(self, watch: Watch) -> Calls:
        """Roll back at the first look that is significant."""
        tracks, bound = watch.tracks, float(norm.isf(watch.alpha))
        back = np.full(tracks.runs, np.inf)
        for signal in watch.signals:
            found = moments(tracks, signal, every=tracks.tick)
            (n, mean, variance), (other, usual, spread) = found.sides()
            with np.errstate(invalid="ignore", divide="ignore"):
                if signal is Signal.ERRORS:
                    pooled = (n * mean + other * usual) / (n + other)
                    variance = spread = pooled * (1.0 - pooled)
                z = (mean - usual) / np.sqrt(variance / n + spread / other)
            back = np.minimum(back, first(found.at, z > bound))
        return at_the_end(tracks.length, rolled_back=back)
