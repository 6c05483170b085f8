"""How objectives stand: trailing windows of good and bad events per guardrail and track, and since when they breach.

A window is breached when its data exclude the threshold (analysis/slo.py); a level is reached when every look over
its whole duration said so. Sample times only; it decides nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analysis.sequential.base import Floats, Ints
from analysis.slo import excludes
from guardian.core.columns import Columns
from guardian.core.looks import Breach
from guardian.core.policy import Scope, Slo

SLOTS: Final = 66
"""Readings kept per objective: the window is cut into 64 pieces."""
_EMPTY: Final = -1e300
LEVELS: Final = 2
"""Warning, critical."""


class Objectives:
    """Windows of all objectives; rows are numbered as they are added."""

    def __init__(self) -> None:
        self.rows = Columns(
            {
                # readings: time, then for canary and stable: requests, beyond the warning, beyond the critical bound
                "ring": (SLOTS, 7), "window": (LEVELS,), "lasts": (LEVELS,), "allowed": (LEVELS,),
                "since": (2, LEVELS), "state": (2, LEVELS), "scope": (), "earlier": (), "front": (),
                "stable_last": (),
            }
        )  # fmt: skip

    def add(self, objective: Slo) -> int:
        """Make room for one objective and return its number."""
        row = self.rows.add()
        self.rows["ring"][row, :, 0] = _EMPTY
        self.rows["since"][row] = np.nan
        self.rows["front"][row] = self.rows["stable_last"][row] = _EMPTY
        for i, level in enumerate((objective.warning, objective.critical)):
            if level is None:
                self.rows["window"][row, i] = self.rows["lasts"][row, i] = np.inf
                self.rows["allowed"][row, i] = 1.0
                continue
            self.rows["lasts"][row, i] = level.lasts
            self.rows["window"][row, i] = objective.window if objective.window is not None else max(level.lasts, 1.0)
            self.rows["allowed"][row, i] = 1.0 - level.bound if objective.quantile is None else 1.0 - objective.quantile
        self.rows["scope"][row] = float(objective.scope is Scope.SERVICE)
        return row

    def drop(self, row: int) -> None:
        """Forget an objective; its number is used again."""
        self.rows.give_back(row)

    def take(self, rows: Ints, *, time: Floats, counts: Floats, live: Floats) -> None:
        """Add what came up to `time` (n,): counts (n, 2, 3) of canary and stable: requests, and bad per level.

        live: (n,) 1 once the canary has had traffic; before that a breach of stable is remembered as earlier.
        """
        state = self.rows
        ring = state["ring"][rows]
        newest = np.argmax(ring[:, :, 0], axis=1)
        at = np.arange(len(rows))
        step = np.min(state["window"][rows], axis=1) / (SLOTS - 2)
        oldest = np.argmin(ring[:, :, 0], axis=1)
        latest = ring[at, newest, 0]
        fresh = (latest == _EMPTY) | (time - latest >= step)
        place = np.where(fresh, oldest, newest)
        ring[at[fresh], place[fresh], 1:] = 0.0
        ring[at, place, 1:] += counts.reshape(len(rows), 6)
        ring[at, place, 0] = np.where(fresh, time, ring[at, place, 0])
        state["ring"][rows] = ring
        state["front"][rows] = np.maximum(state["front"][rows], time)
        self._judge(rows, ring, live)

    def take_past(self, rows: Ints, *, time: Floats, counts: Floats) -> None:
        """Take ticks from before the canary's first traffic as `take` would; time: (T, n), counts: (T, n, 2, 3)."""
        for now, came in zip(time, counts, strict=True):
            self.take(rows, time=now, counts=came, live=np.zeros(len(rows)))

    def _judge(self, rows: Ints, ring: Floats, live: Floats) -> None:
        """Judge every level (the last axis of what follows) on the objective's scope and on stable (the one before)."""
        state, now = self.rows, self.rows["front"][rows]
        begins = now[:, None] - state["window"][rows]
        time = ring[:, :, 0, None]
        inside = (time > begins[:, None]) & (time > _EMPTY)
        sums = np.matmul(inside.transpose(0, 2, 1).astype(np.float64), ring[:, :, 1:])
        sums = sums.reshape(len(rows), LEVELS, 2, 3)
        service = state["scope"][rows] > 0
        sums[service, :, 0] += sums[service, :, 1]
        total = sums[..., 0].transpose(0, 2, 1)
        bad = np.stack([sums[:, level, :, 1 + level] for level in range(LEVELS)], axis=2)
        breached = excludes(bad, total, state["allowed"][rows][:, None])
        since = state["since"][rows]
        since = np.where(breached, np.where(np.isnan(since), now[:, None, None], since), np.nan)
        reached = breached & (now[:, None, None] - since >= state["lasts"][rows][:, None] * 0.999)
        state["since"][rows] = since
        state["state"][rows] = np.where(total > 0, 1.0 + reached, 0.0)
        state["stable_last"][rows] = np.where(breached[:, 1].any(axis=1), now, state["stable_last"][rows])
        earlier = breached[:, 1].any(axis=1) & (live == 0)
        state["earlier"][rows] = np.maximum(state["earlier"][rows], earlier)

    def breach(self, row: int) -> Breach:
        """How the objective stands on its scope."""
        return _worst(self.rows["state"][row, 0])

    def stable_breach(self, row: int) -> bool:
        """Whether stable is breached, at any level: now, before the canary's traffic, or while the canary was.

        A short incident of both leaves their windows one after the other; the one that leaves later is not to blame.
        """
        state = self.rows
        breached = ~np.isnan(state["since"][row, 1])
        together = bool(np.any(state["stable_last"][row] >= state["since"][row, 0]))  # NaN: the canary is not breached
        return bool(breached.any()) or together or bool(state["earlier"][row] > 0)


def _worst(states: Floats) -> Breach:
    """States of the two levels: 0 no data, 1 not reached, 2 reached."""
    if states[1] == 2.0:
        return Breach.CRITICAL
    if states[0] == 2.0:
        return Breach.WARNING
    return Breach.NONE if states.any() else Breach.UNKNOWN
