"""From series on a grid of times to rows of a samples file: counters differenced, then summed per line; levels summed.

A line is what one pod does in one stratum. A range query of Prometheus answers on such a grid. It asks nothing and
judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.rates import counter_steps
from guardian.core.looks import Floats, Ints, Part, SeriesKey
from guardian.core.model import Track
from guardian.core.samples import Batch
from guardian.core.verdicts import Flags

Readings = Mapping[SeriesKey, tuple[Floats, Floats]]
"""Series -> times and values, each of shape (n,), times rising; NaN is no sample."""
Columns = dict[str, Floats]
Line = tuple[str, str]
"""Pod and stratum; "" where there are no strata."""


def rows_on_grid(series: Readings, grid: Floats, *, start: float, metric: int, pods: dict[str, int]) -> list[Batch]:
    """Rows of one guardrail, a batch for each line, `time` counted from `start`.

    grid: (T,) evenly spaced times, in the readings' seconds. pods: codes by name; new names are added. A line's first
    row is its counters' baseline and counts nothing. Strata are numbered in the order of their names.
    """
    part = next((key.part for key in series), Part.TOTAL)
    found = {Part.BUCKET: _buckets, Part.VALUE: _levels, Part.COUNT: _events}.get(part, _ratio)(series, grid)
    strata = {name: number for number, name in enumerate(sorted({"", *(stratum for (_, stratum), _ in found)}))}
    return [
        _batch(columns, metric, pods.setdefault(pod, len(pods)), strata[stratum], grid - start)
        for (pod, stratum), columns in found
    ]


def _counts(times: Floats, values: Floats, grid: Floats, *, there: int) -> Floats:
    """Events of one series up to each time of the grid since the time before; NaN where there is no sample.

    there: place on the grid where its line was first seen. A series that comes into being later counts from 0, as it
    does in a running rollout (series.py).
    """
    out = np.full(len(grid), np.nan)
    at, fits = _places(times, values, grid)
    value, time = values[fits], times[fits]
    before, earlier = np.concatenate(([np.nan], value[:-1])), np.concatenate(([np.nan], time[:-1]))
    none = np.zeros(len(value), dtype=np.bool_)
    events = counter_steps(value, time, last_value=before, last_time=earlier, restarted=none)[0]
    if len(at) and at[0] > there:
        events[0] = value[0]
    out[at] = events
    return out


def _places(times: Floats, values: Floats, grid: Floats) -> tuple[Ints, Flags]:
    """Where on the grid the samples are that can be used, and which these are."""
    at = np.rint((times - grid[0]) / (grid[1] - grid[0])).astype(np.int64)
    fits = (at >= 0) & (at < len(grid)) & np.isfinite(values)
    return at[fits], fits


def _by_line(series: Readings, part: Part, grid: Floats) -> dict[Line, dict[float, Floats]]:
    """Events (T,) by line and bound (-1: none), summed over the series of a line after each was differenced."""
    found: dict[Line, dict[float, Floats]] = {}
    there = _first_seen(series, grid)
    for key, (times, values) in series.items():
        if key.part is part:
            counts = _counts(times, values, grid, there=there[key.pod, key.stratum])
            bounds = found.setdefault((key.pod, key.stratum), {})
            bound = -1.0 if np.isnan(key.le) else key.le
            known = bounds.get(bound, np.full(len(grid), np.nan))
            bounds[bound] = np.where(np.isnan(known), counts, known + np.nan_to_num(counts))
    return found


def _first_seen(series: Readings, grid: Floats) -> dict[Line, int]:
    """Place on the grid of the first sample of each line, in whichever of its series."""
    found: dict[Line, int] = {}
    for key, (times, values) in series.items():
        at, _ = _places(times, values, grid)
        line = (key.pod, key.stratum)
        found[line] = min(found.get(line, len(grid)), int(at[0]) if len(at) else len(grid))
    return found


def _ratio(series: Readings, grid: Floats) -> list[tuple[Line, Columns]]:
    bad = _by_line(series, Part.BAD, grid)
    found = []
    for line, by_bound in _by_line(series, Part.TOTAL, grid).items():
        total = by_bound[-1.0]
        failed = np.nan_to_num(bad[line][-1.0]) if line in bad else np.zeros(len(grid))
        at = np.flatnonzero(np.isfinite(total))
        columns = {"at": at.astype(np.float64), "requests": total[at], "bad": np.minimum(failed[at], total[at])}
        found.append((line, columns))
    return found


def _events(series: Readings, grid: Floats) -> list[tuple[Line, Columns]]:
    found = []
    for line, by_bound in _by_line(series, Part.COUNT, grid).items():
        at = np.flatnonzero(np.isfinite(by_bound[-1.0]))
        found.append((line, {"at": at.astype(np.float64), "value": by_bound[-1.0][at]}))
    return found


def _levels(series: Readings, grid: Floats) -> list[tuple[Line, Columns]]:
    """Levels of a line's series, added up; left out where one is missing that was there a step before (levels.py)."""
    shown: dict[Line, list[Floats]] = {}
    for key, (times, values) in series.items():
        at, fits = _places(times, values, grid)
        level = np.full(len(grid), np.nan)
        level[at] = values[fits]
        shown.setdefault((key.pod, key.stratum), []).append(level)
    found = []
    for line, levels in shown.items():
        each = np.array(levels)
        there = np.isfinite(each)
        lost = (there[:, :-1] & ~there[:, 1:]).any(axis=0)
        at = np.flatnonzero(there.any(axis=0) & ~np.concatenate(([False], lost)))
        found.append((line, {"at": at.astype(np.float64), "value": np.nansum(each[:, at], axis=0)}))
    return found


def _buckets(series: Readings, grid: Floats) -> list[tuple[Line, Columns]]:
    found = []
    for line, by_bound in _by_line(series, Part.BUCKET, grid).items():
        bounds = np.array(sorted(by_bound))
        counts = np.stack([by_bound[bound] for bound in bounds], axis=1)
        at = np.flatnonzero(np.isfinite(counts).all(axis=1))
        shown = np.maximum.accumulate(np.cumsum(counts[at], axis=0), axis=1)  # samples of one scrape may be torn
        columns = {
            "at": np.repeat(at, len(bounds)).astype(np.float64), "bound": np.tile(bounds, len(at)),
            "count": shown.reshape(-1),
        }  # fmt: skip
        found.append((line, columns))
    return found


def _batch(columns: Columns, metric: int, pod: int, stratum: int, times: Floats) -> Batch:
    """Rows of one line and guardrail; the first tick is its counters' baseline."""
    at = columns["at"].astype(np.int64)
    ticks, place = np.unique(at, return_inverse=True)
    seconds = np.diff(times[ticks], prepend=times[ticks[:1]])
    nothing = np.full(len(at), np.nan)
    zeros = np.zeros(len(at), dtype=np.int64)
    return Batch(
        rollout=zeros, track=zeros + Track.STABLE.code, stratum=np.full(len(at), stratum),
        metric=np.full(len(at), metric), pod=np.full(len(at), pod), time=times[at], seconds=seconds[place],
        requests=columns.get("requests", nothing), bad=columns.get("bad", nothing), bound=columns.get("bound", nothing),
        count=columns.get("count", nothing), value=columns.get("value", nothing),
    )  # fmt: skip
