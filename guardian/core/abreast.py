"""Which samples run ahead of another track whose samples come late: they wait, so that tracks are compared abreast.

The metrics of canary and stable may come by different ways, one of them half a minute longer. A tick that waited for
the slow one only until the next would never hold both. A track that is silent is not late: only one whose samples, old
ones, go on coming while the others take a step is waited for. Sample times only; it keeps no samples, reads no clock.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns
from guardian.core.model import TRACKS

LONGEST: Final = 120.0
"""Seconds by which a track may be behind and still be waited for."""
EARLY: Final = 1.1
"""Ticks, or scrapes where these are rarer, by which tracks differ anyway: each pod has a place within the interval."""
SLOWER: Final = 1.25
"""Times as much as before that the time to the next scrape may seem: a gap is not a rarer scrape."""


class Abreast:
    """How far each track of each guardrail has come. Guardrails and pods are numbered by their owner."""

    def __init__(self) -> None:
        self.pods = Columns({"side": ()})
        self.sides = Columns({"front": (), "tick": (), "pace": (), "behind": (), "seen": ()})

    def open(self, group: int, *, tick: float) -> None:
        """Begin with a guardrail; tick: seconds."""
        for side in self.sides_of(group):
            self.sides.reach(side)
            self.sides.clear(side)
            self.sides["front"][side], self.sides["seen"][side], self.sides["tick"][side] = np.nan, np.nan, tick

    def sides_of(self, group: int) -> range:
        """Rows of a guardrail's tracks, in the order of their codes."""
        return range(group * len(TRACKS), (group + 1) * len(TRACKS))

    def add_pod(self, pod: int, *, group: int, track: int) -> None:
        """Watch a pod; track: its code."""
        self.pods.reach(pod)
        self.pods["side"][pod] = group * len(TRACKS) + track

    def ahead(self, pods: Ints, time: Floats, step: Floats) -> npt.NDArray[np.bool_]:
        """Whether each sample (n,) must wait, those that had to before among them; step: seconds since the last one."""
        if not len(pods):
            return np.zeros(0, dtype=np.bool_)
        state, side = self.sides, self.pods["side"][pods].astype(np.int64)
        newest = np.full(len(state["front"]), -np.inf)
        np.maximum.at(newest, side, time)
        moved = newest > np.fmax(state["front"], -np.inf)
        joins = moved & np.isnan(state["front"])
        state["front"][moved] = newest[moved]
        self._pace(side, step)
        groups = np.unique(np.flatnonzero(newest > -np.inf) // len(TRACKS))
        tracks = groups[:, None] * len(TRACKS) + np.arange(len(TRACKS))
        reach = state["front"][tracks]
        first = np.fmax.reduce(reach, axis=1)[:, None]
        lag = first - reach
        # Where a track joins, those that are there already may be late and not silent.
        alive = moved[tracks] | joins[tracks].any(axis=1, keepdims=True)
        seen = state["seen"][tracks] = np.where(alive, first, state["seen"][tracks])
        usual = EARLY * np.maximum(state["pace"][tracks], state["tick"][tracks]).max(axis=1, keepdims=True)
        late = (lag > usual) & (lag <= LONGEST) & ((first - seen <= usual) | (state["behind"][tracks] > 0.0))
        state["behind"][tracks] = late
        if not late.any():
            return np.zeros(len(pods), dtype=np.bool_)
        allowed = np.full(-(-len(newest) // len(TRACKS)), np.inf)
        allowed[groups] = np.where(late, reach, np.inf).min(axis=1)
        return np.asarray(time > allowed[side // len(TRACKS)])

    def _pace(self, side: Ints, step: Floats) -> None:
        """Note how quickly the samples of each side follow each other, by its quickest series; step: NaN unknown."""
        known = step > 0.0
        quickest, pace = np.full(len(self.sides["pace"]), np.inf), self.sides["pace"]
        np.minimum.at(quickest, side[known], step[known])
        came = np.isfinite(quickest)
        pace[came] = np.where(pace[came] > 0.0, np.minimum(quickest[came], SLOWER * pace[came]), quickest[came])
