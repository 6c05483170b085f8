"""How much each pod served while its events were counted: by that exposure counts without a denominator are judged.

By requests, where a guardrail of the rollout counts them: those of the pod of the same name, or an equal part of the
track's where no pod has that name. By weight, where none does: the pod's equal part of its track's share of traffic,
times the seconds of the row. Which of the two, the policy says (`Policy.exposing`): one unit for the whole rollout.
Shared by running rollouts (feeding.py) and files of samples (offline_rows.py). It keeps nothing per tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import numpy as np

from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns
from guardian.core.verdicts import Flags

SLACK: Final = 0.5
"""Part of a row's length by which another pod's newest row may end before it began: that pod still serves its part."""


class Unit(IntEnum):
    """In what the exposure of a pod was counted when it gave its last row; NONE: it has given none."""

    NONE = 0
    SHARED = 1
    OWN = 2
    WEIGHT = 3


class Exposure:
    """Pods that count events, numbered by whoever owns this. A side is one track of one guardrail of one rollout."""

    def __init__(self, also: Mapping[str, tuple[int, ...]] | None = None) -> None:
        """also: further columns, its owner's."""
        self.pods = Columns({**(also or {}), "side": (), "end": (), "seen": (), "unit": (), "waiting": ()})

    def join(self, pod: int, side: int) -> None:
        """Begin anew with a pod."""
        self.pods.reach(pod)
        self.pods.clear(pod)
        self.pods["side"][pod], self.pods["end"][pod] = side + 1, -np.inf  # 0: nobody's

    def by_requests(
        self, pods: Ints, *, end: Floats, seconds: Floats, events: Floats, total: Floats, own: Flags
    ) -> Floats:
        """Rows (n, 2) of exposure and events of different pods, since the last time each was asked for.

        total: (n,) requests so far, of the pod itself where `own`, else of its whole track. A pod's first row is its
        baseline and counts nothing. Events without a request wait for the next row that has some.
        """
        self.pods["end"][pods] = end
        crew = np.ones(len(pods)) if own.all() else np.where(own, 1.0, self._crew(pods, end, seconds))
        state, unit = self.pods, np.where(own, Unit.OWN, Unit.SHARED)
        anew = state["unit"][pods] != unit
        exposure = np.where(anew, 0.0, np.maximum(total - state["seen"][pods], 0.0)) / crew
        waiting = np.where(anew, 0.0, state["waiting"][pods] + events)
        counted = np.where(exposure > 0, waiting, 0.0)
        state["seen"][pods], state["unit"][pods], state["waiting"][pods] = total, unit, waiting - counted
        return np.stack((exposure, counted), axis=1)

    def by_weight(self, pods: Ints, *, end: Floats, seconds: Floats, events: Floats, part: Floats) -> Floats:
        """Rows (n, 2) of exposure, in seconds of all traffic, and events of different pods.

        part: (n,) share of traffic of the pod's track during the row; NaN where it is not known: then the row counts
        nothing, for nobody can say which part of its events belongs to which weight.
        """
        self.pods["end"][pods] = end
        crew = self._crew(pods, end, seconds)
        known = np.isfinite(part) & (self.pods["unit"][pods] == Unit.WEIGHT) & (seconds > 0)
        self.pods["unit"][pods] = Unit.WEIGHT
        exposure = np.where(known, part * seconds / crew, 0.0)
        return np.stack((exposure, np.where(exposure > 0, events, 0.0)), axis=1)

    def _crew(self, pods: Ints, end: Floats, seconds: Floats) -> Floats:
        """How many pods of its side serve beside each of these (n,), itself among them, as their rows tell.

        One that is gone counts for one row more; one whose row of this tick is still to come counts.
        """
        state = self.pods
        mine = state["side"][pods]
        every = np.flatnonzero(np.isin(state["side"][: state.size], mine))
        least = end - (1.0 + SLACK) * seconds
        side = np.concatenate((state["side"][every], mine))
        asks = np.arange(len(side)) >= len(every)
        order = np.lexsort((~asks, np.concatenate((state["end"][every], least)), side))
        below = np.cumsum(~asks[order])  # pods up to here, whose rows end earlier on the same side or on lower ones
        upto = np.searchsorted(side[order], mine, side="right")
        place = np.flatnonzero(asks[order])
        counts = np.empty(len(pods))
        back = order[place] - len(every)
        counts[back] = below[upto[back] - 1] - below[place]
        return np.maximum(counts, 1.0)
