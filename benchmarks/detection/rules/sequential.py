"""The rule of experiment platforms (GrowthBook; Statsig and LaunchDarkly are alike): a confidence sequence of the lift.

Source: growthbook/growthbook packages/stats/gbstats/frequentist/tests.py: TTest (relative lift, delta method),
sequential_rho (equation 161) and sequential_interval_halfwidth (equation 9 of Waudby-Smith et al. 2023, arXiv
2103.06476v7), tuning parameter 5000; docs.growthbook.io/features/safe-rollouts (a guardrail fails when it is
significantly worse; safe to ship when none failed over the monitored time). Their units are users, here requests; their
looks are hours apart, here a minute, which a confidence sequence allows and which makes it quicker than it is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.detection.rules.base import Calls, Watch, at_the_end, first
from benchmarks.detection.rules.moments import Moments, moments
from benchmarks.detection.streams import Floats

LOOK: Final = 60.0


def rho(alpha: float, tuning: float) -> float:
    """Mixing parameter for which the sequence is tightest near `tuning` observations. Source: equation 161."""
    return float(np.sqrt((-2.0 * np.log(alpha) + np.log(-2.0 * np.log(alpha) + 1.0)) / tuning))


def half_width(variance: Floats, n: Floats, *, alpha: float, tuning: float) -> Floats:
    """Half the width of the two-sided sequence. variance: of one observation; n: observations. Source: equation 9."""
    mixed = n * rho(alpha, tuning) ** 2
    return np.asarray(np.sqrt(variance * 2.0 * (mixed + 1.0) * np.log(np.sqrt(mixed + 1.0) / alpha) / (n * mixed)))


def lift(found: Moments) -> tuple[Floats, Floats, Floats]:
    """Relative lift of the canary, its variance, and all observations; each (runs, looks), NaN without a baseline."""
    (n, mean, variance), (other, usual, spread) = found.sides()
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = (mean - usual) / usual
        uncertain = variance / (usual**2 * n) + spread * mean**2 / (usual**4 * other)
    return np.asarray(relative), np.asarray(uncertain), n + other


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequential:
    """Rolled back when the sequence for the lift lies wholly above zero."""

    name: str = "growthbook"
    source: str = "gbstats/frequentist/tests.py (Waudby-Smith et al. 2023, equations 9 and 161), docs: safe rollouts"
    parameters: str = (
        "every 60 s since the start; lower limit of the two-sided 98 % sequence for the relative lift above 0; "
        "tuning parameter 5000; promoted at the end"
    )
    tuning: float = 5000.0

    def judge(self, watch: Watch) -> Calls:
        """Look every minute."""
        tracks = watch.tracks
        back = np.full(tracks.runs, np.inf)
        for signal in watch.signals:
            found = moments(tracks, signal, every=LOOK)
            relative, uncertain, n = lift(found)
            with np.errstate(invalid="ignore", divide="ignore"):
                lower = relative - half_width(uncertain * n, n, alpha=2.0 * watch.alpha, tuning=self.tuning)
            back = np.minimum(back, first(found.at, (lower > 0.0) & (uncertain > 0.0)))
        return at_the_end(tracks.length, rolled_back=back)
