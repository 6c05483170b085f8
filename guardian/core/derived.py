"""Rows of one tick that are more than differences: readings of gauges, and events with what was served meanwhile.

The counters of the tick come first (feeding.py): they tell when a canary's traffic begins and how many requests each
pod had. Many ticks of history go through here one by one as well (history.py): each is a few array operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.sequential.base import Floats, Ints
from guardian.core.layouts import EventLayout, Layout, LevelLayout
from guardian.core.ticks import Ticks

if TYPE_CHECKING:
    from guardian.core.fleet import Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """Pods (n,) that have a row in a tick: it ends at `end` and is `seconds` long."""

    pods: Ints
    end: Floats
    seconds: Floats

    def rows(self, chosen: Ints) -> Came:
        """Some of them."""
        return Came(pods=self.pods[chosen], end=self.end[chosen], seconds=self.seconds[chosen])


def add_requests(fleet: Fleet, pods: Ints, asked: Floats) -> None:
    """Note how many requests pods (n,) had in a tick, where events of their rollout are judged by them."""
    sheets = fleet.pods["sheet"][pods].astype(np.int64)
    exposes = fleet.links["exposes"][sheets] > 0
    if exposes.any():
        pods, sheets, asked = pods[exposes], sheets[exposes], asked[exposes]
        np.add.at(fleet.pods["asked"], fleet.pods["whole"][pods].astype(np.int64), asked)
        np.add.at(fleet.sheets["asked"], (sheets, fleet.pods["track"][pods].astype(np.int64)), asked)


def derive(fleet: Fleet, layout: Layout, came: Came, ticks: Ticks, tick: int, chosen: Ints) -> Floats:
    """Rows (n, F) of pods that came in a tick of this layout; chosen: (n,) their places within the tick."""
    if isinstance(layout, LevelLayout):
        row, time, value = ticks.readings(tick, tick + 1, chosen)
        return _levels(fleet, layout, came, row=row, time=time, value=value)
    if isinstance(layout, EventLayout):
        return _events(fleet, layout, came, ticks.counts(tick, tick + 1, chosen, 1)[:, 0])
    raise TypeError(f"rows of a {type(layout).__name__} are plain differences")


def _levels(fleet: Fleet, layout: LevelLayout, came: Came, *, row: Ints, time: Floats, value: Floats) -> Floats:
    """Readings (k,) as rows; those of a canary from before its first traffic say nothing about how it serves."""
    pods = came.pods[row]
    began = fleet.rollouts["began"][fleet.sheets["rollout"][fleet.pods["sheet"][pods].astype(np.int64)].astype(int)]
    live = time > np.fmin(began, np.inf)
    served = np.where(live | (fleet.pods["canary"][pods] <= 0), value, np.nan)
    found = layout.readings.rows(fleet.pods["slot"][pods].astype(np.int64), value=served, time=time, live=live)
    rows = np.zeros((len(came.pods), layout.width))
    np.add.at(rows, row, found)
    return rows


def _events(fleet: Fleet, layout: EventLayout, came: Came, events: Floats) -> Floats:
    """Events of pods (n,) as rows of exposure and events."""
    slots = fleet.pods["slot"][came.pods].astype(np.int64)
    sheets = fleet.pods["sheet"][came.pods].astype(np.int64)
    exposing = fleet.links["exposing"][sheets].astype(np.int64)
    stable = fleet.pods["canary"][came.pods] <= 0
    rows = np.zeros((len(slots), 2))
    asked = np.flatnonzero(exposing >= 0)
    if len(asked):
        own = layout.asked_of(slots[asked])
        track = fleet.sheets["asked"][exposing[asked], fleet.pods["track"][came.pods[asked]].astype(np.int64)]
        rows[asked] = layout.exposure.by_requests(
            slots[asked], end=came.end[asked], seconds=came.seconds[asked], events=events[asked],
            total=np.where(own >= 0, fleet.pods["asked"][own], track), own=own >= 0,
        )  # fmt: skip
    weighed = np.flatnonzero(exposing < 0)
    if len(weighed):
        rows[weighed] = layout.exposure.by_weight(
            slots[weighed], end=came.end[weighed], seconds=came.seconds[weighed], events=events[weighed],
            part=_parts(fleet, sheets[weighed], came.rows(weighed), stable[weighed]),
        )  # fmt: skip
    return rows


def _parts(fleet: Fleet, sheets: Ints, came: Came, stable: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """Share of traffic (n,) of each pod's track while its row lasted; NaN where a weight was only just accepted."""
    rollouts = fleet.sheets["rollout"][sheets].astype(np.int64)
    weight = fleet.rollouts["weight"][rollouts]
    before = ~(came.end > np.fmin(fleet.rollouts["began"][rollouts], np.inf))
    settled = came.end - came.seconds >= fleet.rollouts["settled"][rollouts]
    part = np.where(stable, 1.0 - weight, weight)
    return np.where(before, np.where(stable, 1.0, 0.0), np.where(settled, part, np.nan))
