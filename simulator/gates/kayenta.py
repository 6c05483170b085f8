"""Spinnaker's canary stage with Kayenta's judge: Mann-Whitney on one-minute points of canary and baseline, and a score.

Every five minutes since the traffic shift all points are judged: errors (no point: 0), p50 and p95, each to be no
higher. A score below 50 aborts, and at the end it must be 75 at least. Where there are control pods, they are its
baseline.
Source: mann_whitney.py; docs/canary-config.md of spinnaker/kayenta at 0635fe0; Spinnaker's canary stage.
"""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from guardian.core.model import Track
from simulator.gates.base import GO_ON, Look
from simulator.gates.mann_whitney import MARGINAL, PASS, scores
from simulator.gates.view import View

POINT: Final = 60.0
INTERVAL: Final = 300.0
TRACKS: Final = (Track.CANARY, Track.STABLE)


class Kayenta:
    """State of one run: the points so far, (minutes, 2 tracks, 3 metrics), NaN where there is none."""

    name: ClassVar[str] = "kayenta"
    says: ClassVar[str] = "every 5 min errors, p50 and p95 by Mann-Whitney, 98 %; a score under 50 aborts, 75 promotes"
    alerts: ClassVar[bool] = False

    def __init__(self) -> None:
        self._points: list[list[tuple[float, float, float]]] = []

    def look(self, view: View, t: float) -> Look:
        """Take a point a minute, and judge every fifth."""
        if t < POINT * (len(self._points) + 1):
            return GO_ON
        windows = [view.window(track, t, POINT) for track in TRACKS]
        self._points.append([(each.rate, each.quantile(0.5), each.quantile(0.95)) for each in windows])
        judged = len(self._points) % int(INTERVAL / POINT) == 0
        return Look(back="score below 50") if judged and self._score() < MARGINAL else GO_ON

    def last(self, view: View, t: float) -> str:  # noqa: ARG002  one signature for all gates
        """The last judgement must pass."""
        return "score below 75" if self._score() < PASS else ""

    def _score(self) -> float:
        points = np.array(self._points).transpose(2, 1, 0)[:, :, None]  # metric, track, one run, minute
        errors, middle, slow = ((each[0], each[1]) for each in points)
        failures = tuple(np.nan_to_num(each) for each in errors)
        return float(scores([[(failures[0], failures[1])], [middle, slow]], required=True)[0])
