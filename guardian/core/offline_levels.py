"""How many requests the series of a samples file had so far, which is what rows of events are judged by.

Nothing grows with the number of ticks. What an exposure is, exposure.py says; gauges need levels.py only.
"""

from __future__ import annotations

import numpy as np

from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns
from guardian.core.exposure import Exposure


class Requests:
    """Requests of every series and track so far. Tracks are numbered by their owner.

    What a pod is asked in several strata is one series here.
    """

    def __init__(self) -> None:
        self._series, self._tracks = Columns({"requests": ()}), Columns({"requests": ()})
        self.exposure = Exposure()
        """Of series of events, which are numbered with the others."""

    def add(self, series: Ints, tracks: Ints, requests: Floats) -> None:
        """Count requests (n,) of series; one may stand several times."""
        self._series.reach(int(series.max(initial=0)))
        self._tracks.reach(int(tracks.max(initial=0)))
        np.add.at(self._series["requests"], series, requests)
        np.add.at(self._tracks["requests"], tracks, requests)

    def rows(self, series: Ints, own: Ints, tracks: Ints, *, end: Floats, seconds: Floats, events: Floats) -> Floats:
        """Counts (n, 2) of exposure and events of different series of events.

        own: number of the series that counts this pod's requests, -1 where there is none.
        """
        self._tracks.reach(int(tracks.max(initial=0)))
        self._series.reach(max(int(own.max(initial=0)), 0))
        total = np.where(own >= 0, self._series["requests"][own], self._tracks["requests"][tracks])
        return self.exposure.by_requests(series, end=end, seconds=seconds, events=events, total=total, own=own >= 0)
