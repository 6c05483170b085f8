"""Which samples run ahead of another track whose samples come late: they wait, so that tracks are compared abreast.

The metrics of canary and stable may come by different ways, one of them half a minute longer. A tick that waited for
the slow one only until the next would never hold both. A track that is silent is not late: only one that brought
samples, and old ones, is waited for. Sample times only; it keeps no samples and reads no clock.
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


class Abreast:
    """How far each track of each guardrail has come. Guardrails and pods are numbered by their owner."""

    def __init__(self) -> None:
        self.pods = Columns({"side": ()})
        self.sides = Columns({"front": (), "pace": (), "behind": ()})

    def open(self, group: int, *, tick: float) -> None:
        """Begin with a guardrail; tick: seconds."""
        for side in range(group * len(TRACKS), (group + 1) * len(TRACKS)):
            self.sides.reach(side)
            self.sides.clear(side)
            self.sides["front"][side], self.sides["pace"][side] = np.nan, tick

    def add_pod(self, pod: int, *, group: int, track: int) -> None:
        """Watch a pod; track: its code."""
        self.pods.reach(pod)
        self.pods["side"][pod] = group * len(TRACKS) + track

    def ahead(self, pods: Ints, time: Floats, step: Floats) -> npt.NDArray[np.bool_]:
        """Whether each sample (n,) must wait, those that had to before among them; step: usual seconds to the next."""
        if not len(pods):
            return np.zeros(0, dtype=np.bool_)
        state, side = self.sides, self.pods["side"][pods].astype(np.int64)
        front = state["front"]
        came, place = np.unique(side, return_inverse=True)
        newest = np.full(len(came), -np.inf)
        np.maximum.at(newest, place, time)
        moved = np.zeros(len(front), dtype=np.bool_)
        moved[came] = newest > np.fmax(front[came], -np.inf)
        front[came] = np.fmax(front[came], newest)
        np.maximum.at(state["pace"], side, step)
        groups, group = np.unique(side // len(TRACKS), return_inverse=True)
        tracks = groups[:, None] * len(TRACKS) + np.arange(len(TRACKS))
        reach = front[tracks]
        lag = np.fmax.reduce(reach, axis=1)[:, None] - reach
        usual = EARLY * state["pace"][tracks].max(axis=1, keepdims=True)
        late = (lag > usual) & (lag <= LONGEST) & (moved[tracks] | (state["behind"][tracks] > 0.0))
        state["behind"][tracks] = late
        if not late.any():
            return np.zeros(len(pods), dtype=np.bool_)
        return np.asarray(time > np.where(late, reach, np.inf).min(axis=1)[group])
