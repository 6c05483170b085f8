"""Which rows of many pods belong to one tick: holds rows back until the pods of a cell have caught up with each other.

A tick may be compared only when all pods cover the same time: a canary row that spans a gap must not be held against
stable rows that do not. It waits for a late pod, briefly; then the tick goes on without it, and the row with which
that pod comes back, which covers the gap, is left out. Sample times only; it reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.baseline import sum_by
from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns
from guardian.core.evidence import Panel

PATIENCE: Final = 3.0
"""Ticks to wait for a late pod while both tracks report."""
LONG_PATIENCE: Final = 120.0
"""Seconds to wait while a whole track is silent."""
ROUND: Final = 0.8
"""Part of the time between two rows of the quickest pod before which no tick is over: pods are scraped by turns, and
one by one canary and stable would never be in the same tick."""
AT_ONCE: Final = 1e-3
"""Seconds within which rows of pods whose interval is not known yet count as of one time; unix time has no 1e-9 s."""
_NEVER: Final = -1e300


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the pods (S,) of some cells (C,) stand: `group` is the place of each pod's cell, sorted.

    front: (C,) end of the newest row. tick: (C,) usual interval. current: (S,) whether a pod kept up with front.
    """

    cells: Ints
    pods: Ints
    group: Ints
    front: Floats
    tick: Floats
    current: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Ticks (T,) in which every pod (S,) of some cells (C,) has a row.

    order: (S,) pods by cell. front: (T, C) end of the newest row.
    """

    cells: Ints
    order: Ints
    front: Floats


class Intake:
    """Rows that wait for their tick, for every pod of one panel."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.pods = Columns(
            {"counts": (panel.test.columns,), "end": (), "interval": (), "waiting": (), "left": (), "seen": ()}
        )
        self.cells = Columns({"cursor": (), "touched": ()})

    def add_cell(self, cell: int) -> None:
        """Make room for a cell; numbers are the panel's."""
        self.cells.reach(cell)
        self.cells["cursor"][cell] = _NEVER

    def add_pod(self, pod: int) -> None:
        """Make room for a pod; numbers are the panel's."""
        self.pods.reach(pod)
        self.pods["end"][pod] = _NEVER

    def drop(self, cell: int) -> None:
        """Forget a cell with its pods, before the panel does."""
        for pod in np.flatnonzero(self.panel.pods["cell"][: self.panel.pods.size] == cell):
            self.pods.clear(int(pod))
        self.cells.clear(cell)

    def leave(self, cells: Ints) -> None:
        """Forget what pods beside the canary's wait with, and wait for none of them: they are asked no more."""
        pods, _ = self.panel.members(cells)
        pods = pods[self.panel.pods["canary"][pods] <= 0]
        for name, value in (("counts", 0.0), ("waiting", 0.0), ("left", 1.0)):
            self.pods[name][pods] = value

    def offer(self, pods: Ints, *, end: Floats, seconds: Floats, counts: Floats) -> None:
        """Take one row a pod (S,): it covers (end - seconds, end] and counted (S, F). Each pod at most once a call."""
        state = self.pods
        behind = state["left"][pods] > 0
        state["counts"][pods] += np.where(behind[:, None], 0.0, counts)
        state["left"][pods] = 0.0
        state["end"][pods] = end
        usual = state["interval"][pods]
        longer = np.minimum(seconds, 1.25 * usual)
        state["interval"][pods] = np.where(usual > 0, np.where(seconds > 0, longer, usual), seconds)
        state["waiting"][pods] = 1.0
        state["seen"][pods] = 1.0
        self.cells["touched"][self.panel.pods["cell"][pods].astype(np.int64)] = 1.0

    def tick(self, cells: Ints) -> Floats:
        """Usual seconds between rows of each cell (C,); 0 where there was none."""
        pods, group = self.panel.members(cells)
        longest = np.zeros(len(cells))
        np.maximum.at(longest, group, self.pods["interval"][pods])
        return longest

    def ready(self) -> Standing:
        """Cells whose tick can be folded now, of those that got rows since they were last asked about."""
        cells = np.flatnonzero(self.cells["touched"][: self.cells.size])
        self.cells["touched"][cells] = 0.0
        standing = self._standing(cells)
        pods, group = standing.pods, standing.group
        known = (self.pods["seen"][pods] > 0) & (self.pods["left"][pods] == 0)
        late = known & ~standing.current
        over = self._over(standing)
        if not late.any():
            return standing if over.all() else self._standing(cells[over])
        canary = self.panel.pods["canary"][pods] > 0
        waited = standing.front - self.cells["cursor"][cells]
        silent = np.zeros(len(cells), dtype=np.bool_)
        for side in (canary, ~canary):
            here = sum_by((standing.current & side).astype(np.float64), group, len(cells)) > 0
            gone = sum_by((late & side).astype(np.float64), group, len(cells)) > 0
            silent |= gone & ~here
        patience = PATIENCE * standing.tick
        limit = np.where(silent, np.maximum(LONG_PATIENCE, patience), patience)
        blocked = sum_by(late.astype(np.float64), group, len(cells)) > 0
        return self._standing(cells[over & (~blocked | (waited >= limit * 0.999))])

    def _over(self, standing: Standing) -> npt.NDArray[np.bool_]:
        """Whether a tick lasted so long (C,) that each pod had its turn, where scrapes are rarer than looks."""
        interval = self.pods["interval"][standing.pods]
        quickest = np.full(len(standing.cells), np.inf)
        known = (interval > 0) & standing.current
        np.minimum.at(quickest, standing.group[known], interval[known])
        waited = standing.front - self.cells["cursor"][standing.cells]
        return np.asarray(waited >= ROUND * np.where(np.isfinite(quickest), quickest, 0.0))

    def stretch(self, pods: Ints, end: Floats, seconds: Floats) -> Stretch | None:
        """Many ticks of some pods as one, if each would be folded as it comes; else None: offer them one by one.

        end, seconds: (T, S). None where a row waits, a pod that counts is not among `pods` or lags behind the others,
        or rows become much rarer.
        """
        owner = self.panel.pods["cell"][pods].astype(np.int64)
        order = np.argsort(owner, kind="stable")
        cells, first, group = np.unique(owner[order], return_index=True, return_inverse=True)
        front = np.maximum.reduceat(end[:, order], first, axis=1)
        mine, _ = self.panel.members(cells)
        counting = mine[(self.pods["seen"][mine] > 0) & (self.pods["left"][mine] == 0)]
        usual = np.vstack((self.pods["interval"][pods], seconds[:-1]))
        calm = (seconds > 0) & ((usual == 0) | (seconds <= 1.25 * usual))
        kept_up = end[:, order] > front[:, group] - 0.99 * seconds[:, order]
        if (
            self.pods["waiting"][mine].any()
            or not np.array_equal(np.sort(counting), np.sort(pods))
            or not (calm.all() and kept_up.all())
        ):
            return None
        return Stretch(cells=cells, order=order, front=front)

    def take_past(self, stretch: Stretch, pods: Ints, *, end: Floats, seconds: Floats, counts: Floats) -> None:
        """Hand ticks of history to the panel as `offer`, `ready` and `fold` would one by one; counts: (T, S, F)."""
        self.pods["end"][pods], self.pods["interval"][pods] = end[-1], seconds[-1]
        since = self.cells["cursor"][stretch.cells]
        self.cells["cursor"][stretch.cells] = stretch.front[-1]
        self.panel.fold_past(
            pods[stretch.order], counts[:, stretch.order],
            seconds=np.diff(stretch.front, axis=0, prepend=since[None]), cells=stretch.cells,
        )  # fmt: skip

    def _standing(self, cells: Ints) -> Standing:
        pods, group = self.panel.members(cells)
        front = np.full(len(cells), _NEVER)
        tick = np.zeros(len(cells))
        end, interval = self.pods["end"][pods], self.pods["interval"][pods]
        np.maximum.at(front, group, end)
        np.maximum.at(tick, group, interval)
        kept_up = end > front[group] - 0.99 * np.maximum(interval, AT_ONCE)
        current = kept_up & (self.pods["seen"][pods] > 0)
        return Standing(cells=cells, pods=pods, group=group, front=front, tick=tick, current=current)

    def fold(self, ready: Standing, *, began: Floats) -> None:
        """Hand the ticks of these cells to the panel; began: (C,) first canary traffic, inf when there was none."""
        cells, pods, front = ready.cells, ready.pods, ready.front
        state = self.pods
        taken = pods[ready.current & (state["waiting"][pods] > 0)]
        counts = state["counts"][taken]
        known = (state["seen"][pods] > 0) & ~ready.current
        state["left"][pods[known]] = 1.0
        for name in ("counts", "waiting"):
            state[name][pods] = 0.0
        cursor = self.cells["cursor"][cells]
        seconds = np.where(cursor > _NEVER, front - cursor, ready.tick)
        self.cells["cursor"][cells] = front
        self.panel.fold(
            taken, counts, elapsed=np.where(np.isfinite(began), front - began, -1.0), seconds=seconds, cells=cells
        )
