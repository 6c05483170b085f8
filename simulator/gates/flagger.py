"""Flagger: a check every minute; failed checks add up and are never taken back, and only passed ones move traffic.

Thresholds are raised to what the service's history needs, as somebody would who knows the service.
Source: fluxcd/flagger, pkg/controller/scheduler.go read at 0016895 (advanceCanary: rollback when `FailedChecks >=
threshold`, looked at before the next check), scheduler_metrics.go at 06d3204 (no values found: the check failed),
docs.flagger.app/usage/metrics (success rate at least 99 %, p99 at most 500 ms, interval 1m, threshold 5).
"""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from guardian.core.model import Track
from simulator.gates.base import GO_ON, Look
from simulator.gates.view import View

INTERVAL: Final = 60.0
USUAL_OVER: Final = 300.0
ERRORS: Final = 0.01
P99: Final = 0.5
USUAL_ERRORS: Final = 2.0
USUAL_P99: Final = 1.25
THRESHOLD: Final = 5


class Flagger:
    """State of one run: failed checks so far."""

    name: ClassVar[str] = "flagger"
    says: ClassVar[str] = (
        "every 60 s over 60 s success >= 99 % (or twice the usual errors) and p99 <= 500 ms (or 1.25 x the usual), "
        "threshold 5"
    )
    alerts: ClassVar[bool] = False

    def __init__(self) -> None:
        self._due, self._failed = INTERVAL, 0

    def look(self, view: View, t: float) -> Look:
        """Roll back on what failed before, else check; what fails moves nothing."""
        if t < self._due:
            return GO_ON
        self._due = t + INTERVAL
        if self._failed >= THRESHOLD:
            return Look(back="failed checks")
        window, usual = view.window(Track.CANARY, t, INTERVAL), view.usual(USUAL_OVER)
        errors = float(np.fmax(ERRORS, USUAL_ERRORS * usual.rate))
        slowest = float(np.fmax(P99, USUAL_P99 * usual.quantile(0.99)))
        if window.seen and window.rate <= errors and window.quantile(0.99) <= slowest:
            return GO_ON
        self._failed += 1
        return Look(lost=INTERVAL)

    def last(self, view: View, t: float) -> str:  # noqa: ARG002  one signature for all gates
        """Enough checks have passed."""
        return ""
