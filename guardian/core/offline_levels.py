"""What rows of gauges and of counts without a denominator need beside their value: a pod's past, and its requests.

For files of samples: rows of one tick at a time, in the order of time. Nothing grows with the number of ticks.
"""

from __future__ import annotations

import numpy as np

from analysis.readings import REMEMBERED, reading_rows
from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns


class Readings:
    """The past of every gauge of one contest; numbers are its members'."""

    def __init__(self) -> None:
        self._pods = Columns({"past": (REMEMBERED,), "live": ()})

    def forget(self, member: int) -> None:
        """Begin anew with a member."""
        self._pods.reach(member)
        self._pods.clear(member)

    def rows(self, members: Ints, *, value: Floats, time: Floats) -> Floats:
        """Rows (n, columns) of one reading each of different members; all look back to the canary's first traffic."""
        past, live = self._pods["past"][members], self._pods["live"][members]
        anew = (time > 0) & (live == 0)
        found = reading_rows(value, time, past, anew=anew)
        self._pods["past"][members] = past
        self._pods["live"][members] = np.where(np.isfinite(value) & (time > 0), 1.0, live)
        return found


class Exposure:
    """Requests of every series and track so far, and how many of them each series of events has already had.

    A series of events has its own pod's requests; where no pod of its name counts any, an equal part of its track's.
    """

    def __init__(self) -> None:
        self._asked = Columns({"requests": ()})
        self._tracks = Columns({"requests": (), "events": ()})
        self._events = Columns({"seen": (), "waiting": (), "begun": ()})

    def add(self, series: Ints, tracks: Ints, requests: Floats) -> None:
        """Count requests (n,) of different series; tracks: twice the rollout's number, and 1 more for the canary."""
        self._asked.reach(int(series.max(initial=0)))
        self._tracks.reach(int(tracks.max(initial=0)))
        self._asked["requests"][series] += requests
        np.add.at(self._tracks["requests"], tracks, requests)

    def join(self, tracks: Ints) -> None:
        """Note one more series of events for each of these tracks."""
        self._tracks.reach(int(tracks.max(initial=0)))
        np.add.at(self._tracks["events"], tracks, 1.0)

    def rows(self, series: Ints, own: Ints, tracks: Ints, events: Floats) -> Floats:
        """Counts (n, 2) of exposure and events of different series of events, since the last time they were asked for.

        own: number of the series that counts this pod's requests, -1 where there is none. The first row of a series is
        its baseline and counts nothing. Events without a request wait for the next row that has some.
        """
        self._events.reach(int(series.max(initial=0)))
        self._tracks.reach(int(tracks.max(initial=0)))
        self._asked.reach(max(int(own.max(initial=0)), 0))
        shared = self._tracks["requests"][tracks] / np.maximum(self._tracks["events"][tracks], 1.0)
        total = np.where(own >= 0, self._asked["requests"][own], shared)
        begun = self._events["begun"][series] > 0
        exposure = np.where(begun, np.maximum(total - self._events["seen"][series], 0.0), 0.0)
        waiting = np.where(begun, self._events["waiting"][series] + events, 0.0)
        counted = np.where(exposure > 0, waiting, 0.0)
        self._events["seen"][series], self._events["begun"][series] = total, 1.0
        self._events["waiting"][series] = waiting - counted
        return np.stack((exposure, counted), axis=1)
