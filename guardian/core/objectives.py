"""How objectives stand: trailing windows of events or readings per guardrail and track, and since when they breach.

A window is breached when its data exclude the threshold (analysis/slo.py); a level is reached when every look over
its whole duration said so. Sample times only; it decides nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.sequential.base import Floats, Ints
from analysis.slo import excludes, mean_excludes
from analysis.users import Users, crowding
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
                # readings: time, then for canary and stable: requests, beyond the warning, beyond the critical bound;
                # of gauges: number, sum and squares of levels as seen from the target
                "ring": (SLOTS, 7), "window": (LEVELS,), "lasts": (LEVELS,), "allowed": (LEVELS,),
                # requests that count as one, and bad ones that a window needs at least (users who stick to a track)
                "design": (LEVELS,), "least": (LEVELS,),
                # gauges: 1 where users suffer above the bounds, -1 below; 0: not a gauge
                "sign": (), "beyond": (LEVELS,),
                "since": (2, LEVELS), "state": (2, LEVELS), "scope": (), "earlier": (), "front": (),
                "stable_last": (),
            }
        )  # fmt: skip

    def add(self, objective: Slo, *, gauge: bool = False, users: Users | None = None) -> int:
        """Make room for one objective and return its number; gauge: its bounds are levels, of the mean of readings.

        users: whose failures come together, None: requests count one by one.
        """
        row = self.rows.add()
        self.rows["ring"][row, :, 0] = _EMPTY
        self.rows["since"][row] = np.nan
        self.rows["front"][row] = self.rows["stable_last"][row] = _EMPTY
        sign = 1.0 if objective.breached == "above" else -1.0
        self.rows["sign"][row] = sign * gauge
        for i, level in enumerate((objective.warning, objective.critical)):
            if level is None:
                self.rows["window"][row, i] = self.rows["lasts"][row, i] = np.inf
                self.rows["allowed"][row, i] = 1.0
                self.rows["beyond"][row, i] = np.inf
                continue
            self.rows["lasts"][row, i] = level.lasts
            self.rows["window"][row, i] = objective.window if objective.window is not None else max(level.lasts, 1.0)
            self.rows["allowed"][row, i] = 1.0 - level.bound if objective.quantile is None else 1.0 - objective.quantile
            self.rows["beyond"][row, i] = sign * (level.bound - objective.target)
        self.rows["scope"][row] = float(objective.scope is Scope.SERVICE)
        self.rows["design"][row], self.rows["least"][row] = crowding(users, self.rows["window"][row])
        return row

    def drop(self, row: int) -> None:
        """Forget an objective; its number is used again."""
        self.rows.give_back(row)

    def take(self, rows: Ints, *, time: Floats, counts: Floats, live: Floats) -> None:
        """Add what came up to `time` (n,): counts (n, 2, 3) of canary and stable, as Layout.judged tells them.

        live: (n,) 1 once the canary has had traffic; before that a breach of stable is remembered as earlier.
        """
        sums = self._keep(rows, time, counts)
        self._judge(rows, self.rows["front"][rows][None], sums[None], live)

    def take_past(self, rows: Ints, *, time: Floats, counts: Floats) -> None:
        """Take ticks from before the canary's first traffic as `take` would; time: (T, n), counts: (T, n, 2, 3)."""
        front = np.maximum(np.maximum.accumulate(time), self.rows["front"][rows])
        sums = np.array([self._keep(rows, now, came) for now, came in zip(time, counts, strict=True)])
        self._judge(rows, front, sums, np.zeros(len(rows)))

    def _keep(self, rows: Ints, time: Floats, counts: Floats) -> Floats:
        """Add counts to the readings; returns what each level's window holds now: (n, levels, 2, 3)."""
        state = self.rows
        ring, window = state["ring"][rows], state["window"][rows]
        times = ring[:, :, 0]
        newest = times.argmax(axis=1)
        at = np.arange(len(rows))
        latest = times[at, newest]
        fresh = (latest == _EMPTY) | (time - latest >= window.min(axis=1) / (SLOTS - 2))
        place = np.where(fresh, times.argmin(axis=1), newest)
        reading = ring[at, place] * ~fresh[:, None]
        reading[:, 1:] += counts.reshape(len(rows), 6)
        reading[:, 0] = np.where(fresh, time, latest)
        ring[at, place] = state["ring"][rows, place] = reading
        front = state["front"][rows] = np.maximum(state["front"][rows], time)
        inside = (times[:, None] > (front[:, None] - window)[:, :, None]) & (times > _EMPTY)[:, None]
        sums = np.matmul(inside.astype(np.float64), ring[:, :, 1:])
        return np.asarray(sums.reshape(len(rows), LEVELS, 2, 3))

    def _judge(self, rows: Ints, now: Floats, sums: Floats, live: Floats) -> None:
        """Judge windows (T, n, levels, 2, 3) at times (T, n) on the objective's scope and on stable (the axis of 2)."""
        state = self.rows
        service = np.flatnonzero(state["scope"][rows] > 0)
        sums[:, service, :, 0] += sums[:, service, :, 1]
        total = np.swapaxes(sums[..., 0], 2, 3)
        bad = np.empty(total.shape)
        for level in range(LEVELS):
            bad[..., level] = sums[:, :, level, :, 1 + level]
        breached = excludes(
            bad, total, state["allowed"][rows][:, None], design=state["design"][rows][:, None],
            least=state["least"][rows][:, None],
        )  # fmt: skip
        gauges = np.flatnonzero(state["sign"][rows])
        if len(gauges):
            sign, beyond = state["sign"][rows[gauges]][:, None, None], state["beyond"][rows[gauges]][:, None]
            number, beyond_target, squares = (np.swapaxes(sums[:, gauges][..., at], 2, 3) for at in range(3))
            breached[:, gauges] = mean_excludes(number, beyond_target * sign, squares, beyond)
        since = unbroken(breached, now, state["since"][rows])
        reached = breached[-1] & (now[-1][:, None, None] - since >= state["lasts"][rows][:, None] * 0.999)
        state["since"][rows] = since
        state["state"][rows] = np.where(total[-1] > 0, 1.0 + reached, 0.0)
        stable = breached[:, :, 1].any(axis=2)
        state["stable_last"][rows] = np.maximum(state["stable_last"][rows], np.where(stable, now, _EMPTY).max(axis=0))
        state["earlier"][rows] = np.maximum(state["earlier"][rows], stable.any(axis=0) & (live == 0))

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


def unbroken(breached: npt.NDArray[np.bool_], now: Floats, since: Floats) -> Floats:
    """Since when (n, ...) breaches (T, n, ...) have gone on at times now (T, n); NaN for none.

    since: (n, ...) since when they had before the first of these times.
    """
    more = (1,) * (since.ndim - 1)
    begun = np.where(breached, -1, np.arange(len(now)).reshape(-1, 1, *more)).max(axis=0) + 1
    fresh = now[np.minimum(begun, len(now) - 1), np.arange(now.shape[1]).reshape(-1, *more)]
    return np.where(breached[-1], np.where((begun == 0) & ~np.isnan(since), since, fresh), np.nan)


def _worst(states: Floats) -> Breach:
    """States of the two levels: 0 no data, 1 not reached, 2 reached."""
    if states[1] == 2.0:
        return Breach.CRITICAL
    if states[0] == 2.0:
        return Breach.WARNING
    return Breach.NONE if states.any() else Breach.UNKNOWN
