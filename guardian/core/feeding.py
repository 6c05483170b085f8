"""From events and levels of single series to rows of pods, tick by tick: the step between series.py and the contests.

Counters come first in a tick: they tell when a canary's traffic begins, and how much each pod served; rows of gauges
and of events without a denominator rest on that (derived.py). The samples of one look may reach far back (history at
the start of a rollout): they are cut into ticks of the policy's interval and fed in the order of time, so that a look
over an hour says the same as many short ones. Ticks of history in which the same pods have rows are taken at once
(history.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.sequential.base import Floats, Ints
from guardian.core import shares
from guardian.core.burning import spend
from guardian.core.contest import Contest
from guardian.core.derived import Came, add_requests, derive
from guardian.core.history import take_history
from guardian.core.layouts import CounterLayout, Layout, LevelLayout
from guardian.core.model import Track
from guardian.core.own_past import remember
from guardian.core.policy import HistogramSli
from guardian.core.series import Deltas, Shown
from guardian.core.ticks import Ticks
from guardian.core.verdicts import Flags

if TYPE_CHECKING:
    from guardian.core.fleet import Fleet


LEAD: Final = 2
"""Ticks after which a pod that appeared keeps step with the others: its first row has no length, its second one has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What pods (n,) gave up to `end`, in `seconds`: the rows of one tick and one layout. counts: (n, F).

    asked: (n,) what each row rests on, see Layout.requests.
    """

    layout: Layout
    pods: Ints
    end: Floats
    seconds: Floats
    counts: Floats
    asked: Floats


class Feeder:
    """Feeds one fleet; keeps nothing of its own."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def feed(self, deltas: Deltas) -> None:
        """Feed all ticks of a look, oldest first."""
        fleet = self._fleet
        series = deltas.series if deltas.shown is None else np.concatenate((deltas.series, deltas.shown.series))
        pods = fleet.table.rows["pod"][series].astype(np.int64)
        self._bind_new(fleet.pods["sheet"][pods].astype(np.int64))
        if not len(pods):
            return
        ticks = self._ticks(deltas, pods)
        if ticks is None:
            return
        for begin, end in ticks.stretches():
            lead = min(begin + LEAD, end)
            for tick in range(begin, lead):
                self._one_tick(ticks, tick)
            if lead < end and not take_history(fleet, ticks, lead, end):
                for tick in range(lead, end):
                    self._one_tick(ticks, tick)

    def _ticks(self, deltas: Deltas, pods: Ints) -> Ticks | None:
        """Events and readings in ticks; pods: of all series, those of levels last. None: no scrape is whole yet."""
        fleet = self._fleet
        counted = len(deltas.series)
        column = fleet.table.rows["column"][deltas.series].astype(np.int64)
        time, value, began = deltas.time, deltas.events, deltas.began
        if deltas.shown is not None:
            found = self._gather(deltas.shown, pods[counted:])
            more = len(found[0])
            pods = np.concatenate((pods[:counted], found[0]))
            column = np.concatenate((column, np.zeros(more, dtype=np.int64)))
            time, value, began = (
                np.concatenate(pair) for pair in ((time, found[1]), (value, found[2]), (began, np.full(more, np.nan)))
            )
        if not len(pods):
            return None
        sheets = fleet.pods["sheet"][pods].astype(np.int64)
        interval = fleet.rollouts["tick"][fleet.sheets["rollout"][sheets].astype(np.int64)]
        return Ticks.of(pods=pods, column=column, time=time, value=value, began=began, interval=interval)

    def _gather(self, shown: Shown, pods: Ints) -> tuple[Ints, Floats, Floats]:
        """Pods, times and values of readings: the levels of the series of each pod, added up scrape by scrape."""
        fleet = self._fleet
        layout = next(one for one in fleet.layouts if isinstance(one, LevelLayout))
        slots = fleet.pods["slot"][pods].astype(np.int64)
        pod_of = np.zeros(layout.carry.size, dtype=np.int64)
        pod_of[slots] = pods
        found = layout.readings.gather(slots, time=shown.time, value=shown.value, before=shown.before)
        for pod in pod_of[found.refused]:
            fleet.sheet_of[int(fleet.pods["sheet"][pod])].refuse("incomplete")
        return pod_of[found.pods], found.time, found.value

    def _bind_new(self, sheets: Ints) -> None:
        """Fix the buckets of histograms that have none yet: those whose series are known by now."""
        unbound = self._fleet.links["layout"][sheets] < 0
        for number in np.unique(sheets[unbound]) if unbound.any() else ():
            sheet = self._fleet.sheet_of[int(number)]
            if isinstance(sheet.guardrail.sli, HistogramSli):
                found = {key.le for pod in sheet.pods.values() for key in pod.series if not np.isnan(key.le)}
                bounds = tuple(sorted(found))
                if len(bounds) >= 2 and np.isinf(bounds[-1]):
                    self._fleet.bind(sheet, bounds)

    def _one_tick(self, ticks: Ticks, tick: int) -> None:
        fleet, rows = self._fleet, ticks.rows(tick, tick + 1)
        pods, end, began = ticks.pods[rows], ticks.end[rows], ticks.began[rows]
        last = fleet.pods["end"][pods]
        start = np.where(np.isnan(last), np.where(np.isnan(began), end, began), last)
        fleet.pods["end"][pods] = np.fmax(last, end)
        seconds = np.maximum(end - start, 0.0)
        owner = fleet.links["layout"][fleet.pods["sheet"][pods].astype(np.int64)]
        batches = []
        for number, layout in enumerate(fleet.layouts):
            chosen = (owner == number).nonzero()[0]
            if len(chosen) and isinstance(layout, CounterLayout):
                counts = ticks.counts(tick, tick + 1, chosen, layout.width)
                came = ticks.came(tick, tick + 1, chosen, layout.width)
                batches.append(self._released(layout, pods[chosen], end[chosen], seconds[chosen], counts, came))
        batches = [rows for rows in batches if len(rows.pods)]
        self._begin_rollouts(batches)
        if fleet.derived:
            batches += self._derived(ticks, tick, Came(pods=pods, end=end, seconds=seconds), owner, batches)
        if batches:
            self._note(batches)
        fleet.roster.settle()

    def _derived(self, ticks: Ticks, tick: int, came: Came, owner: Floats, counted: list[Rows]) -> list[Rows]:
        """Rows of gauges and of events without a denominator."""
        fleet, found = self._fleet, []
        for rows in counted:
            add_requests(fleet, rows.pods, rows.asked)
        for number in fleet.derived:
            layout, chosen = fleet.layouts[number], (owner == number).nonzero()[0]
            mine = came.rows(chosen)
            kept = self._is_ours(mine.pods, mine.end).nonzero()[0]
            if len(kept):
                mine, chosen = mine.rows(kept), chosen[kept]
                self._begin_blind(mine)
                counts = derive(fleet, layout, mine, ticks, tick, chosen)
                found.append(
                    Rows(
                        layout=layout, pods=mine.pods, end=mine.end, seconds=mine.seconds, counts=counts,
                        asked=layout.requests(counts),
                    )
                )  # fmt: skip
        return found

    def _is_ours(self, pods: Ints, end: Floats) -> Flags:
        """Whether rows count here: those of canary pods from before the rollout are an earlier release's."""
        fleet = self._fleet
        since = fleet.rollouts["since"][fleet.sheets["rollout"][fleet.pods["sheet"][pods].astype(np.int64)].astype(int)]
        return np.asarray((fleet.pods["canary"][pods] <= 0) | (end > since))

    def _released(
        self, layout: CounterLayout, pods: Ints, end: Floats, seconds: Floats, events: Floats, came: Flags
    ) -> Rows:
        """The rows that are whole and consistent; the others wait for the rest of their scrape, or are refused."""
        fleet = self._fleet
        counts, sound, losses = layout.release(fleet.pods["slot"][pods].astype(np.int64), events, came)
        if not sound.all():
            refused = losses > 0
            lost = pods[refused]
            for number in fleet.pods["sheet"][lost]:
                fleet.sheet_of[int(number)].refuse("inconsistent")
            sheets, tracks = (fleet.pods[name][lost].astype(np.int64) for name in ("sheet", "track"))
            np.add.at(fleet.sheets["refused"], (sheets, tracks), losses[refused])
            waiting = ~sound & ~refused
            fleet.pods["end"][pods[waiting]] = end[waiting] - seconds[waiting]
        kept = np.flatnonzero(sound & self._is_ours(pods, end))
        return Rows(
            layout=layout, pods=pods[kept], end=end[kept], seconds=seconds[kept], counts=counts[kept],
            asked=layout.requests(counts[kept]),
        )  # fmt: skip

    def _note(self, batches: list[Rows]) -> None:
        """Add rows to totals, objectives, contests and the past."""
        fleet, state = self._fleet, self._fleet.sheets
        pods, end, seconds, asked = (
            np.concatenate([getattr(rows, name) for rows in batches]) for name in ("pods", "end", "seconds", "asked")
        )
        bad = np.concatenate([rows.layout.bad(rows.counts) for rows in batches])
        sheets = fleet.pods["sheet"][pods].astype(np.int64)
        rollouts = state["rollout"][sheets].astype(np.int64)
        canary = fleet.pods["canary"][pods] > 0
        began = fleet.rollouts["began"][rollouts]
        live = end > np.fmin(began, np.inf)
        self._compare(batches)
        track = self._tracks(pods, sheets)
        remember(fleet, pods=pods, sheets=sheets, end=end, seconds=seconds, asked=asked, bad=bad)
        self._keep(sheets, track, end, asked)
        fleet.pods["tick"][pods] = state["ticks"][sheets]
        if live.any():
            np.add.at(state["requests"], (sheets, track), asked * live)
            np.add.at(state["bad"], (sheets, track), bad * live)
            first = fleet.links["first"][sheets] > 0
            shares.count(fleet, rollouts, canary, begin=end - seconds, asked=asked * (live & first))
        begin = 0
        seen = np.zeros((len(pods), 3))
        for rows in batches:
            mine = slice(begin, begin + len(rows.pods))
            begin = mine.stop
            slot = fleet.links["slot"][sheets[mine]].astype(np.int64)
            counts = rows.counts * live[mine, None]
            np.add.at(rows.layout.totals["counts"], (slot, track[mine]), counts)
            rows.layout.carry["live"][fleet.pods["slot"][rows.pods].astype(np.int64)] += counts  # a pod has one row
            seen[mine] = rows.layout.judged(rows.counts, fleet.links["watched"][sheets[mine]])
        self._objectives(batches, sheets, canary, seen)

    def _tracks(self, pods: Ints, sheets: Ints) -> Ints:
        """Code of each pod's track (n,); a control pod that is too old for one is one more of stable's."""
        fleet = self._fleet
        tracks = fleet.pods["track"][pods].astype(np.int64)
        control = np.flatnonzero((tracks == Track.CONTROL.code) & (fleet.pods["member"][pods] >= 0))
        contests = fleet.links["contest"][sheets[control]]
        for number in set(contests.tolist()):
            mine = control[contests == number]
            old = fleet.roster.contests[int(number)].too_old(fleet.pods["member"][pods[mine]].astype(np.int64))
            tracks[mine[old]] = Track.STABLE.code
        return tracks

    def _keep(self, sheets: Ints, track: Ints, end: Floats, asked: Floats) -> None:
        """Keep when the newest rows of sheets and their tracks were, and how many there were."""
        state = self._fleet.sheets
        busy = asked > 0
        np.fmax.at(state["last"], (sheets, track), end)
        np.fmax.at(state["seen"], (sheets[busy], track[busy]), end[busy])
        np.fmax.at(state["front"], sheets, end)
        np.add.at(state["taken"], (sheets, track), 1.0)
        state["ticks"][sheets] += 1.0  # once a sheet, however many of its pods have rows

    def _begin_rollouts(self, counted: list[Rows]) -> None:
        """Notice the canary's first traffic of rollouts that had none, by its requests."""
        for rows in counted:
            busy = (rows.asked > 0) & (self._fleet.pods["canary"][rows.pods] > 0)
            if busy.any():
                self._begin(rows.pods[busy], rows.end[busy] - rows.seconds[busy])

    def _begin_blind(self, came: Came) -> None:
        """Notice it where no guardrail counts requests: by the first row under an accepted weight, or the first."""
        fleet = self._fleet
        rollouts = fleet.sheets["rollout"][fleet.pods["sheet"][came.pods].astype(np.int64)].astype(np.int64)
        settled = fleet.rollouts["settled"][rollouts]
        busy = (fleet.pods["canary"][came.pods] > 0) & (fleet.rollouts["blind"][rollouts] > 0)
        busy &= ~(fleet.rollouts["weight"][rollouts] <= 0) & (came.end >= settled)
        if busy.any():
            self._begin(came.pods[busy], np.maximum(came.end - came.seconds, np.minimum(settled, came.end))[busy])

    def _begin(self, pods: Ints, start: Floats) -> None:
        """Say that the canary had traffic in rows of these pods, if it had none before."""
        fleet = self._fleet
        rollouts = fleet.sheets["rollout"][fleet.pods["sheet"][pods].astype(np.int64)].astype(np.int64)
        fresh = np.isnan(fleet.rollouts["began"][rollouts])
        if not fresh.any():
            return
        first = np.flatnonzero(fresh)
        for number in np.unique(rollouts[first]):
            began = float(start[first][rollouts[first] == number].min())
            fleet.rollouts["began"][number] = began
            arms, _ = fleet.roster.arms_of(np.array([number]))
            fleet.roster.begin(arms, began)

    def _objectives(self, batches: list[Rows], sheets: Ints, canary: Flags, seen: Floats) -> None:
        """Tell objectives what rows saw; where strata are named, once more as if stable lay in the canary's mix.

        To them the old revision is one track, on old pods and on control's.
        """
        self._windows("objective", sheets, canary, seen)
        spend(self._fleet, batches, sheets, "burn", np.ones(len(sheets)))
        if (self._fleet.links["alike"][sheets] >= 0).any():
            likeness = np.concatenate([self._likeness(rows) for rows in batches])
            self._windows("alike", sheets, canary, seen * likeness[:, None])
            spend(self._fleet, batches, sheets, "burn_alike", likeness)

    def _windows(self, windows: str, sheets: Ints, canary: Flags, seen: Floats) -> None:
        """Add to the windows of some objectives; windows: the link to their rows."""
        fleet = self._fleet
        chosen = np.flatnonzero(fleet.links[windows][sheets] >= 0)
        if not len(chosen):
            return
        numbers, place = np.unique(sheets[chosen], return_inverse=True)
        sums = np.zeros((2 * len(numbers), 3))
        np.add.at(sums, 2 * place + ~canary[chosen], seen[chosen])
        front = fleet.sheets["front"][numbers]
        began = fleet.rollouts["began"][fleet.sheets["rollout"][numbers].astype(np.int64)]
        fleet.objectives.take(
            fleet.links[windows][numbers].astype(np.int64), time=front, counts=sums.reshape(-1, 2, 3),
            live=(front > np.fmin(began, np.inf)).astype(np.float64),
        )  # fmt: skip

    def _compare(self, batches: list[Rows]) -> None:
        for rows in batches:
            sheets = self._fleet.pods["sheet"][rows.pods].astype(np.int64)
            for contest, mine, members in self._contests(rows, sheets):
                warm = contest.rows(members, end=rows.end[mine], seconds=rows.seconds[mine], counts=rows.counts[mine])
                np.add.at(self._fleet.sheets["step"], sheets[mine], warm)

    def _likeness(self, rows: Rows) -> Floats:
        """What each row (n,) counts if stable's requests are to lie in the strata as the canary's did so far."""
        pods = self._fleet.pods
        found = np.zeros(len(rows.pods))
        for contest, mine, members in self._contests(rows, pods["sheet"][rows.pods].astype(np.int64)):
            found[mine] = contest.likeness(members)
        return np.where(pods["canary"][rows.pods] > 0, 1.0, found)

    def _contests(self, rows: Rows, sheets: Ints) -> Iterator[tuple[Contest, Ints, Ints]]:
        """Each contest that compares some of these rows, with their places and members."""
        fleet = self._fleet
        members = fleet.pods["member"][rows.pods].astype(np.int64)
        contests = np.where(members >= 0, fleet.links["contest"][sheets], -1.0)
        for number in sorted(set(contests[members >= 0].tolist())):
            mine = (contests == number).nonzero()[0]
            yield fleet.roster.contests[int(number)], mine, members[mine]
