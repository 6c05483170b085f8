"""How much stable's pods differ, for `guardian plan`: what a rollout learns of their counts in Prometheus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from guardian.adapters._past import Line
from guardian.adapters._selectors import Selector, equal, parse_selector
from guardian.adapters._series import INSTANCE, LE
from guardian.adapters.metrics.history import PrometheusHistory
from guardian.core.learnt import UNKNOWN, Learnt, learn, reading_ticks
from guardian.core.looks import Floats
from guardian.core.model import Instant, Seconds
from guardian.core.policy import CountSli, GaugeSli, Guardrail, HistogramSli, Labels, Policy, RatioSli
from guardian.core.roster import comparison

TICK: Final = 60.0
"""Seconds over which counts are asked, at least."""
SCRAPES: Final = 4.0
"""Scrapes that a tick has at least: an increase needs two."""
ByBound = dict[float | None, Floats]
"""Values on the grid (T,), NaN where there are none, by upper bound of a bucket; None: no bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Ends of ticks, the last at `end`."""

    end: Instant
    step: Seconds
    ticks: int

    @property
    def start(self) -> Instant:
        """End of the first tick."""
        return Instant(self.end - self.step * (self.ticks - 1))

    def filled(self, line: Line) -> Floats:
        """Values (T,) of a series."""
        found = np.full(self.ticks, np.nan)
        found[np.round((line.time - self.start) / self.step).astype(np.int64)] = line.value
        return found


def stable_selector(text: str, labels: Labels, service: str, everywhere: Mapping[str, str]) -> Selector:
    """Return a guardrail's selector narrowed to the stable track of a service; everywhere: labels that are added."""
    wanted = parse_selector(text)
    known = {**everywhere, labels.track: labels.stable, **({labels.service: service} if labels.service else {})}
    return wanted.plus(equal(name, value) for name, value in known.items() if not wanted.constrains(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Asks one Prometheus about one service. everywhere: labels added to every selector; scrape: seconds."""

    history: PrometheusHistory
    policy: Policy
    service: str
    everywhere: Mapping[str, str]
    scrape: Seconds

    async def learnt(self, guardrail: Guardrail, bounds: tuple[float, ...], now: Instant) -> tuple[Learnt, int]:
        """Return what a rollout would learn of stable's pods, and how many there are; bounds: of a histogram's buckets.

        Raises Unavailable and Refused; PolicyError for a bad selector.
        """
        sli = guardrail.sli
        step = self.policy.interval if isinstance(sli, GaugeSli) else Seconds(max(TICK, SCRAPES * self.scrape))
        grid = Grid(end=now, step=step, ticks=max(int(self.policy.history / step), 1))
        match sli:
            case GaugeSli():
                rows = reading_ticks(_columns([_one(await self._asked(sli.value, "", grid))])[..., 0], seconds=step)
            case HistogramSli():
                below = await self._asked(sli.buckets, "increase", grid)
                columns = [{pod: one[bound] for pod, one in below.items() if bound in one} for bound in bounds]
                rows = np.diff(np.maximum.accumulate(_counts(columns), axis=-1), axis=-1, prepend=0.0)
            case RatioSli():
                rows = _counts([_one(await self._asked(each, "increase", grid)) for each in (sli.total, sli.bad)])
            case _:
                rows = _counts([await self._served(grid), _one(await self._asked(sli.events, "increase", grid))])
        pods = rows.shape[1]
        if not pods or not rows.shape[2]:
            return UNKNOWN, pods
        return learn(comparison(guardrail, bounds, factor=1.0), rows, seconds=step, risk=self.policy.risk_each), pods

    async def _served(self, grid: Grid) -> dict[str, Floats]:
        """Return the requests by which events are judged, by pod; of a histogram its last bucket."""
        exposing = self.policy.exposing
        if exposing is None or isinstance(exposing.sli, GaugeSli | CountSli):
            return {}
        by_total = isinstance(exposing.sli, RatioSli)
        selector = exposing.sli.total if isinstance(exposing.sli, RatioSli) else exposing.sli.buckets
        found = await self._asked(selector, "increase", grid)
        return _one(found) if by_total else {pod: one[math.inf] for pod, one in found.items() if math.inf in one}

    async def _asked(self, selector: str, function: str, grid: Grid) -> dict[str, ByBound]:
        """Return what each pod has on the grid; function: of the last tick of the series, "" for the value itself."""
        labels = self.policy.labels
        chosen = str(stable_selector(selector, labels, self.service, self.everywhere))
        asked = f"{function}({chosen}[{grid.step:.0f}s])" if function else chosen
        lines = await self.history.query_range(
            f"sum by ({labels.pod}, {INSTANCE}, {LE}) ({asked})", start=grid.start, end=grid.end, step=grid.step
        )
        found: dict[str, ByBound] = {}
        for line in lines:
            pod = line.labels.get(labels.pod) or line.labels.get(INSTANCE, "")
            bound = float(line.labels[LE]) if LE in line.labels else None
            found.setdefault(pod, {})[bound] = grid.filled(line)
        return found


def _one(found: Mapping[str, ByBound]) -> dict[str, Floats]:
    """Return the values of each pod that has some without a bucket."""
    return {pod: one[None] for pod, one in found.items() if None in one}


def _counts(columns: list[dict[str, Floats]]) -> Floats:
    """Return rows (T, P, F) of counts, whole as far as can be told; what is absent is 0."""
    return np.asarray(np.round(np.nan_to_num(_columns(columns))), np.float64)


def _columns(columns: list[dict[str, Floats]]) -> Floats:
    """Return (T, P, F) of columns by pod, in the order of their names; NaN where a pod has none of it."""
    pods = sorted(columns[0]) if columns else []
    if not pods:
        return np.zeros((0, 0, len(columns)))
    absent = np.full(len(columns[0][pods[0]]), np.nan)
    return np.stack([np.stack([column.get(pod, absent) for pod in pods], axis=1) for column in columns], axis=2)
