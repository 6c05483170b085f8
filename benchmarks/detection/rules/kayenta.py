"""The rule of Spinnaker's Kayenta: Mann-Whitney on one-minute points of canary and baseline, and a score.

Source: simulator/gates/mann_whitney.py; docs/canary-config.md at 0635fe0 and Spinnaker's canary stage (interval,
marginal 50, pass 75).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.detection.rules.base import Calls, Signal, Watch, at_the_end
from benchmarks.detection.streams import Floats
from benchmarks.detection.tracks import CANARY, STABLE
from simulator.gates.mann_whitney import MARGINAL, PASS, scores

POINT: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kayenta:
    """A growing window, judged every five minutes."""

    name: str = "kayenta"
    source: str = "spinnaker/kayenta 8a754a1: NetflixACAJudge-v1.0, MannWhitneyClassifier, WeightedSumScorer"
    parameters: str = (
        "one-minute points, every 5 min since the start; errors (NaN replaced by 0), p50 and p95; direction increase; "
        "98 %, tolerance 0.25; score < 50 aborts, >= 75 at the end promotes"
    )
    interval: float = 300.0

    def judge(self, watch: Watch) -> Calls:
        """Judge all points so far at each interval; the last judgement decides."""
        tracks = watch.tracks
        points = tracks.windows(every=POINT, over=POINT)
        groups: list[list[Floats]] = []
        if Signal.ERRORS in watch.signals:
            groups.append([np.nan_to_num(points.rate)])
        if Signal.LATENCY in watch.signals:
            groups.append([points.quantile(0.5), points.quantile(0.95)])
        every = max(self.interval, tracks.tick)
        looks = np.arange(1, int(tracks.length / every + 1e-9) + 1) * every
        if not len(looks) or looks[-1] < tracks.length - 1e-6:
            looks = np.append(looks, tracks.length)
        back, score = np.full(tracks.runs, np.inf), np.full(tracks.runs, np.nan)
        for look in looks:
            until = int(np.searchsorted(points.at, look + 1e-6))
            pairs = [[(one[:, :until, CANARY], one[:, :until, STABLE]) for one in group] for group in groups]
            score = scores(pairs, required=True)
            wanted = MARGINAL if look < looks[-1] else PASS
            back = np.where(np.isinf(back) & (score < wanted), look, back)
        return at_the_end(tracks.length, rolled_back=back, passed=score >= PASS)
