"""From raw samples to what is new in them: events of counters (resets, replicas that step back), levels of gauges.

Law: any cut and overlap of deliveries gives the same counts and levels, as long as each series' samples come in the
order of their times. What is late beyond its series' watermark has no effect, and what is ahead of other series of
its pod waits (alignment.py), as does what is ahead of a track that comes late (abreast.py). Pods are numbers to it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.rates import Step, counter_steps
from analysis.readings import LARGEST
from analysis.sequential.base import Floats, Ints
from guardian.core.abreast import Abreast
from guardian.core.alignment import Alignment
from guardian.core.columns import Columns
from guardian.core.looks import Observed
from guardian.core.model import Value

STALE_MARKER: Final = 0x7FF0000000000002
"""Bits of the NaN with which Prometheus ends a series."""
KNOWN: Final = 60.0
"""Seconds that a pod must have been there for the first sample of another of its strata to count from 0."""
YOUNG: Final = 120.0
"""Seconds within which a process must have begun for its first sample to count from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Levels of single series (n,), sorted by series and time; before: time of the series' level before, or NaN."""

    series: Ints
    time: Floats
    value: Floats
    before: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Deltas:
    """Events of single series up to a sample, (n,), sorted by series and time; `refused` are samples not used.

    began: start of the interval where a first sample counts from 0 because its process is young, else NaN. shown: what
    came of series that carry levels; None where none did.
    """

    series: Ints
    time: Floats
    events: Floats
    began: Floats
    refused: Ints
    reason: npt.NDArray[np.int8]
    shown: Shown | None = None


class Watermark(Value, frozen=True, kw_only=True):
    """A series as it is resumed: its last reading, how far it came and its usual step, samples that wait.

    aligned: as Alignment.of gives it. waiting: time, value, start of the process.
    """

    value: float
    time: float
    aligned: tuple[float, float, bool]
    waiting: list[tuple[float, float, float]]


class SeriesTable:
    """Watermarks of all series. Numbers of forgotten series come back into use late."""

    def __init__(self) -> None:
        self.rows = Columns({"value": (), "time": (), "pod": (), "column": (), "alive": (), "level": (), "refused": ()})
        self.pods = Columns({"first": (), "whole": (), "seen": ()})
        self.alignment, self.abreast = Alignment(), Abreast()
        self.waiting: Observed | None = None
        """Samples that wait for other series of their pod, or for another track."""
        self._free: deque[int] = deque()
        self._levels = 0

    def add(self, pod: int, number: int | None = None, *, level: bool = False) -> int:
        """Register a series of a pod and return its number; one it had before may be asked for.

        level: its samples are levels, not counts since the process began.
        """
        if number is not None:
            self._free.remove(number)
        else:
            number = self._free.popleft() if len(self._free) > 4096 else self.rows.add()
        values = {"value": 0.0, "time": np.nan, "pod": float(pod), "column": -1.0, "alive": 1.0, "level": float(level)}
        values["refused"] = -np.inf
        for name, value in values.items():
            self.rows[name][number] = value
        self._levels += level
        self.alignment.add(number, pod)
        return number

    def drop(self, numbers: list[int]) -> None:
        """Forget series; samples of them have no effect from now on."""
        for number in numbers:
            self._levels -= int(self.rows["level"][number])
            self.rows["alive"][number] = 0.0
            self.alignment.drop(number)
            self._free.append(number)
        if self.waiting is not None:
            self.waiting = self.waiting.only(~np.isin(self.waiting.series, numbers))

    def watermark(self, number: int) -> Watermark:
        """What is known of a series of counts or levels."""
        waiting: list[tuple[float, float, float]] = []
        if self.waiting is not None:
            mine = self.waiting.series == number
            columns = (self.waiting.time, self.waiting.value, self.waiting.started)
            waiting = list(zip(*(column[mine].tolist() for column in columns), strict=True))
        value, time = (float(self.rows[name][number]) for name in ("value", "time"))
        return Watermark(value=value, time=time, aligned=self.alignment.of(number), waiting=waiting)

    def resume(self, number: int, known: Watermark) -> None:
        """Go on with a series from there."""
        self.rows["value"][number], self.rows["time"][number] = known.value, known.time
        self.alignment.put(number, known.aligned)
        if known.waiting:
            time, value, started = (np.array(column) for column in zip(*known.waiting, strict=True))
            again = Observed(series=np.full(len(time), number), time=time, value=value, started=started)
            self.waiting = again if self.waiting is None else _joined([self.waiting, again])

    def add_pod(self, pod: int, *, whole: int) -> None:
        """Make room for a pod's first sample time; pods are numbered by their owner, rising.

        whole: the first number of the same pod, where it has several.
        """
        while self.pods.size <= pod:
            self.pods.add()
        self.pods["first"][pod] = self.pods["seen"][pod] = np.nan
        self.pods["whole"][pod] = whole
        self.alignment.add_pod(pod)

    def difference(self, deliveries: list[Observed]) -> Deltas:
        """Take samples, in any order and with repeats, and return the events between them, and the levels."""
        came = _joined(deliveries if self.waiting is None else [self.waiting, *deliveries])
        self.waiting = None
        series, time, value, started = came.series, came.time, came.value, came.started
        known = (series >= 0) & (series < self.rows.size)
        known[known] &= self.rows["alive"][series[known]] > 0
        level = np.zeros(len(series), dtype=np.bool_)
        if self._levels:
            level[known] = self.rows["level"][series[known]] > 0
        possible = np.where(level, np.abs(value) <= LARGEST, (value >= 0) & (value < np.inf))
        broken = known & ~(possible & np.isfinite(time))
        ended = broken & (value.view(np.int64) == STALE_MARKER)
        chosen = np.flatnonzero(known & ~broken)
        order = chosen[np.lexsort((time[chosen], series[chosen]))]
        series_, time_ = series[order], time[order]
        repeat = np.concatenate(([False], (series_[1:] == series_[:-1]) & (time_[1:] == time_[:-1])))
        late = time_ <= np.fmax(self.rows["time"][series_], -np.inf)
        order = order[~repeat & ~late]
        self.alignment.end(series[ended], time[ended])
        free = self._free_to_count(series[order], time[order], level[order])
        if not free.all():
            rest, order = order[~free], order[free]
            self.waiting = came.only(np.sort(rest))
        shown = None
        if level[order].any():
            levels, order = order[level[order]], order[~level[order]]
            shown = self._show(series[levels], time[levels], value[levels])
        deltas = self._steps(series[order], time[order], value[order], started[order])
        bad = self._newly_refused(np.flatnonzero(broken & ~ended), series, time)
        return Deltas(
            series=deltas.series, time=deltas.time, events=deltas.events, began=deltas.began,
            refused=np.concatenate((deltas.refused, series[bad])),
            reason=np.concatenate((deltas.reason, np.full(len(bad), Step.UNUSABLE, dtype=np.int8))), shown=shown,
        )  # fmt: skip

    def _free_to_count(self, series: Ints, time: Floats, level: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Whether samples (n,), sorted by series and time, wait for no series of their pod and for no track."""
        free = np.ones(len(series), dtype=np.bool_)
        free[~level] = self.alignment.whole(series[~level], time[~level])
        begins = np.concatenate(([True], series[1:] != series[:-1]))[: len(series)]
        before = np.where(begins, self.rows["time"][series], np.concatenate(([np.nan], time[:-1]))[: len(series)])
        whole = np.flatnonzero(free)
        pods = self.rows["pod"][series[whole]].astype(np.int64)
        free[whole] = ~self.abreast.ahead(pods, time[whole], (time - before)[whole])
        return free

    def _newly_refused(self, bad: Ints, series: Ints, time: Floats) -> Ints:
        """Samples that were not refused before: deliveries overlap, and each is told once."""
        fresh = bad[~(time[bad] <= self.rows["refused"][series[bad]])]
        np.fmax.at(self.rows["refused"], series[fresh], time[fresh])
        return fresh

    def _show(self, series: Ints, time: Floats, value: Floats) -> Shown:
        """Take levels sorted by series and time, none at or before its watermark."""
        new = np.concatenate(([True], series[1:] != series[:-1]))
        before = np.where(new, self.rows["time"][series], np.concatenate(([np.nan], time[:-1])))
        last = np.concatenate((new[1:], [True]))
        self.rows["value"][series[last]], self.rows["time"][series[last]] = value[last], time[last]
        return Shown(series=series, time=time, value=value, before=before)

    def _steps(self, series: Ints, time: Floats, value: Floats, started: Floats) -> Deltas:
        """Difference samples sorted by series and time, none at or before its watermark."""
        if not len(series):
            none = np.zeros(0)
            return Deltas(
                series=series, time=none, events=none, began=none, refused=series, reason=np.zeros(0, dtype=np.int8)
            )
        new = np.concatenate(([True], series[1:] != series[:-1]))
        pods = self.rows["pod"][series].astype(np.int64)
        np.fmin.at(self.pods["first"], pods, time)
        np.fmin.at(self.pods["seen"], self.pods["whole"][pods].astype(np.int64), time)
        codes = np.zeros(len(series), dtype=np.int8)
        events = np.zeros(len(series))
        rank = np.arange(len(series)) - np.maximum.accumulate(np.where(new, np.arange(len(series)), 0))
        before = np.where(new, self.rows["value"][series], np.concatenate(([0.0], value[:-1])))
        when = np.where(new, self.rows["time"][series], np.concatenate(([np.nan], time[:-1])))
        restarted = np.fmax(started, -np.inf) > when
        fell = ((value < before) & ~np.isnan(when)) | restarted
        odd = np.isin(series, series[fell]) if fell.any() else fell
        plain = ~odd
        events[plain] = np.where(np.isnan(when[plain]), 0.0, value[plain] - before[plain])
        codes[plain] = np.where(np.isnan(when[plain]), Step.FIRST, Step.COUNTED)
        last = plain & np.concatenate((new[1:], [True]))
        self.rows["value"][series[last]], self.rows["time"][series[last]] = value[last], time[last]
        for turn in range(int(rank[odd].max(initial=-1)) + 1):
            rows = np.flatnonzero(odd & (rank == turn))
            self._one_by_one(rows, series, time, value, started, events, codes)
        began = self._from_zero(time, value, started, pods, events, codes)
        used = _counted(codes)
        return Deltas(
            series=series[used], time=time[used], events=events[used], began=began[used],
            refused=series[~used], reason=codes[~used],
        )  # fmt: skip

    def _one_by_one(
        self, rows: Ints, series: Ints, time: Floats, value: Floats, started: Floats, events: Floats,
        codes: npt.NDArray[np.int8],
    ) -> None:  # fmt: skip
        """Samples of series that fell or restarted: each against the last one that counted."""
        mine = series[rows]
        last_time = self.rows["time"][mine]
        events[rows], codes[rows] = counter_steps(
            value[rows], time[rows], last_value=self.rows["value"][mine], last_time=last_time,
            restarted=np.nan_to_num(started[rows], nan=-np.inf) > np.nan_to_num(last_time, nan=np.inf),
        )  # fmt: skip
        kept = _counted(codes[rows])
        self.rows["value"][mine[kept]], self.rows["time"][mine[kept]] = value[rows][kept], time[rows][kept]

    def _from_zero(
        self, time: Floats, value: Floats, started: Floats, pods: Ints, events: Floats,
        codes: npt.NDArray[np.int8],
    ) -> Floats:  # fmt: skip
        """First samples that count all they show: the pod was there before without the series, or has just begun."""
        first = codes == Step.FIRST
        host = self.pods["seen"][self.pods["whole"][pods].astype(np.int64)]
        appeared = first & ((time > self.pods["first"][pods]) | (time > host + KNOWN))
        young = first & ~appeared & (time - np.fmax(started, -np.inf) <= YOUNG)
        events[appeared | young] = value[appeared | young]
        return np.where(young, started, np.nan)


def _joined(parts: list[Observed]) -> Observed:
    """Deliveries as one."""
    series = np.concatenate([part.series for part in parts]).astype(np.int64)
    time, value, started = (
        np.concatenate([getattr(part, name) for part in parts]).astype(np.float64)
        for name in ("time", "value", "started")
    )
    return Observed(series=series, time=time, value=value, started=started)


def _counted(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Whether each sample moves its series' watermark."""
    return np.asarray((codes == Step.COUNTED) | (codes == Step.RESET) | (codes == Step.FIRST))
