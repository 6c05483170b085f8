"""What a series carries, and what the rows of its pods are made of: counters, levels, or events without a denominator.

A counter counts what is new since its sample before; a level is an observation by itself; events are a counter that is
held against an exposure from elsewhere. Guardrails with the same columns (ratio; histogram of the same bounds; gauge;
count) share a layout, so that the counts of thousands of pods are one array. A row of counts is what one pod gave in
one tick; rows add up over pods and ticks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from analysis.rates import bucket_counts
from analysis.readings import COLUMNS, Column
from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns
from guardian.core.exposure import Exposure
from guardian.core.levels import Readings
from guardian.core.looks import SeriesKey
from guardian.core.model import TRACKS
from guardian.core.policy import CountSli, GaugeSli, Sli, Slo

Flags = npt.NDArray[np.bool_]
BARE = 12.0
"""Rows in which bad ones may wait for requests to belong to."""


class Layout(ABC):
    """Columns that some guardrails share: `width` of them, a row for each pod (`carry`) and each sheet (`totals`).

    carry: what waits for the rest of its scrape, or the past; and `live`, all counts since the canary's first traffic.
    """

    bounds: tuple[float, ...] = ()
    """Upper bounds of the buckets; empty where there are none."""

    def __init__(self, width: int, carry: Columns) -> None:
        self.width, self.carry = width, carry
        self.totals = Columns({"counts": (len(TRACKS), width)})

    def seat(self, side: int) -> int:  # noqa: ARG002
        """Make room for a pod of a side (one track of one sheet) and return its slot in `carry`."""
        return self.carry.add()

    @abstractmethod
    def column(self, key: SeriesKey) -> int:
        """Column of a series; -1 for one that was not there at first."""

    @abstractmethod
    def watched(self, objective: Slo | None) -> tuple[float, float]:
        """What `judged` is to be told of an objective."""

    @abstractmethod
    def requests(self, counts: Floats) -> Floats:
        """What each row of counts (..., F) rests on: requests, readings or exposure."""

    def bad(self, counts: Floats) -> Floats:
        """Bad requests in each row of counts (n, F); none where there is no such thing."""
        return np.zeros(len(counts))

    @abstractmethod
    def judged(self, counts: Floats, watched: Floats) -> Floats:
        """What an objective sees (..., n, 3) of counts (..., n, F); watched: (n, 2), see `watched`."""


class CounterLayout(Layout):
    """Counters, differenced: requests and bad, or requests per bucket where there are bounds."""

    def __init__(self, bounds: tuple[float, ...] = ()) -> None:
        width = len(bounds) or 2
        super().__init__(width, Columns({"counts": (width,), "held": (), "live": (width,), "came": (len(bounds),)}))
        self.bounds = bounds
        self._lower = np.array((0.0, *bounds[:-1]))

    def column(self, key: SeriesKey) -> int:
        """Column of a series; -1 for a bound that was not there at first."""
        if not self.bounds:
            return 1 if key.part == "bad" else 0
        return self.bounds.index(key.le) if key.le in self.bounds else -1

    def watched(self, objective: Slo | None) -> tuple[float, float]:
        """The first columns of events beyond the warning and the critical bound."""
        levels = (None, None) if objective is None else (objective.warning, objective.critical)
        first = [float(self.width) if at is None else self.beyond(at.bound) for at in levels]
        return first[0], first[1]

    def beyond(self, bound: float) -> float:
        """The column of bad events; of buckets the first that is wholly above the bound."""
        return float((self._lower < bound * (1.0 - 1e-9)).sum()) if self.bounds else 1.0

    def requests(self, counts: Floats) -> Floats:
        """Requests in each row of counts (..., F)."""
        return counts.sum(axis=-1) if self.bounds else np.asarray(counts[..., 0])

    def bad(self, counts: Floats) -> Floats:
        """Bad requests in each row of counts (n, F); none where there are buckets."""
        return np.zeros(len(counts)) if self.bounds else np.asarray(counts[:, 1])

    def judged(self, counts: Floats, watched: Floats) -> Floats:
        """Requests, and those from each of the columns `watched` (n, K) on: (..., n, 1 + K)."""
        first = watched.astype(np.int64)
        reach = np.zeros((*counts.shape[:-1], self.width + 1))
        reach[..., :-1] = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]
        beyond = reach[..., np.arange(len(first))[:, None], first]
        return np.concatenate((self.requests(counts)[..., None], beyond), axis=-1)

    def sound(self, carried: Floats) -> tuple[Floats, Flags]:
        """Counts (n, F) behind what series show, and which rows are consistent: bad at most all, buckets cumulative."""
        if self.bounds:
            return bucket_counts(carried)
        return carried, carried[:, 1] <= carried[:, 0] * (1.0 + 1e-12)

    def bare(self, carried: Floats) -> Flags:
        """Which rows (n,) are bad ones without any requests."""
        return carried[:, 0] <= 0.0 if not self.bounds else np.zeros(len(carried), dtype=np.bool_)

    def holds(self, slots: Ints) -> bool:
        """Whether counts of any of these pods wait for the rest of their scrape."""
        return bool(self.carry["held"][slots].any())

    def whole(self, came: Flags) -> Flags:
        """Which rows have all that a row needs; came: (n, F) columns with a sample.

        Every bucket: one that ended or has not come yet is not one without requests. Errors may come into being late.
        """
        return np.asarray(came.all(axis=1)) if self.bounds else np.ones(len(came), dtype=np.bool_)

    def release(self, slots: Ints, events: Floats, came: Flags) -> tuple[Floats, Flags, Floats]:
        """Counts (n, F) of pods that are whole and consistent, which those are, and how many rows each refusal loses.

        events, came: (n, F) what came, and in which columns. Other counts wait once for the rest of their scrape, bad
        ones without any requests for longer: they may come late, and many at a time.
        """
        carried = self.carry["counts"][slots] + events
        counts, sound = self.sound(carried)
        if self.bounds:
            came = came | (self.carry["came"][slots] > 0)
        sound &= self.whole(came)
        if sound.all() and not self.holds(slots):
            return counts, sound, np.zeros(len(sound))
        held = self.carry["held"][slots]
        refused = ~sound & (held >= BARE)
        waiting = ~sound & ~refused
        lost = (1.0 + np.where(held > BARE, held - BARE - 1.0, held)) * refused  # with all bad ones that waited
        self.carry["held"][slots] = (held + np.where(self.bare(carried), 1.0, BARE + 1.0)) * waiting
        self.carry["counts"][slots] = carried * waiting[:, None]
        if self.bounds:
            self.carry["came"][slots] = came & waiting[:, None]
        return np.where(sound[:, None], counts, 0.0), sound, lost


class LevelLayout(Layout):
    """Levels of gauges: rows are those of analysis/readings.py, and every reading is an observation by itself."""

    def __init__(self) -> None:
        self.readings = Readings({"live": (COLUMNS,)})
        super().__init__(COLUMNS, self.readings.pods)

    def seat(self, side: int) -> int:
        """A pod without a past."""
        slot = super().seat(side)
        self.readings.forget(slot)
        return slot

    def column(self, key: SeriesKey) -> int:  # noqa: ARG002
        """All series of a pod are added up."""
        return 0

    def watched(self, objective: Slo | None) -> tuple[float, float]:
        """The objective's target: levels are told as seen from there."""
        return (0.0 if objective is None else objective.target), 0.0

    def requests(self, counts: Floats) -> Floats:
        """Readings in each row of counts (..., F)."""
        return np.asarray(counts[..., Column.READINGS])

    def judged(self, counts: Floats, watched: Floats) -> Floats:
        """1 for each row with a reading, its mean level beyond the target, and the square of that (..., n, 3)."""
        seen = counts[..., Column.READINGS]
        level = np.divide(counts[..., Column.SUM], seen, out=np.zeros_like(seen), where=seen > 0)
        beyond = np.where(seen > 0, level - watched[:, 0], 0.0)
        return np.stack(((seen > 0).astype(np.float64), beyond, beyond**2), axis=-1)


class EventLayout(Layout):
    """Events without a denominator: rows are (exposure, events), see exposure.py."""

    def __init__(self) -> None:
        self.exposure = Exposure({"live": (2,)})
        self._asked = Columns({"pod": ()})
        super().__init__(2, self.exposure.pods)

    def seat(self, side: int) -> int:
        """A pod whose requests nobody is known to count."""
        slot = super().seat(side)
        self.exposure.join(slot, side)
        self._asked.reach(slot)
        self._asked["pod"][slot] = -1.0
        return slot

    def pair(self, slot: int, pod: int) -> None:
        """Say which pod counts the requests of the one in a slot."""
        self._asked["pod"][slot] = pod

    def asked_of(self, slots: Ints) -> Ints:
        """Pods that count the requests of those in slots (n,); -1: none."""
        return self._asked["pod"][slots].astype(np.int64)

    def column(self, key: SeriesKey) -> int:  # noqa: ARG002
        """All series of a pod are added up."""
        return 0

    def watched(self, objective: Slo | None) -> tuple[float, float]:  # noqa: ARG002
        """Nothing: events have no objective (config/guardrails.py)."""
        return 0.0, 0.0

    def requests(self, counts: Floats) -> Floats:
        """Exposure in each row of counts (..., F)."""
        return np.asarray(counts[..., 0])

    def judged(self, counts: Floats, watched: Floats) -> Floats:  # noqa: ARG002
        """Nothing."""
        return np.zeros((*counts.shape[:-1], 3))


def layout_of(sli: Sli, bounds: tuple[float, ...]) -> Layout:
    """Return a new layout for guardrails of this kind; bounds: of a histogram's buckets."""
    if isinstance(sli, GaugeSli):
        return LevelLayout()
    return EventLayout() if isinstance(sli, CountSli) else CounterLayout(bounds)
