"""From events of single series to rows of pods, tick by tick: the step between series.py and the contests.

The samples of one look may reach far back (history at the start of a rollout): they are cut into ticks of the
policy's interval and fed in the order of time, so that a look over an hour says the same as many short ones.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from analysis.sequential.base import Floats, Ints
from guardian.core.objectives import Objectives
from guardian.core.policy import HistogramSli, Slo
from guardian.core.series import Deltas
from guardian.core.sheets import Layout
from guardian.core.verdicts import Flags

if TYPE_CHECKING:
    from guardian.core.fleet import Fleet


class Feeder:
    """Feeds one fleet; keeps nothing of its own."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def feed(self, deltas: Deltas) -> None:
        """Feed all ticks of a look, oldest first."""
        fleet = self._fleet
        pods = fleet.table.rows["pod"][deltas.series].astype(np.int64)
        sheets = fleet.pods["sheet"][pods].astype(np.int64)
        self._bind_new(np.unique(sheets))
        rollouts = fleet.sheets["rollout"][sheets].astype(np.int64)
        interval = fleet.rollouts["tick"][rollouts]
        tick = np.ceil(deltas.time / interval - 1e-9) * interval
        order = np.argsort(tick, kind="stable")
        if not len(order):
            return
        cuts = np.flatnonzero(np.concatenate(([True], np.diff(tick[order]) != 0, [True])))
        for begin, end in pairwise(cuts):
            rows = order[begin:end]
            self._one_tick(deltas, rows, pods[rows])

    def _bind_new(self, sheets: Ints) -> None:
        """Fix the buckets of histograms that have none yet: those whose series are known by now."""
        for number in sheets:
            sheet = self._fleet.sheet_of[int(number)]
            if sheet.layout is None and isinstance(sheet.guardrail.sli, HistogramSli):
                found = {key.le for pod in sheet.pods.values() for key in pod.series if not np.isnan(key.le)}
                bounds = tuple(sorted(found))
                if len(bounds) >= 2 and np.isinf(bounds[-1]):
                    self._fleet.bind(sheet, bounds)

    def _one_tick(self, deltas: Deltas, rows: Ints, pods: Ints) -> None:
        fleet = self._fleet
        mine, first, place = np.unique(pods, return_index=True, return_inverse=True)
        end = np.full(len(mine), -np.inf)
        np.maximum.at(end, place, deltas.time[rows])
        began = np.full(len(mine), np.nan)
        np.fmin.at(began, place, deltas.began[rows])
        last = fleet.pods["end"][mine]
        start = np.where(np.isnan(last), np.where(np.isnan(began), end, began), last)
        fleet.pods["end"][mine] = np.fmax(last, end)
        layouts, owner = self._layouts(pods)
        self._add_up(deltas, rows, pods, layouts, owner)
        released = [
            (layout, mine[chosen], end[chosen], np.maximum(end - start, 0.0)[chosen])
            for key, layout in layouts.items()
            if len(chosen := np.flatnonzero(owner[first] == key))
        ]
        batches = [self._release(*each) for each in released]
        self._begin_rollouts(batches)
        for batch in batches:
            self._note(*batch)
        fleet.roster.settle()

    def _layouts(self, pods: Ints) -> tuple[dict[int, Layout], Ints]:
        """Layouts of pods by a key of each, and the key of each pod's; 0 where there is none yet."""
        sheets = self._fleet.pods["sheet"][pods].astype(np.int64)
        numbers, place = np.unique(sheets, return_inverse=True)
        found = [self._fleet.sheet_of[int(number)].layout for number in numbers]
        layouts = {id(layout): layout for layout in found if layout is not None}
        keys = np.array([0 if layout is None else id(layout) for layout in found], dtype=np.int64)
        return layouts, keys[place]

    def _add_up(self, deltas: Deltas, rows: Ints, pods: Ints, layouts: dict[int, Layout], owner: Ints) -> None:
        """Add the events to what their pods carry; owner: key of each pod's layout."""
        fleet = self._fleet
        column = fleet.table.rows["column"][deltas.series[rows]].astype(np.int64)
        slot = fleet.pods["slot"][pods].astype(np.int64)
        for key, layout in layouts.items():
            chosen = (owner == key) & (column >= 0) & (slot >= 0)
            np.add.at(layout.carry["counts"], (slot[chosen], column[chosen]), deltas.events[rows][chosen])

    def _release(
        self, layout: Layout, pods: Ints, end: Floats, seconds: Floats
    ) -> tuple[Layout, Ints, Floats, Floats, Floats]:
        counts, sound, refused = layout.release(self._fleet.pods["slot"][pods].astype(np.int64))
        for pod in pods[refused]:
            self._fleet.sheet_of[int(self._fleet.pods["sheet"][pod])].refuse("inconsistent")
        waiting = ~sound & ~refused
        back = pods[waiting]
        self._fleet.pods["end"][back] = end[waiting] - seconds[waiting]
        rollouts = self._fleet.sheets["rollout"][self._fleet.pods["sheet"][pods].astype(np.int64)].astype(np.int64)
        ours = (self._fleet.pods["canary"][pods] <= 0) | (end > self._fleet.rollouts["since"][rollouts])
        kept = np.flatnonzero(sound & ours)
        return layout, pods[kept], end[kept], seconds[kept], counts[kept]

    def _begin_rollouts(self, batches: list[tuple[Layout, Ints, Floats, Floats, Floats]]) -> None:
        """Notice the canary's first traffic of rollouts that had none."""
        fleet = self._fleet
        for layout, pods, end, seconds, counts in batches:
            busy = requests(layout, counts) > 0
            first = np.flatnonzero(busy & (fleet.pods["canary"][pods] > 0))
            rollouts = fleet.sheets["rollout"][fleet.pods["sheet"][pods[first]].astype(np.int64)].astype(np.int64)
            fresh = np.isnan(fleet.rollouts["began"][rollouts])
            if not fresh.any():
                continue
            for number in np.unique(rollouts[fresh]):
                mine = first[rollouts == number]
                began = float((end - seconds)[mine].min())
                fleet.rollouts["began"][number] = began
                arms, _ = fleet.roster.arms_of(np.array([number]))
                fleet.roster.begin(arms, began)

    def _note(self, layout: Layout, pods: Ints, end: Floats, seconds: Floats, counts: Floats) -> None:
        """Add rows to totals, objectives and contests."""
        fleet, state = self._fleet, self._fleet.sheets
        if not len(pods):
            return
        sheets = fleet.pods["sheet"][pods].astype(np.int64)
        side = np.where(fleet.pods["canary"][pods] > 0, 0, 1)
        rollouts = state["rollout"][sheets].astype(np.int64)
        live = end > np.fmin(fleet.rollouts["began"][rollouts], np.inf)
        asked = requests(layout, counts)
        np.fmax.at(state["last"], (sheets, side), end)
        busy = asked > 0
        np.fmax.at(state["seen"], (sheets[busy], side[busy]), end[busy])
        np.fmax.at(state["front"], sheets, end)
        np.add.at(state["requests"], (sheets[live], side[live]), asked[live])
        if not layout.bounds:
            np.add.at(state["bad"], (sheets[live], side[live]), counts[live, 1])
        slots = np.array([fleet.sheet_of[int(number)].slot for number in sheets], dtype=np.int64)
        np.add.at(layout.totals["counts"], (slots[live], side[live]), counts[live])
        settled = end - seconds >= fleet.rollouts["settled"][rollouts]
        self._share(sheets, rollouts, side, asked, live & settled)
        self._objectives(layout, sheets, side, counts, asked)
        self._compare(pods, sheets, end, seconds, counts)

    def _share(self, sheets: Ints, rollouts: Ints, side: Ints, asked: Floats, chosen: Flags) -> None:
        """Requests of both tracks since the step began, by the first guardrail that counts any."""
        fleet = self._fleet
        first = np.array(
            [next(iter(opened.sheets.values())).number for opened in fleet.opened.values()], dtype=np.int64
        )
        counting = np.zeros(fleet.sheets.size, dtype=np.bool_)
        counting[first] = True
        chosen = counting[sheets] & chosen
        np.add.at(fleet.rollouts["share"], (rollouts[chosen], side[chosen]), asked[chosen])

    def _objectives(self, layout: Layout, sheets: Ints, side: Ints, counts: Floats, asked: Floats) -> None:
        fleet = self._fleet
        numbers, place = np.unique(sheets, return_inverse=True)
        sums = np.zeros((len(numbers), 2, 3))
        np.add.at(sums[:, :, 0], (place, side), asked)
        rows = []
        for i, number in enumerate(numbers):
            sheet = fleet.sheet_of[int(number)]
            rows.append(sheet.objective)
            if sheet.guardrail.objective is None:
                continue
            mine = np.flatnonzero(place == i)
            bad = beyond(sheet.guardrail.objective, layout, counts[mine])
            np.add.at(sums[i, :, 1:], side[mine], bad)
        chosen = np.array(rows) >= 0
        if not chosen.any():
            return
        kept = numbers[chosen]
        began = fleet.rollouts["began"][fleet.sheets["rollout"][kept].astype(np.int64)]
        front = fleet.sheets["front"][kept]
        live = (front > np.fmin(began, np.inf)).astype(np.float64)
        objectives: Objectives = fleet.objectives
        objectives.take(np.array(rows)[chosen], time=front, counts=sums[chosen], live=live)

    def _compare(self, pods: Ints, sheets: Ints, end: Floats, seconds: Floats, counts: Floats) -> None:
        fleet = self._fleet
        members = fleet.pods["member"][pods].astype(np.int64)
        contests = np.array([fleet.sheet_of[int(number)].contest for number in sheets], dtype=np.int64)
        for number in np.unique(contests[members >= 0]):
            mine = np.flatnonzero((contests == number) & (members >= 0))
            contest = fleet.roster.contests[number]
            cells = contest.members["cell"][members[mine]].astype(np.int64)
            before = contest.cells["warm_requests"][cells]
            contest.rows(members[mine], end=end[mine], seconds=seconds[mine], counts=counts[mine])
            gained, first = contest.cells["warm_requests"][cells] - before, np.unique(cells, return_index=True)[1]
            fleet.sheets["step"][sheets[mine][first]] += gained[first]


def requests(layout: Layout, counts: Floats) -> Floats:
    """Requests in each row (n, F)."""
    return counts.sum(axis=1) if layout.bounds else np.asarray(counts[:, 0])


def beyond(objective: Slo, layout: Layout, counts: Floats) -> Floats:
    """Bad requests per level (n, 2): the bad ones, or those surely slower than the level's bound."""
    if not layout.bounds:
        return np.repeat(counts[:, 1:2], 2, axis=1)
    out = np.zeros((len(counts), 2))
    lower = np.concatenate(([0.0], layout.bounds[:-1]))
    for i, level in enumerate((objective.warning, objective.critical)):
        if level is not None:
            out[:, i] = counts[:, lower >= level.bound * (1.0 - 1e-9)].sum(axis=1)
    return out
