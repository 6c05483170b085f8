"""A gate of fixed thresholds, as many teams write it.

Every 60 s it asks for the canary's error share and p95 over the last 5 min; more than 3 failed checks roll back. No
requests pass. Five query errors in a row, 10 s apart, roll back. An alert that says critical rolls back, each time it
is posted.
"""

from __future__ import annotations

from typing import ClassVar, Final

from guardian.core.model import Track
from simulator.gates.base import GO_ON, Look
from simulator.gates.view import View

CHECK: Final = 60.0
WINDOW: Final = 300.0
MOST_ERRORS: Final = 0.01
SLOWEST_P95: Final = 0.5
FAILURE_LIMIT: Final = 3
QUERY_ERROR_LIMIT: Final = 4


class Naive:
    """State of one run."""

    name: ClassVar[str] = "naive"
    says: ClassVar[str] = "errors over 1 % or p95 over 500 ms in more than 3 checks, 60 s apart, each over 5 min"
    alerts: ClassVar[bool] = True

    def __init__(self) -> None:
        self._due, self._failures, self._errors = CHECK, 0, 0

    def look(self, view: View, t: float) -> Look:
        """Check when a minute is over, or 10 s after a query that found nothing."""
        if t < self._due and not self._errors:
            return GO_ON
        self._due = t + CHECK
        window = view.window(Track.CANARY, t, WINDOW)
        if not window.seen:
            self._errors += 1
            return Look(back="no data") if self._errors > QUERY_ERROR_LIMIT else GO_ON
        self._errors = 0
        self._failures += window.rate > MOST_ERRORS or window.quantile(0.95) > SLOWEST_P95
        return Look(back="threshold") if self._failures > FAILURE_LIMIT else GO_ON

    def last(self, view: View, t: float) -> str:  # noqa: ARG002  one signature for all gates
        """A step passes when its time is over; the last one is its promotion."""
        return ""
