"""What the fleet keeps of every guardrail and pod beside the evidence: totals, newest rows, counts not yet judged.

A sheet is one guardrail of one rollout. Sheets with the same columns (ratio; histogram of the same bounds) share a
layout, so that the counts of thousands of pods are one array.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.rates import bucket_counts
from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns
from guardian.core.looks import SeriesKey
from guardian.core.model import Track
from guardian.core.policy import Guardrail, Slo

REASONS: Final = ("inconsistent", "new_bound", "unusable", "stepped_back", "late")


class Layout:
    """Counts of all pods whose guardrails have the same columns; bounds empty: requests and bad.

    carry: a row a pod; what waits for the rest of its scrape, and `live`, all since the canary's first traffic.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.width = len(bounds) or 2
        self._lower = np.array((0.0, *bounds[:-1]))
        self.carry = Columns({"counts": (self.width,), "held": (), "live": (self.width,)})
        self.totals = Columns({"counts": (2, self.width)})

    def column(self, key: SeriesKey) -> int:
        """Column of a series; -1 for a bound that was not there at first."""
        if not self.bounds:
            return 1 if key.part == "bad" else 0
        return self.bounds.index(key.le) if key.le in self.bounds else -1

    def first_slow(self, objective: Slo | None) -> tuple[int, int]:
        """First column of events beyond the warning and the critical bound: bad ones, or those surely slower."""
        if not self.bounds:
            return (1, 1)
        levels = (None, None) if objective is None else (objective.warning, objective.critical)
        first = [self.width if at is None else int((self._lower < at.bound * (1.0 - 1e-9)).sum()) for at in levels]
        return first[0], first[1]

    def requests(self, counts: Floats) -> Floats:
        """Requests in each row of counts (..., F)."""
        return counts.sum(axis=-1) if self.bounds else np.asarray(counts[..., 0])

    def bad(self, counts: Floats) -> Floats:
        """Bad requests in each row of counts (n, F); none where there are buckets."""
        return np.zeros(len(counts)) if self.bounds else np.asarray(counts[:, 1])

    def beyond(self, counts: Floats, slow: Ints) -> Floats:
        """Events (..., n, 2) from the columns `slow` (n, 2) on, of counts (..., n, F): see `first_slow`."""
        reach = np.zeros((*counts.shape[:-1], self.width + 1))
        reach[..., :-1] = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]
        return np.asarray(reach[..., np.arange(len(slow))[:, None], slow])

    def sound(self, carried: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Counts (n, F) behind what series show, and which rows are consistent: bad at most all, buckets cumulative."""
        if self.bounds:
            return bucket_counts(carried)
        return carried, carried[:, 1] <= carried[:, 0] * (1.0 + 1e-12)

    def holds(self, slots: Ints) -> bool:
        """Whether counts of any of these pods wait for the rest of their scrape."""
        return bool(self.carry["held"][slots].any())

    def release(self, slots: Ints, events: Floats) -> tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Counts (n, F) of pods that are consistent, which those are, and which were refused as impossible.

        events: (n, F) what came. Inconsistent counts wait once for the rest of their scrape.
        """
        carried = self.carry["counts"][slots] + events
        counts, sound = self.sound(carried)
        if sound.all() and not self.holds(slots):
            return counts, sound, ~sound
        refused = ~sound & (self.carry["held"][slots] > 0)
        waiting = ~sound & ~refused
        self.carry["held"][slots] = waiting
        self.carry["counts"][slots] = carried * waiting[:, None]
        return np.where(sound[:, None], counts, 0.0), sound, refused


@dataclass(slots=True)
class Pod:
    """One pod of one sheet: its slot in the layout and its member of the contest, -1 while there is none."""

    number: int
    name: str
    track: Track
    slot: int = -1
    member: int = -1
    series: dict[SeriesKey, int] = field(default_factory=dict)


@dataclass(slots=True)
class Sheet:
    """One guardrail of one rollout. arm, contest, cell: where it is compared, -1 where it is not (yet)."""

    number: int
    rollout: int
    guardrail: Guardrail
    layout: Layout | None = None
    slot: int = -1
    arm: int = -1
    contest: int = -1
    cell: int = -1
    objective: int = -1
    pods: dict[tuple[Track, str], Pod] = field(default_factory=dict)
    anomalies: dict[str, int] = field(default_factory=dict)
    late_bounds: set[float] = field(default_factory=set)
    needed: tuple[object, float] | None = None

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count samples that could not be used."""
        self.anomalies[reason] = self.anomalies.get(reason, 0) + count
