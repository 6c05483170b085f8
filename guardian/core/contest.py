"""Canary against stable for every guardrail that is judged by the same rule: rows of counts in, log evidence out.

It puts the parts together: warm and warming pods apart, rows aligned into ticks (intake.py), evidence (evidence.py).
It knows neither rollouts nor policies, and does not combine guardrails (fleet.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.multiplicity import average
from analysis.sequential.base import Floats, Ints, Test
from analysis.sequential.latency import LatencyTest
from analysis.users import Users
from guardian.core.columns import Columns
from guardian.core.evidence import Panel
from guardian.core.intake import Intake, Stretch
from guardian.core.model import TRACKS, Track
from guardian.core.strata import likeness
from guardian.core.verdicts import UNREST, Flags

WARMING_WEIGHT: Final = 0.15
"""Part of a guardrail's risk that goes to its pods that are still warming."""
OLDER: Final = 600.0
"""Seconds by which a control pod's first row may come before the canary's: a pod older than that is no control."""
FORGOTTEN: Final = 2400.0
"""Seconds by which stable's last minutes age at the hand-over: control's few requests soon outweigh them."""
IDLE: Final = 60.0
IDLE_GAPS: Final = 20.0
"""Seconds, or usual gaps between two requests, without one after which a canary counts as idle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Logs of evidence, (C,) each.

    harm: the canary is beyond the rollback margin, warm and warming pods together. safe: warm canary pods are within
    the promote margin. unrest: the largest of a single start and alternative, whether something began lately; 0 where
    nothing is close to a promotion, or it cannot be so large that it matters.
    """

    harm: Floats
    safe: Floats
    unrest: Floats


Stretches = list[tuple[Intake, Ints, Stretch]]
"""Per arm of a contest its pods and their ticks; see `Contest.stretches`."""


class Contest:
    """All cells of one rule. A member is one pod of one track of one cell.

    fresh: see Noise. users: see Panel. baseline: what the canary stands against. Where that is control, stable's pods
    are its past only, and from the canary's first traffic on `stable_last` and `stable_seen` of a cell are control's.
    """

    def __init__(
        self, test: Test, *, warming: Test | None = None, warm_up: float = 0.0, fresh: bool = False,
        users: Users | None = None, baseline: Track = Track.STABLE,
    ) -> None:  # fmt: skip
        self.test, self.warm_up, self.baseline = test, warm_up, baseline
        self.arms = [Intake(Panel(each, fresh=fresh, users=users)) for each in (test, warming) if each is not None]
        self.members = Columns(
            {"cell": (), "track": (), "first": (), "main": (), "warm": (), "stratum": (), "whole": ()}
        )
        self.cells = Columns(
            {
                "began": (), "history": (), "canary_last": (), "stable_last": (), "canary_seen": (),
                "stable_seen": (), "warm_requests": (), "front": (), "born": (), "handed_over": (),
            }
        )  # fmt: skip
        self._mine: dict[int, list[int]] = {}
        """Members of each cell: looking for them among all would cost every look the more, the more rollouts run."""
        self.cells.add()

    @property
    def panel(self) -> Panel:
        """Evidence of the warm pods."""
        return self.arms[0].panel

    @property
    def bounds(self) -> tuple[float, ...]:
        """Upper bounds of the buckets; empty where there are none."""
        return self.test.bounds if isinstance(self.test, LatencyTest) else ()

    def _parts(self) -> tuple[float, ...]:
        """Part of a guardrail's risk for each arm."""
        return (1.0,) if len(self.arms) == 1 else (1.0 - WARMING_WEIGHT, WARMING_WEIGHT)

    def tick(self, cells: Ints) -> Floats:
        """Usual seconds between rows of each cell (C,)."""
        return self.arms[0].tick(cells)

    def idle(self, cells: Ints, now: Floats) -> Flags:
        """Whether the canary stopped receiving requests (C,), for far longer than its usual gap between two."""
        requests = self.test.requests(self.panel.cells["totals"][cells][:, 0])
        elapsed = now - self.cells["began"][cells]
        gap = np.divide(elapsed, requests, out=np.full(len(cells), np.inf), where=requests > 0)
        allowed = np.maximum(IDLE, IDLE_GAPS * gap)
        return np.asarray(~(now - np.fmax(self.cells["canary_seen"][cells], -np.inf) <= allowed))

    def served(self, cell: int) -> bool:
        """Whether the canary had a request since its first traffic, warming or warm."""
        return any(self.test.requests(arm.panel.cells["totals"][cell, 0]) > 0 for arm in self.arms)

    def add_cell(self, *, risk: float) -> int:
        """Make room for one guardrail of one rollout and return its number; risk: chance of a false rollback by it."""
        cell = self.cells.add()
        for arm, part in zip(self.arms, self._parts(), strict=True):
            arm.add_cell(arm.panel.add_cell(risk * part))
        for name in ("began", "canary_last", "stable_last", "canary_seen", "stable_seen", "front", "born"):
            self.cells[name][cell] = np.nan
        return cell

    def first_stratum(self, cell: int) -> int:
        """Number of the stratum that a cell has from the beginning."""
        return self.panel.strata.first(cell)

    def add_stratum(self, cell: int) -> int:
        """Make room for a further stratum of a cell and return its number, the same in each arm."""
        number, *_ = [arm.panel.strata.add(cell) for arm in self.arms]
        return number

    def likeness(self, members: Ints) -> Floats:
        """What requests of these pods (S,) of stable count; see strata.likeness."""
        weights = likeness([arm.panel.strata for arm in self.arms])
        return np.asarray(weights[self.members["stratum"][members].astype(np.int64)])

    def add_member(
        self, cell: int, *, track: Track, merged: bool = False, stratum: int | None = None, whole: int | None = None
    ) -> int:
        """Make room for one pod and return its number; merged: it stands for all pods of its track.

        stratum: where it serves. whole: its first member, where it serves in several strata.
        """
        for arm in self.arms:
            arm.panel.noise.cells["merged"][cell] = float(merged)
        member = self.members.add()
        row = {"cell": float(cell), "track": float(track.code), "first": np.nan, "main": -1.0, "warm": -1.0}
        row["stratum"] = self.first_stratum(cell) if stratum is None else stratum
        row["whole"] = member if whole is None else whole
        for name, value in row.items():
            self.members[name][member] = value
        self._mine.setdefault(cell, []).append(member)
        return member

    def drop(self, cell: int) -> None:
        """Forget a cell with its members; their numbers are used again."""
        for member in self._mine.pop(cell, ()):
            self.members.give_back(member)
        for arm in self.arms:
            arm.drop(cell)
            arm.panel.drop(cell)
        self.cells.give_back(cell)

    def begin(self, cell: int, began: float) -> None:
        """Say when the canary of a cell got its first traffic."""
        self.cells["began"][cell] = began

    def rows(self, members: Ints, *, end: Floats, seconds: Floats, counts: Floats) -> Floats:
        """Take one row a member (S,) with counts (S, F); it covers (end - seconds, end]. seconds 0: baseline row.

        Returns the requests (S,) of warm canary pods among them.
        """
        if not len(members):
            return np.zeros(0)
        cells, track = (self.members[name][members].astype(np.int64) for name in ("cell", "track"))
        canary = track == Track.CANARY.code
        whole = self.members["whole"][members].astype(np.int64)  # a pod is as old in all strata
        np.fmin.at(self.members["first"], whole, end)
        first = self.members["first"][whole]
        np.fmin.at(self.cells["born"], cells[canary], end[canary])
        began = self.cells["began"][cells]
        live = end > np.fmin(began, np.inf)
        against = self._against(members, cells, track, live)
        self._note(cells, canary, against, end, counts)
        young = (end - seconds - first < self.warm_up) & (live | canary) & (self.warm_up > 0)
        control = against & (track == Track.CONTROL.code)
        stable = against & ~control & ~(young & (first > np.fmin(began, np.inf)))
        self._route(0, "main", members, stable | ((canary | control) & ~young), end, seconds, counts)
        if len(self.arms) > 1:
            self._route(1, "warm", members, stable | control | (canary & young), end, seconds, counts)
        warm = self.test.requests(counts) * (canary & ~young)
        np.add.at(self.cells["warm_requests"], cells, warm)
        return np.asarray(warm)

    def _against(self, members: Ints, cells: Ints, track: Ints, live: Flags) -> Flags:
        """Whether rows (S,) are of what the canary stands against at their time: stable's, or control's from now on."""
        stable = track == Track.STABLE.code
        if self.baseline is Track.STABLE:
            return np.asarray(stable)
        self._hand_over(np.unique(cells[live & (self.cells["handed_over"][cells] == 0)]))
        control = (track == Track.CONTROL.code) & live & ~self.too_old(members)
        return np.asarray((stable & (self.cells["handed_over"][cells] == 0)) | control)

    def _hand_over(self, cells: Ints) -> None:
        """Forget what stable's pods wait with, and that they were there: from now on control's are asked."""
        if not len(cells):
            return
        self.cells["handed_over"][cells] = 1.0
        self.cells["stable_last"][cells] = self.cells["stable_seen"][cells] = np.nan
        for arm in self.arms:
            arm.leave(cells)
            test, strata = arm.panel.test, arm.panel.strata
            rows = strata.of(cells).strata
            memory, nothing = strata.rows["memory"][rows], np.zeros((len(rows), test.columns))
            test.remember(memory, nothing, seconds=np.full(len(rows), FORGOTTEN), history=False)
            strata.rows["memory"][rows] = memory

    def too_old(self, members: Ints) -> Flags:
        """Whether pods (S,) began so long before the canary's first that they are no control of its age."""
        whole, cells = (self.members[name][members].astype(np.int64) for name in ("whole", "cell"))
        return np.asarray(self.members["first"][whole] < self.cells["born"][cells] - OLDER)

    def calibrated(self, cell: int) -> bool:
        """Whether enough was seen of stable against itself; and, against control, of pods of the canary's age."""
        enough = bool(self.panel.calibrated(np.array([cell]))[0])
        if self.baseline is Track.STABLE or not enough:
            return enough
        return max(self.controls(cell), len(self._pods(cell, Track.CANARY))) > 1

    def _pods(self, cell: int, track: Track) -> Ints:
        """The pods of a track, each once."""
        mine = np.array(self._mine.get(cell, ()), dtype=np.int64)
        track_of, whole = (self.members[name][mine] for name in ("track", "whole"))
        return np.asarray(mine[(track_of == track.code) & (whole == mine)])

    def controls(self, cell: int) -> int:
        """How many control pods of the canary's age were seen."""
        control = self._pods(cell, Track.CONTROL)
        return len(control) - int(self.too_old(control).sum())

    def older(self, cell: int) -> int:
        """How many control pods were seen that are too old for it."""
        control = self._pods(cell, Track.CONTROL)
        return int(self.too_old(control).sum()) if len(control) else 0

    def stretches(self, members: Ints, end: Floats, seconds: Floats) -> Stretches | None:
        """Ticks of history (T, S) of stable members (S,), for each arm; None if an arm must get them one by one."""
        found: Stretches = []
        for name, arm in zip(("main", "warm"), self.arms, strict=False):
            pods = self.members[name][members].astype(np.int64)
            stretch = arm.stretch(pods, end, seconds) if (pods >= 0).all() else None
            if stretch is None:
                return None
            found.append((arm, pods, stretch))
        return found

    def take_past(self, stretches: Stretches, members: Ints, *, end: Floats, seconds: Floats, counts: Floats) -> None:
        """Take these ticks as `rows` and `settle` would one by one; counts: (T, S, F)."""
        cells = self.members["cell"][members].astype(np.int64)
        busy = np.where(self.test.requests(counts) > 0, end, -np.inf).max(axis=0)
        np.fmax.at(self.cells["stable_last"], cells, end[-1])
        np.fmax.at(self.cells["stable_seen"], cells, np.where(np.isfinite(busy), busy, np.nan))
        np.fmax.at(self.cells["front"], cells, end[-1])
        self.cells["history"][cells] = 1.0
        for arm, pods, stretch in stretches:
            arm.take_past(stretch, pods, end=end, seconds=seconds, counts=counts)

    def _note(self, cells: Ints, canary: Flags, against: Flags, end: Floats, counts: Floats) -> None:
        """Keep the newest row of the canary and of what it stands against, and the newest one with requests in it."""
        busy = self.test.requests(counts) > 0
        for side, name in ((canary, "canary"), (against, "stable")):
            np.fmax.at(self.cells[f"{name}_last"], cells[side], end[side])
            np.fmax.at(self.cells[f"{name}_seen"], cells[side & busy], end[side & busy])
        np.fmax.at(self.cells["front"], cells, end)
        began = self.cells["began"][cells]
        past = against & (end <= np.fmin(began, np.inf))
        self.cells["history"][cells[past]] = 1.0

    def _route(
        self, arm: int, slot: str, members: Ints, chosen: Flags, end: Floats, seconds: Floats, counts: Floats,
    ) -> None:  # fmt: skip
        picked = np.flatnonzero(chosen)
        if not len(picked):
            return
        slots = self.members[slot]
        intake = self.arms[arm]
        for row in picked[slots[members[picked]] < 0]:
            self.seat(int(members[row]), slot, intake)
        pods = slots[members[picked]].astype(np.int64)
        intake.offer(pods, end=end[picked], seconds=seconds[picked], counts=counts[picked])

    def seat(self, member: int, slot: str, intake: Intake) -> int:
        """Give a member its place in one arm ("main" or "warm"), once, and return the pod's number there."""
        if (known := int(self.members[slot][member])) >= 0:
            return known
        cell, stratum, whole = (int(self.members[name][member]) for name in ("cell", "stratum", "whole"))
        first = self.seat(whole, slot, intake) if whole != member else None
        track = TRACKS[int(self.members["track"][member])]
        pod = intake.panel.add_pod(cell, track=track, stratum=stratum, whole=first)
        intake.add_pod(pod)
        self.members[slot][member] = pod
        return pod

    def settle(self) -> Ints:
        """Fold every tick that is complete; returns the cells (C,) whose evidence may have changed, sorted."""
        changed = []
        for arm in self.arms:
            ready = arm.ready()
            if len(ready.cells):
                arm.fold(ready, began=np.fmin(self.cells["began"][ready.cells], np.inf))
                changed.append(ready.cells)
        if len(changed) == 1:
            return changed[0]
        return np.unique(np.concatenate(changed)) if changed else np.zeros(0, dtype=np.int64)

    def evidence(self, cells: Ints) -> Evidence:
        """What all ticks so far say of these cells (C,); their gains are worked out once."""
        gain = self.panel.gains(cells)
        harm, safe = self.panel.harm(cells, gain), self.panel.safe(cells)
        if len(self.arms) > 1:
            warming = self.arms[1].panel
            each = np.stack((harm, warming.harm(cells, warming.gains(cells))), axis=1)
            harm = average(each, np.array(self._parts()))
        unrest = np.zeros(len(cells))
        largest = gain.max(axis=(1, 2))  # no correction for dependence makes more of a gain
        near = np.flatnonzero((safe > 0.0) & (largest > UNREST))  # unrest only ever delays a promotion
        if len(near):
            unrest[near] = self.panel.unrest(cells[near], gain[near])
        return Evidence(harm=harm, safe=safe, unrest=unrest)
