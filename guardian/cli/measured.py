"""The past for `guardian backtest` from Prometheus: range queries around starting times, differenced per series.

A range query gives the newest sample at every step, so a step shorter than the scrape interval repeats samples. Only
stable's series are read; a real canary of those days is left out, the pods it became are stable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from guardian.adapters._series import Wanted, key_of, wanted_of
from guardian.adapters.metrics.history import Line, PrometheusHistory
from guardian.core.grid import rows_on_grid
from guardian.core.looks import Floats, SeriesKey
from guardian.core.model import Instant, RolloutId, Seconds, Track
from guardian.core.policy import Guardrail, Policy
from guardian.core.pretend import Shape, Window, starts
from guardian.core.samples import Batch
from guardian.errors import ConfigError, ThinHistory

POINTS: Final = 11_000
"""Most points of a series that Prometheus gives for one query."""
AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where to ask, for which service. everywhere: labels added to every selector; dropped: those of a pair."""

    history: PrometheusHistory
    url: str
    policy: Policy
    everywhere: Mapping[str, str]
    dropped: Collection[str]

    def wanted(self, guardrail: Guardrail) -> tuple[Wanted, ...]:
        """Return the series that a guardrail needs. Raises PolicyError for a bad selector."""
        return wanted_of(
            rollout=RolloutId("backtest"), service=self.policy.match.service, guardrail=guardrail,
            labels=self.policy.labels, everywhere=self.everywhere,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Windows as they were measured; pods: names by code. span: seconds between the first and the last sample."""

    windows: tuple[Window, ...]
    pods: tuple[str, ...]
    span: float


def measured_past(
    source: Source, *, since: Instant, until: Instant, step: Seconds, windows: int, shape: Shape,
    heard: Callable[[int], None],
) -> Measured:  # fmt: skip
    """Ask for up to `windows` windows between two times. heard: told how many more are there.

    Raises ThinHistory where stable has no series, or not for long enough; Unavailable and Refused as PrometheusHistory.
    """
    points = (shape.history + 2 * shape.length) / step
    if points > POINTS:
        raise ConfigError(
            f"{points:,.0f} points a series are asked for; Prometheus gives {POINTS:,}",
            where="guardian backtest --step",
            remedy=f"--step {np.ceil(step * points / POINTS):.0f}s or longer, or a shorter --length",
        )  # fmt: skip
    return asyncio.run(_measured(source, since, until, step, windows, shape, heard))


async def _measured(
    source: Source, since: Instant, until: Instant, step: Seconds, windows: int, shape: Shape,
    heard: Callable[[int], None],
) -> Measured:  # fmt: skip
    times = await _covered(source, since, until, step, shape)
    begins = starts(times, wanted=windows, shape=shape)
    pods: dict[str, int] = {}
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(start: float) -> Window:
        async with gate:
            window = await _window(source, start, step, shape, pods)
        heard(1)
        return window

    found = await asyncio.gather(*(one(float(start)) for start in begins))
    names = sorted(pods)  # answers come in any order; the same past must give the same splits
    code = np.argsort(np.argsort(np.array(list(pods), dtype=np.str_)))
    ordered = (Window(parts=tuple(replace(part, pod=code[part.pod]) for part in one.parts)) for one in found)
    return Measured(windows=tuple(ordered), pods=tuple(names), span=float(times[-1] - times[0]))


async def _covered(source: Source, since: Instant, until: Instant, step: Seconds, shape: Shape) -> Floats:
    """Return the times, on a grid, at which stable had any series of a guardrail that compares."""
    grid = max(step, np.ceil((until - since) / (POINTS - 1) / step) * step)
    asked = [wanted for guardrail in source.policy.participating for wanted in source.wanted(guardrail)[-1:]]
    found = []
    for wanted in asked:
        lines = await source.history.query_range(
            f"count({_stable(wanted)})", start=since, end=until, step=Seconds(float(grid))
        )
        found += [line.time for line in lines]
    if not found:
        raise ThinHistory(
            f"no series of stable in all that time; asked for: {'; '.join(_stable(one) for one in asked) or 'nothing'}",
            where=source.url, remedy="check selectors and labels (`guardian doctor` asks for the same), or --since",
        )  # fmt: skip
    times = np.unique(np.concatenate(found))
    span, need = float(times[-1] - times[0]), shape.history + shape.length
    if span < need:
        raise ThinHistory(
            f"has {span / 60:.0f}m of stable's series; one pretended rollout needs {need / 60:.0f}m", where=source.url,
            remedy="look further back with --since, wait until there is more, or give a shorter --length",
        )  # fmt: skip
    return times


def _stable(wanted: Wanted) -> str:
    return str(wanted.complete)


async def _window(source: Source, start: float, step: Seconds, shape: Shape, pods: dict[str, int]) -> Window:
    begin, end = start - shape.history - shape.length, start + shape.length
    grid = np.asarray(begin + step * np.arange(round((end - begin) / step) + 1), np.float64)
    parts: list[Batch] = []
    for metric, guardrail in enumerate(source.policy.participating):
        series: dict[SeriesKey, Line] = {}
        for wanted in source.wanted(guardrail):
            text = _stable(wanted)
            for line in await source.history.query_range(text, start=Instant(begin), end=Instant(end), step=step):
                key = key_of(line.labels, wanted, source.dropped)
                known = series.get(key, _NOTHING) if key is not None else _NOTHING
                # Of a deduplicating pair the replica with more samples counts.
                if key is not None and key.track is Track.STABLE and len(line.time) > len(known.time):
                    series[key] = line
        readings = {key: (line.time, line.value) for key, line in series.items()}
        parts += rows_on_grid(readings, grid, start=start, metric=metric, pods=pods)
    return Window(parts=(Batch.in_order(parts),) if parts else ())


_NOTHING: Final = Line(labels={}, time=np.zeros(0), value=np.zeros(0))
