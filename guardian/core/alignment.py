"""Which samples of a pod's counters may count already: those up to the time that all of its series have reached.

The series of one scrape may come by different ways (shards of remote write, one query each) and some of them seconds
later. Requests without the errors among them would pass for good ones, and errors without requests are impossible.
Sample times only; it keeps no samples and reads no clock.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns

PATIENCE: Final = 15.0
"""Seconds, beyond its usual step, that a series may lag behind the others of its pod before they go on without it."""
LONGEST: Final = 60.0
"""Longest step, in seconds, that is waited for, or half as much again as the quickest series of the pod takes: one that
shows itself now and then must not hold its pod up."""


class Alignment:
    """How far each series has come; series and pods are numbered by their owner."""

    def __init__(self) -> None:
        self.series = Columns({"pod": (), "reach": (), "step": (), "counted": ()})
        self.pods = Columns({"counted": ()})

    def add(self, number: int, pod: int) -> None:
        """Watch a series of a pod; it counts from its first sample on."""
        self.series.reach(number)
        self.pods.reach(pod)
        self.series.clear(number)
        self.series["pod"][number], self.series["reach"][number] = pod, np.nan

    def add_pod(self, pod: int) -> None:
        """Begin with a pod that has no series."""
        self.pods.reach(pod)
        self.pods.clear(pod)

    def drop(self, number: int) -> None:
        """Watch a series no more."""
        pod = int(self.series["pod"][number])
        self.pods["counted"][pod] -= self.series["counted"][number]
        self.series["counted"][number] = 0.0

    def of(self, number: int) -> tuple[float, float, bool]:
        """How far a series has come, its usual step, in seconds, and whether the others wait for it."""
        state = self.series
        return float(state["reach"][number]), float(state["step"][number]), bool(state["counted"][number])

    def put(self, number: int, at: tuple[float, float, bool]) -> None:
        """Go on with a series from there, as `of` gave it."""
        state = self.series
        state["reach"][number], state["step"][number], state["counted"][number] = at
        self.pods["counted"][int(state["pod"][number])] += at[2]

    def end(self, series: Ints, time: Floats) -> None:
        """Wait for these series (n,) no more: their source said that they ended then."""
        known = (self.series["counted"][series] > 0.0) & (time > self.series["reach"][series])
        ended = np.unique(series[known])
        self.series["counted"][ended] = 0.0
        np.subtract.at(self.pods["counted"], self.series["pod"][ended].astype(np.int64), 1.0)

    def whole(self, series: Ints, time: Floats) -> npt.NDArray[np.bool_]:
        """Whether each sample (n,) may count now; sorted by series and time, those that had to wait among them."""
        if not len(series):
            return np.zeros(0, dtype=np.bool_)
        state, counts = self.series, self.pods["counted"]
        last = np.concatenate((series[1:] != series[:-1], [True]))
        mine, reach = series[last], time[last]
        owner = state["pod"][mine].astype(np.int64)
        self._note(series, time, last)
        fresh = state["counted"][mine] == 0.0
        state["counted"][mine[fresh]] = 1.0
        np.add.at(counts, owner[fresh], 1.0)
        newest, oldest = np.full(len(counts), -np.inf), np.full(len(counts), np.inf)
        np.maximum.at(newest, owner, reach)
        np.minimum.at(oldest, owner, reach)
        came = np.bincount(owner, minlength=len(counts))
        uneven = (came > 0) & ((came < counts) | (oldest < newest))
        if not uneven.any():
            return np.ones(len(series), dtype=np.bool_)
        return time <= self._common(uneven)[state["pod"][series].astype(np.int64)]

    def _note(self, series: Ints, time: Floats, last: npt.NDArray[np.bool_]) -> None:
        """Note how far series came, and how far apart their newest samples are."""
        mine, reach = series[last], np.fmax(time[last], self.series["reach"][series[last]])
        first = np.concatenate(([True], last[:-1]))
        before = np.where(first, self.series["reach"][series], np.concatenate(([np.nan], time[:-1])))[last]
        step = reach - before
        known = step > 0.0  # not for the first one, NaN
        self.series["step"][mine[known]] = step[known]
        self.series["reach"][mine] = reach

    def _common(self, uneven: npt.NDArray[np.bool_]) -> Floats:
        """Time (pods,) that all counted series of uneven pods have reached, inf for the others; lags too long end."""
        state, counts = self.series, self.pods["counted"]
        pods = state["pod"][: state.size].astype(np.int64)
        series = np.flatnonzero(uneven[pods] & (state["counted"][: state.size] > 0.0))
        owner, reach = pods[series], state["reach"][series]
        newest, common = np.full(len(counts), -np.inf), np.full(len(counts), np.inf)
        np.maximum.at(newest, owner, reach)
        gone = newest[owner] - reach > self._steps(series, owner) + PATIENCE
        state["counted"][series[gone]] = 0.0
        np.subtract.at(counts, owner[gone], 1.0)
        np.minimum.at(common, owner[~gone], reach[~gone])
        return common

    def _steps(self, series: Ints, owner: Ints) -> Floats:
        """Seconds to the next sample of each series; one with a single sample is as slow as the slowest of its pod."""
        steps = self.series["step"][series]
        slowest, quickest = np.zeros(len(self.pods["counted"])), np.full(len(self.pods["counted"]), np.inf)
        np.maximum.at(slowest, owner, steps)
        np.minimum.at(quickest, owner, np.where(steps > 0.0, steps, np.inf))
        usual = np.where(slowest > 0.0, slowest, LONGEST)
        longest = np.where(np.isfinite(quickest), np.maximum(1.5 * quickest, LONGEST), LONGEST)
        return np.minimum(np.where(steps > 0.0, steps, usual[owner]), longest[owner])
