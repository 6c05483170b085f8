"""Argo Rollouts: a background AnalysisRun with the documented template, which aborts after too many failures.

Thresholds are raised to 1.25 times what the service's p95 was before, as somebody would who knows the service.
Source: argoproj/argo-rollouts, analysis/analysis.go read at c9dd7ea (`failed > failureLimit`, `consecutiveErrors >
consecutiveErrorLimit`, default 4, DefaultErrorRetryInterval 10 s), docs/features/analysis.md at 010ad55 (template
`success-rate`: `result[0] >= 0.95`, interval 60s, failureLimit 3). `result[0]` of an empty vector is an error; NaN is
not at least 0.95, so that no request at all is a failure.
"""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from guardian.core.model import Track
from simulator.gates.base import GO_ON, Look
from simulator.gates.view import View

INTERVAL: Final = 60.0
RANGE: Final = 300.0
SUCCESS: Final = 0.95
P95: Final = 0.5
USUAL: Final = 1.25
FAILURE_LIMIT: Final = 3
ERROR_LIMIT: Final = 4
METRICS: Final = ("success-rate", "p95")


class Argo:
    """State of one run: failed measurements of each metric, and query errors in a row."""

    name: ClassVar[str] = "argo"
    says: ClassVar[str] = "every 60 s over 5 min success >= 95 % and p95 < 500 ms (or 1.25 x the usual), failureLimit 3"
    alerts: ClassVar[bool] = False

    def __init__(self) -> None:
        self._due, self._failed, self._errors = INTERVAL, dict.fromkeys(METRICS, 0), 0

    def look(self, view: View, t: float) -> Look:
        """Measure when the interval is over, or 10 s after a query error."""
        if t < self._due and not self._errors:
            return GO_ON
        self._due = t + INTERVAL
        window = view.window(Track.CANARY, t, RANGE)
        if not window.seen:
            self._errors += 1
            return Look(back="consecutive errors") if self._errors > ERROR_LIMIT else GO_ON
        self._errors = 0
        slowest = float(np.fmax(P95, USUAL * view.usual(RANGE).quantile(0.95)))
        self._failed["success-rate"] += not 1.0 - window.rate >= SUCCESS
        self._failed["p95"] += not window.quantile(0.95) < slowest
        worst = max(METRICS, key=lambda metric: self._failed[metric])
        return Look(back=worst) if self._failed[worst] > FAILURE_LIMIT else GO_ON

    def last(self, view: View, t: float) -> str:  # noqa: ARG002  one signature for all gates
        """Steps pass by time."""
        return ""
