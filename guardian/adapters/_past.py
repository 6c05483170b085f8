"""Stable's past around a starting time: range queries of a guardrail's series, and rows made of what they answer.

A range query gives the newest sample at every step, so a step shorter than the scrape interval repeats samples. Only
stable's series are read; a real canary of those days is left out, the pods it became are stable.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from guardian.adapters._series import Wanted, key_of
from guardian.core.grid import Readings, rows_on_grid
from guardian.core.looks import Floats, SeriesKey
from guardian.core.model import Instant, Seconds, Track
from guardian.core.pretend import Window
from guardian.core.samples import Batch

POINTS: Final = 11_000
"""Most points of a series that Prometheus gives for one query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series of an answer: labels, and points of shape (n,); NaN is kept."""

    labels: dict[str, str]
    time: Floats
    value: Floats


class RangeQueries(Protocol):
    """Answers range queries. Raises Unavailable and Refused."""

    async def query_range(self, expression: str, *, start: Instant, end: Instant, step: Seconds) -> Sequence[Line]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What was answered: stable's series by guardrail, and the grid of times (T,) they were asked on."""

    start: Instant
    grid: Floats
    series: tuple[Readings, ...]

    def window(self, pods: dict[str, int]) -> Window:
        """Make rows of it. pods: codes by name; new names are added."""
        parts = [
            part
            for metric, readings in enumerate(self.series)
            for part in rows_on_grid(readings, self.grid, start=self.start, metric=metric, pods=pods)
        ]
        return Window(parts=(Batch.in_order(parts),) if parts else ())


async def stretch(
    queries: RangeQueries, wanted: Sequence[Sequence[Wanted]], dropped: Collection[str], *, start: Instant,
    before: Seconds, after: Seconds, step: Seconds,
) -> Stretch:  # fmt: skip
    """Ask for stable's series around `start`, one query after the other. wanted: what each guardrail needs."""
    begin, end = start - before, start + after
    grid = np.asarray(begin + step * np.arange(round((end - begin) / step) + 1), np.float64)
    found: list[Readings] = []
    for parts in wanted:
        series: dict[SeriesKey, Line] = {}
        for part in parts:
            for line in await queries.query_range(
                str(part.complete), start=Instant(begin), end=Instant(end), step=step
            ):
                key = key_of(line.labels, part, dropped)
                known = series.get(key, _NOTHING) if key is not None else _NOTHING
                # Of a deduplicating pair the replica with more samples counts.
                if key is not None and key.track is Track.STABLE and len(line.time) > len(known.time):
                    series[key] = line
        found.append({key: (line.time, line.value) for key, line in series.items()})
    return Stretch(start=start, grid=grid, series=tuple(found))


_NOTHING: Final = Line(labels={}, time=np.zeros(0), value=np.zeros(0))
