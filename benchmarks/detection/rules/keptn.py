"""The rule of Keptn's lighthouse: weighted scores of a window against the average of earlier windows.

Source: keptn/keptn lighthouse-service/event_handler/evaluate_sli_handler.go, read at bfb6edb (evaluateObjectives,
calculateScore, evaluateComparison: nothing to compare with passes, no value fails); keptn/spec
service_level_objective.md at 3546422 (several_results 3, avg, `<=+10%` and `<600`, warning `<=800`, total score pass
90 %, warning 75 %). It compares with the past, not with stable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.detection.rules.base import Calls, Signal, Watch, at_the_end
from benchmarks.detection.streams import Floats
from benchmarks.detection.tracks import CANARY, STABLE

EARLIER: Final = 3
PASS: Final = 90.0
WARNING: Final = 75.0
ERRORS: Final = (1.10, np.inf, 1.25, np.inf)
"""Times the average and absolute limit to pass, then to be warned of only; inf: no such criterion."""
LATENCY: Final = (1.10, 0.6, np.inf, 0.8)


def points(value: Floats, average: Floats, limits: tuple[float, float, float, float]) -> Floats:
    """1 for pass, 0.5 for warning, 0 for fail. value: (runs, looks), NaN: none; average: (runs,), NaN: none."""
    usual = np.where(np.isnan(average), np.inf, average)[:, None]

    def met(times: float, absolute: float) -> Floats:
        bound = usual if np.isfinite(times) else np.inf
        return np.where((value <= bound * (times if np.isfinite(times) else 1.0)) & (value <= absolute), 1.0, 0.0)

    return np.asarray(np.fmax(met(*limits[:2]), 0.5 * met(*limits[2:])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keptn:
    """An evaluation of every ten minutes."""

    name: str = "keptn"
    source: str = "keptn/keptn bfb6edb: lighthouse-service evaluate_sli_handler.go; keptn/spec 3546422"
    parameters: str = (
        "windows of 10 min against the average of three before the release; error rate and p95 <= +10 %, p95 < 0.6 s, "
        "warnings <= +25 % and <= 0.8 s; below 75 % of the score fails, 90 % at the end promotes"
    )
    window: float = 600.0

    def judge(self, watch: Watch) -> Calls:
        """Evaluate the canary's windows against stable's before the release."""
        tracks = watch.tracks
        span = min(self.window, tracks.length)
        now = tracks.windows(every=span, over=span)
        ends = np.asarray(-span * np.arange(EARLIER), dtype=np.float64)
        before = tracks.between(ends - span, ends)
        total = np.zeros(now.requests.shape[:2])
        for signal in watch.signals:
            errors = signal is Signal.ERRORS
            value = (now.rate if errors else now.quantile(0.95))[:, :, CANARY]
            past = (before.rate if errors else before.quantile(0.95))[:, :, STABLE]
            counted = ~np.isnan(past)
            average = np.where(counted, past, 0.0).sum(axis=1) / np.where(
                counted.any(axis=1), counted.sum(axis=1), np.nan
            )
            total += points(value, average, ERRORS if errors else LATENCY) * 100.0 / len(watch.signals)
        failed = total < WARNING
        back = np.where(failed.any(axis=1), now.at[failed.argmax(axis=1)], np.inf)
        return at_the_end(float(now.at[-1]), rolled_back=back, passed=total[:, -1] >= PASS)
