"""All evidence of a process, as arrays: raw samples in, one Look a rollout out.

What is new in samples is found per series (series.py), added up per pod and tick (feeding.py), compared (roster.py)
and told (telling.py). It reads no clock, keeps no journal and decides nothing; nothing that comes from outside makes it
raise.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from analysis.rates import Step
from guardian.core import shares
from guardian.core.apart import Apart, Mark
from guardian.core.burning import Burning
from guardian.core.checkpoints import pack, unpack
from guardian.core.columns import Columns
from guardian.core.feeding import Feeder
from guardian.core.layouts import CounterLayout, EventLayout, Layout, layout_of
from guardian.core.looks import Look, Observed, SeriesKey
from guardian.core.model import TRACKS, Instant, RolloutId, Track, Weight
from guardian.core.objectives import Objectives
from guardian.core.own_past import OwnPast
from guardian.core.policy import CountSli, GaugeSli, HistogramSli, Policy
from guardian.core.roster import TRACE, Roster
from guardian.core.series import SeriesTable
from guardian.core.sheets import Pod, Sheet
from guardian.core.strata import STRATA
from guardian.core.telling import tell
from guardian.core.verdicts import Trace

ALWAYS = Instant(-math.inf)
ROLLOUTS: Final[Mapping[str, tuple[int, ...]]] = {
    **shares.SHARES,
    "began": (), "since": (), "tick": (), "notes": (TRACE, 2),
    "switched": (),  # when all traffic was given to the canary, inf before
    "weight": (),  # accepted canary share, NaN where nobody sets one
    "blind": (),  # 1 where no guardrail counts requests: rows and weight tell when traffic began
}  # fmt: skip
EACH: Final = (len(TRACKS),)
SHEETS: Final[Mapping[str, tuple[int, ...]]] = {
    "requests": EACH, "bad": EACH, "last": EACH, "seen": EACH, "step": (), "rollout": (), "front": (), "ticks": (),
    "taken": EACH, "refused": EACH,
    "asked": EACH,  # requests so far, history included, where events are judged by them
}  # fmt: skip
LINKS: Final[Mapping[str, tuple[int, ...]]] = {
    "layout": (), "slot": (), "contest": (), "objective": (), "alike": (), "watched": (2,), "first": (), "exposing": (),
    "past": (), "burn": (), "burn_alike": (), "exposes": (),
}  # fmt: skip
PODS: Final[Mapping[str, tuple[int, ...]]] = {
    "sheet": (), "canary": (), "track": (), "end": (), "tick": (), "slot": (), "member": (), "asked": (), "whole": (),
}  # fmt: skip
_REASONS = {
    Step.STEPPED_BACK: "stepped_back", Step.STALE: "late", Step.UNUSABLE: "unusable",
}  # fmt: skip


@dataclass(slots=True)
class Opened:
    """One rollout that is looked at. marks, left_out: stretches of time that may not count, or do not (apart.py)."""

    id: RolloutId
    number: int
    policy: Policy
    sheets: dict[str, Sheet] = field(default_factory=dict)
    weight: float | None = None
    marks: dict[str, Mark] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


class Fleet:
    """Evidence of every open rollout. One writer; calls are in the order of the engine's facts."""

    def __init__(self) -> None:
        self.roster = Roster()
        self.table = SeriesTable()
        self.objectives = Objectives()
        self.burning = Burning()
        self.own_past = OwnPast()
        self.trace = Trace(TRACE)
        self.opened: dict[RolloutId, Opened] = {}
        self.rollouts, self.sheets = Columns(ROLLOUTS), Columns(SHEETS)
        self.links, self.pods = Columns(LINKS), Columns(PODS)
        self.sheet_of: dict[int, Sheet] = {}
        self.layouts: list[Layout] = []
        self.derived: list[int] = []
        """Layouts whose rows are more than differences: they come after the counters of their tick, events last."""
        self._layouts: dict[Hashable, int] = {}
        self._series: dict[SeriesKey, int] = {}
        self._waiting: list[Observed] = []
        self._feeder = Feeder(self)
        self.apart = Apart(self)

    # ---- rollouts and series --------------------------------------------------------------------------------

    def open(self, rollout: RolloutId, policy: Policy, *, since: Instant = ALWAYS) -> None:
        """Make room for a rollout; opening one that is open changes nothing.

        since: rows of canary pods that end before it are another rollout's and count for nothing.
        """
        if rollout in self.opened:
            return
        number = self.rollouts.add()
        self.rollouts["began"][number] = np.nan
        self.rollouts["since"][number] = since
        self.rollouts["switched"][number] = np.inf
        self.rollouts["tick"][number] = policy.interval
        self.rollouts["notes"][number] = -np.inf
        self.rollouts["weight"][number] = 0.0 if policy.moves_traffic else np.nan
        self.rollouts["blind"][number] = policy.exposing is None
        shares.begin(self, number)
        opened = Opened(id=rollout, number=number, policy=policy)
        self.opened[rollout] = opened
        first = next((one for one in policy.guardrails if not isinstance(one.sli, GaugeSli | CountSli)), None)
        for guardrail in policy.guardrails:
            row = self.sheets.add()
            self.sheets["rollout"][row] = number
            for name in ("last", "seen", "front"):
                self.sheets[name][row] = np.nan
            sheet = Sheet(
                number=row, rollout=number, guardrail=guardrail, risk=policy.risk_each,
                users=policy.users_of(guardrail), baseline=policy.baseline,
            )  # fmt: skip
            self.links.reach(row)
            for name in ("layout", "slot", "contest", "exposing"):
                self.links[name][row] = -1.0
            self._watch(sheet)
            sheet.past = self.own_past.add(guardrail, risk=policy.risk_each)
            self.links["past"][row] = sheet.past
            self.links["first"][row], self.links["exposes"][row] = guardrail is first, 0.0
            opened.sheets[guardrail.name] = sheet
            self.sheet_of[row] = sheet
            if not isinstance(guardrail.sli, HistogramSli):
                self.bind(sheet, ())
        self._expose(opened)

    def _watch(self, sheet: Sheet) -> None:
        """Make room for what the objective sees, and once more for what it sees in the canary's mix of strata."""
        guardrail, objective = sheet.guardrail, sheet.guardrail.objective
        if objective is not None:
            gauge, users = isinstance(guardrail.sli, GaugeSli), sheet.users
            sheet.objective = self.objectives.add(objective, gauge=gauge, users=users)
            sheet.burn = self.burning.add(objective, users=users)
            if guardrail.strata:
                sheet.alike = self.objectives.add(objective, gauge=gauge, users=users)
                sheet.burn_alike = self.burning.add(objective, users=users)
        for name in ("objective", "alike", "burn", "burn_alike"):
            self.links[name][sheet.number] = getattr(sheet, name)

    def _expose(self, opened: Opened) -> None:
        """Say by whose requests the events of a rollout are judged."""
        exposing = opened.policy.exposing
        if exposing is None:
            return
        asked = opened.sheets[exposing.name]
        for sheet in opened.sheets.values():
            if isinstance(sheet.guardrail.sli, CountSli):
                sheet.exposing = asked
                asked.exposes.append(sheet)
                self.links["exposing"][sheet.number] = asked.number
                self.links["exposes"][asked.number] = 1.0

    def close(self, rollout: RolloutId) -> None:
        """Forget a rollout; its series' numbers have no effect any more."""
        opened = self.opened.pop(rollout, None)
        if opened is None:
            return
        for sheet in opened.sheets.values():
            self._unbind(sheet)
            self.table.drop([number for pod in sheet.pods.values() for number in pod.series.values()])
            for pod in sheet.pods.values():
                for key in pod.series:
                    self._series.pop(key, None)
                self.pods.give_back(pod.number)
            for objective in (sheet.objective, sheet.alike):
                if objective >= 0:
                    self.objectives.drop(objective)
            for burn in (sheet.burn, sheet.burn_alike):
                if burn >= 0:
                    self.burning.drop(burn)
            if sheet.past >= 0:
                self.own_past.drop(sheet.past)
            del self.sheet_of[sheet.number]
            self.sheets.give_back(sheet.number)
        self.rollouts.give_back(opened.number)

    def _unbind(self, sheet: Sheet) -> None:
        if sheet.arm >= 0:
            self.roster.drop_arm(sheet.arm)
        if sheet.layout is not None:
            for pod in sheet.pods.values():
                if pod.slot >= 0:
                    sheet.layout.carry.give_back(pod.slot)
            sheet.layout.totals.give_back(sheet.slot)

    def series(self, key: SeriesKey) -> int:
        """Return the number of a series, the same for the same key while its rollout is open; -1 where it is not."""
        if math.isnan(key.le):
            key = msgspec.structs.replace(key, le=math.nan)  # one NaN for all: it equals only itself
        known = self._series.get(key)
        if known is not None:
            return known
        return self.keep_series(key, None)

    def keep_series(self, key: SeriesKey, number: int | None) -> int:
        """Register a series that is new, under a number it had before where one is given."""
        if key in self._series:
            return self._series[key]
        opened = self.opened.get(key.rollout)
        sheet = opened.sheets.get(key.guardrail) if opened is not None else None
        if sheet is None:
            return -1
        pod = self.add_pod(sheet, key.track, key.pod, key.stratum)
        number = self.table.add(pod.number, number, level=key.part.level)
        self._series[key] = pod.series[key] = number
        if sheet.layout is not None:
            self._set_column(sheet, key, number)
        return number

    def add_pod(self, sheet: Sheet, track: Track, host: str, stratum: str = "") -> Pod:
        """Return the pod of that name in that stratum, new where it is not there yet."""
        pod = Pod(number=-1, host=host, track=track, stratum=stratum)
        name = pod.name
        if (track, name) in sheet.pods:
            return sheet.pods[track, name]
        number = pod.number = self.pods.add()
        sheet.pods[track, name] = pod
        whole = sheet.hosts.setdefault((track, host), pod)
        values = {
            "sheet": float(sheet.number), "canary": float(track is Track.CANARY), "track": float(track.code),
            "end": np.nan, "slot": -1.0, "member": -1.0, "whole": float(whole.number),
        }  # fmt: skip
        for column, value in values.items():
            self.pods[column][number] = value
        if len(sheet.pods) == 1:
            tick = self.rollouts["tick"][int(self.sheets["rollout"][sheet.number])]
            self.table.abreast.open(sheet.number, tick=float(tick))
        self.table.add_pod(number, whole=whole.number)
        self.table.abreast.add_pod(number, group=sheet.number, track=track.code)
        if sheet.layout is not None:
            self._seat(sheet, pod)
        for events in sheet.exposes:
            if (track, host) in events.hosts:
                self._pair(events, events.hosts[track, host])
        return pod

    def bind(self, sheet: Sheet, bounds: tuple[float, ...]) -> None:
        """Fix what a sheet's columns are, and where it is compared."""
        sli = sheet.guardrail.sli
        kind = (type(sli) if isinstance(sli, GaugeSli | CountSli) else None, bounds)
        if kind not in self._layouts:
            self._layouts[kind] = len(self.layouts)
            self.layouts.append(layout_of(sli, bounds))
            derived = [at for at, one in enumerate(self.layouts) if not isinstance(one, CounterLayout)]
            self.derived = sorted(derived, key=lambda at: isinstance(self.layouts[at], EventLayout))
        layout = self.layouts[self._layouts[kind]]
        sheet.layout, sheet.slot = layout, layout.totals.add()
        if sheet.guardrail.compare is not None:
            sheet.contest = self.roster.contest(sheet.guardrail, bounds, users=sheet.users, baseline=sheet.baseline)
            sheet.arm = self.roster.add_arm(sheet.rollout, sheet.contest, risk=sheet.risk)
            sheet.cell = self.roster.place(sheet.arm)[1]
            self.roster.contests[sheet.contest].begin(sheet.cell, float(self.rollouts["began"][sheet.rollout]))
        links = {"layout": self._layouts[kind], "slot": sheet.slot, "contest": sheet.contest}
        for name, value in links.items():
            self.links[name][sheet.number] = value
        self.links["watched"][sheet.number] = layout.watched(sheet.guardrail.objective)
        if sheet.burn >= 0 and sheet.guardrail.objective is not None and isinstance(layout, CounterLayout):
            for burn in (sheet.burn, sheet.burn_alike):
                self.burning.rows["column"][burn] = layout.beyond(sheet.guardrail.objective.target)
        for pod in sheet.pods.values():
            self._seat(sheet, pod)
            for key, number in pod.series.items():
                self._set_column(sheet, key, number)

    def _seat(self, sheet: Sheet, pod: Pod) -> None:
        if sheet.layout is None:
            return
        pod.slot = sheet.layout.seat(len(TRACKS) * sheet.number + pod.track.code)
        self.pods["slot"][pod.number] = pod.slot
        if isinstance(sheet.layout, EventLayout):
            self._pair(sheet, pod)
        if sheet.arm >= 0:
            self._enter(sheet, pod)
            self.pods["member"][pod.number] = pod.member

    def _enter(self, sheet: Sheet, pod: Pod) -> None:
        """Have a pod compared, in its stratum; those of strata beyond the most there may be are not."""
        if pod.stratum not in sheet.strata and len(sheet.strata) >= STRATA:
            return
        contest, cell = self.roster.contests[sheet.contest], sheet.cell
        if pod.stratum not in sheet.strata:
            first = contest.add_stratum(cell) if sheet.strata else contest.first_stratum(cell)
            sheet.strata[pod.stratum] = first
        pod.member = contest.add_member(
            cell, track=pod.track, merged=pod.host == "", stratum=sheet.strata[pod.stratum],
            whole=sheet.members.get((pod.track, pod.host)),
        )  # fmt: skip
        sheet.members.setdefault((pod.track, pod.host), pod.member)

    def _pair(self, sheet: Sheet, pod: Pod) -> None:
        """Find the pod that counts the requests of a pod that counts events: the one of the same name, if there is."""
        asked = sheet.exposing.hosts.get((pod.track, pod.host)) if sheet.exposing is not None else None
        if isinstance(sheet.layout, EventLayout) and asked is not None:
            sheet.layout.pair(pod.slot, asked.number)

    def _set_column(self, sheet: Sheet, key: SeriesKey, number: int) -> None:
        column = sheet.layout.column(key) if sheet.layout is not None else -1
        self.table.rows["column"][number] = column
        if column < 0:
            sheet.late_bounds.add(key.le)
            sheet.refuse("new_bound")

    # ---- samples --------------------------------------------------------------------------------------------

    def observe(self, observed: Observed) -> None:
        """Take samples; they take effect at the next look."""
        if len(observed.series):
            self._waiting.append(observed)

    def settle(self) -> None:
        """Turn what came since the last look into evidence, for every rollout; a look does it by itself."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            deltas = self.table.difference(waiting)
            self._count_refused(deltas.refused, deltas.reason)
            self._feeder.feed(deltas)

    def look(self, rollouts: Sequence[RolloutId], *, now: Instant) -> Mapping[RolloutId, Look]:
        """Turn what came since the last look into evidence, for every rollout, and tell how these stand.

        `now` only says how long ago the newest rows are; rollouts that are not open are left out.
        """
        self.settle()
        return {name: tell(self, self.opened[name], now) for name in rollouts if name in self.opened}

    def _count_refused(self, series: np.ndarray[tuple[int], np.dtype[np.int64]], reason: object) -> None:
        for number, code in zip(series, np.asarray(reason), strict=True):
            pod = int(self.table.rows["pod"][number])
            sheet = self.sheet_of.get(int(self.pods["sheet"][pod]))
            if sheet is not None:
                sheet.refuse(_REASONS.get(Step(int(code)), "unusable"))

    # ---- steps, weight, checkpoints -------------------------------------------------------------------------

    def new_step(self, rollout: RolloutId, *, now: Instant) -> None:  # noqa: ARG002  counts go by sample, not by clock
        """A step began: its requests are counted anew, evidence goes on."""
        opened = self.opened.get(rollout)
        if opened is None:
            return
        shares.recount(self, opened.number)
        for sheet in opened.sheets.values():
            sheet.needed = None
            self.sheets["step"][sheet.number] = 0.0

    def expect(self, rollout: RolloutId, *, weight: Weight, now: Instant) -> None:
        """A weight was accepted: the share of rows that begin once it has settled is held against it (shares.py)."""
        opened = self.opened.get(rollout)
        if opened is not None and opened.weight != weight:
            shares.expect(self, opened, weight, now)

    def switch(self, rollout: RolloutId, *, at: Instant) -> None:
        """All traffic was given to the canary: rows that begin later are held against the service's own past."""
        opened = self.opened.get(rollout)
        if opened is not None:
            known = self.rollouts["switched"][opened.number]
            self.rollouts["switched"][opened.number] = min(known, at)

    def checkpoint(self, rollout: RolloutId) -> bytes:
        """Evidence and watermarks of a rollout, bit for bit; samples not looked at yet are not in it."""
        return pack(self, self.opened[rollout])

    def restore(self, rollout: RolloutId, policy: Policy, blob: bytes) -> None:
        """Open a rollout (anew) with the evidence of a checkpoint; series keep their numbers where it was open.

        Guardrails whose margins differ from the checkpoint's keep their baseline and begin their evidence afresh.
        Raises ValueError where the blob is not a checkpoint of this version.
        """
        unpack(self, rollout, policy, blob)
