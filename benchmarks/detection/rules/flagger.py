"""The rule of Flagger: a check every minute; failed checks add up and are never taken back.

Source: fluxcd/flagger, pkg/controller/scheduler.go read at 0016895 (advanceCanary: rollback when `FailedChecks >=
threshold`, looked at before the next check, so one interval after the last failed one; runBlueGreen: iterations count
passed checks only), pkg/controller/scheduler_metrics.go at 06d3204 (no values found: the check failed), and
docs.flagger.app/usage/metrics (success rate at least 99 %, p99 at most 500 ms, interval 1m, threshold 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.detection.rules.base import Calls, Signal, Watch, first, limit
from benchmarks.detection.streams import Flags, Floats
from benchmarks.detection.tracks import CANARY, STABLE

INTERVAL: Final = 60.0
SUCCESS: Final = 0.99
P99: Final = 0.5
USUAL_P99: Final = 1.25
USUAL_ERRORS: Final = 2.0


def advanced(at: Floats, passed: Flags, *, threshold: int, iterations: int) -> Calls:
    """Call runs from their checks. at: (checks,); passed: (runs, checks).

    iterations: passed checks after which the next one that passes moves all traffic to the canary.
    """
    failed_before = np.cumsum(~passed, axis=1, dtype=np.int64) - ~passed
    passed_before = np.cumsum(passed, axis=1, dtype=np.int64) - passed
    back = first(at, failed_before >= threshold)
    all_traffic = first(at, (passed_before >= iterations) & passed)
    return Calls(
        rolled_back=np.where(back <= all_traffic, back, np.inf),
        promoted=np.where(all_traffic < back, all_traffic, np.inf),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagger:
    """Success rate and p99 over a minute, every minute."""

    name: str = "flagger"
    source: str = "fluxcd/flagger 0016895: pkg/controller/scheduler.go, scheduler_metrics.go; docs.flagger.app"
    parameters: str = (
        "every 60 s over 60 s: success >= 99 % (or twice history's error rate), p99 <= 0.5 s (or 1.25 x history's); "
        "threshold 5 failed checks; promoted after as many iterations as fit before the end"
    )
    threshold: int = 5

    def judge(self, watch: Watch) -> Calls:
        """Check every minute, over the last one."""
        tracks = watch.tracks
        window, history = tracks.windows(every=INTERVAL, over=INTERVAL), tracks.history
        passed = window.seen[:, :, CANARY].copy()
        if Signal.ERRORS in watch.signals:
            allowed = limit(1.0 - SUCCESS, history.rate[:, 0, STABLE], room=USUAL_ERRORS)
            passed &= window.rate[:, :, CANARY] <= allowed[:, None]
        if Signal.LATENCY in watch.signals:
            allowed = limit(P99, history.quantile(0.99)[:, 0, STABLE], room=USUAL_P99)
            passed &= window.quantile(0.99)[:, :, CANARY] <= allowed[:, None]
        iterations = max(len(window.at) - self.threshold - 1, (len(window.at) + 1) // 2)
        return advanced(window.at, passed, threshold=self.threshold, iterations=iterations)
