"""Which pod of which guardrail a row of a samples file belongs to, and what it counted.

Histogram rows are raw counters: they are differenced here, per pod, a fall of any bucket being a restart of its
process. A pod that serves in several strata is several lines, each with rows of its own. Rows that cannot be used (a
bucket missing or not cumulative, a bound that was not there at first) count nothing; the series' next row covers them.
A row that comes twice counts once; two rows of one series and tick that differ are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from analysis.rates import bucket_counts
from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns
from guardian.core.contest import Contest
from guardian.core.keys import KeyIndex
from guardian.core.levels import Readings
from guardian.core.model import TRACKS, Track
from guardian.core.offline_levels import Requests
from guardian.core.policy import CountSli, GaugeSli, HistogramSli, Policy
from guardian.core.roster import Roster
from guardian.core.samples import Batch
from guardian.core.strata import STRATA
from guardian.errors import SamplesError

_PODS = 1 << 26
_METRICS = 1 << 12
"""More names than any file has, of guardrails and of others; with them a key of 23 bits for rollouts is left."""
_STRATA = 1 << 20
NOBODY = -1
"""Contest of a series whose guardrail takes no part in its rollout."""


class RowReader:
    """Finds the member behind each row and hands its counts to the roster's contests."""

    def __init__(self, policy: Policy, roster: Roster, metrics: Sequence[str], pods: Sequence[str]) -> None:
        self._roster, self._metrics, self._pods = roster, metrics, pods
        self._risk, self._users, self._baseline = policy.risk_each, policy.users_of, policy.baseline
        self._guardrails = {guardrail.name: guardrail for guardrail in policy.participating}
        self._keys = KeyIndex()
        self._contest = np.zeros(0, dtype=np.int64)
        self._member = np.zeros(0, dtype=np.int64)
        self._stratum = np.zeros(0, dtype=np.int64)
        self._lines = KeyIndex()
        self._strata: dict[int, dict[int, int]] = {}
        self._hosts: dict[int, dict[tuple[Track, int], int]] = {}
        self._arms: dict[tuple[int, int], int] = {}
        self._names: dict[int, str] = {}
        self._open_ended: dict[tuple[int, int], tuple[str, str, float]] = {}
        self._counters: dict[int, Columns] = {}
        self._readings: dict[int, Readings] = {}
        self._requests, exposing = Requests(), policy.exposing
        self._exposing = exposing.name if exposing is not None else None
        self._asked, self._counted = KeyIndex(), any(isinstance(one.sli, CountSli) for one in policy.participating)
        self._events: set[int] = set()

    def wanted(self, batch: Batch, still_open: npt.NDArray[np.bool_]) -> Batch:
        """The rows of guardrails that compare, of rollouts that are still open."""
        known = np.array([name in self._guardrails for name in self._metrics], dtype=np.bool_)
        chosen = known[batch.metric] & still_open[batch.rollout]
        return batch if chosen.all() else batch.rows(np.flatnonzero(chosen))

    def guardrail_of(self, arm: int) -> str:
        """Name of the guardrail of an arm."""
        return self._names[arm]

    def forget(self, arm: int) -> None:
        """Drop what was remembered of an arm's counters and strata: its member numbers may be used again."""
        for known in (self._strata, self._hosts):
            known.pop(arm, None)
        contest, cell = self._roster.place(arm)
        counters = self._counters.get(contest)
        if counters is not None:
            members = self._roster.contests[contest].members["cell"]
            for member in np.flatnonzero(members[: counters.size] == cell):
                counters["time"][member] = np.nan

    def numbers(self, rows: Batch) -> Ints:
        """Number of each row's series group (rollout, guardrail, track, line of a pod); new ones are registered.

        Raises SamplesError for strata that cannot be told apart.
        """
        cell, keys = rows.rollout * _METRICS + rows.metric, _pods(rows)
        named = rows.stratum > 0
        if named.any():
            keys = keys - rows.pod + self._line(rows, named)
        found = self._keys.find(keys)
        new = np.flatnonzero(found < 0)
        if len(new):
            self._register(rows.rows(new), cell[new], keys[new])
            found[new] = self._keys.find(keys[new])
        if named.any():
            self._refuse_mixed(rows, found)
        return found

    def _line(self, rows: Batch, named: npt.NDArray[np.bool_]) -> Ints:
        """Number of the line of each row (n,): its pod, or one from the other end for a stratum that is compared."""
        apart = np.array([name in self._guardrails and self._guardrails[name].strata != () for name in self._metrics])
        at = np.flatnonzero(named & apart[rows.metric])
        pairs, lines = rows.pod[at] * _STRATA + rows.stratum[at], rows.pod.copy()
        fresh = np.unique(pairs)
        self._lines.add(fresh[self._lines.find(fresh) < 0])
        lines[at] = _PODS - 1 - self._lines.find(pairs)
        return lines

    def _refuse_mixed(self, rows: Batch, found: Ints) -> None:
        """Nothing says which rows are one scrape of a pod whose strata are not compared apart."""
        mixed = np.flatnonzero(self._stratum[found] != rows.stratum)
        if len(mixed):
            at = mixed[0]
            raise SamplesError(
                f"pod '{self._pods[int(rows.pod[at])]}' has rows of several strata, the policy compares within none",
                where=f"metric '{self._metrics[int(rows.metric[at])]}', t {rows.time[at]:g}",
                remedy="name the labels in `compare.strata`, or add up the rows of a pod",
            )

    def _register(self, rows: Batch, cell: Ints, keys: Ints) -> None:
        order = np.lexsort((rows.time, cell))
        rows, cell, keys = rows.rows(order), cell[order], keys[order]
        begins = np.flatnonzero(np.concatenate(([True], cell[1:] != cell[:-1])))
        for begin, end in zip(begins, np.append(begins[1:], len(cell)), strict=True):
            self._open_cell(int(cell[begin]), rows.rows(np.arange(begin, end)))
        fresh, at = np.unique(keys, return_index=True)
        numbers = self._keys.add(fresh)
        more = len(numbers)
        self._contest = np.concatenate((self._contest, np.full(more, NOBODY)))
        self._member = np.concatenate((self._member, np.zeros(more, dtype=np.int64)))
        self._stratum = np.concatenate((self._stratum, rows.stratum[at]))
        self._note_asked(rows)
        for number, row in zip(numbers, at, strict=True):
            arm = self._arms.get((int(rows.rollout[row]), int(rows.metric[row])))
            if arm is None:
                continue
            contest = self._roster.place(arm)[0]
            self._contest[number] = contest
            self._member[number] = self._add_member(arm, rows, int(row))
            counters = self._counters.get(contest)
            if counters is not None:
                self._start_counter(counters, int(self._member[number]))
            if contest in self._readings:
                self._readings[contest].forget(int(self._member[number]))
            if contest in self._events:
                place = list(self._guardrails).index(self._names[arm])
                sheet = int(rows.rollout[row]) * len(self._guardrails) + place
                side = len(TRACKS) * sheet + int(rows.track[row])
                self._requests.exposure.join(int(number), side)

    def _add_member(self, arm: int, rows: Batch, row: int) -> int:
        """Make room for the line of a row, in its stratum where the guardrail compares within strata."""
        contest, cell = self._roster.place(arm)
        track, pod = TRACKS[int(rows.track[row])], int(rows.pod[row])
        apart = bool(self._guardrails[self._names[arm]].strata)
        stratum = self._stratum_of(arm, int(rows.stratum[row])) if apart else None
        known = self._hosts.setdefault(arm, {}) if apart else {}
        member = self._roster.contests[contest].add_member(
            cell, track=track, merged=self._pods[pod] == "", stratum=stratum, whole=known.get((track, pod))
        )
        known.setdefault((track, pod), member)
        return member

    def _stratum_of(self, arm: int, named: int) -> int:
        """Number of a stratum in the contest of an arm; named: its number in the file."""
        known = self._strata.setdefault(arm, {})
        if named not in known:
            if len(known) == STRATA:
                raise SamplesError(
                    f"more than {STRATA} strata in one rollout", where=f"metric '{self._names[arm]}'",
                    remedy="name kinds of requests, not single ones: labels with few values",
                )  # fmt: skip
            contest, cell = self._roster.place(arm)
            target = self._roster.contests[contest]
            known[named] = target.add_stratum(cell) if known else target.first_stratum(cell)
        return known[named]

    def _note_asked(self, rows: Batch) -> None:
        """Number the pods whose requests events are judged by: a pod asks for all its lines."""
        if self._counted:
            asked = np.unique(_pods(rows)[self._of_exposing(rows)])
            self._asked.add(asked[self._asked.find(asked) < 0])

    def _of_exposing(self, rows: Batch) -> Ints:
        named = np.array([name == self._exposing for name in self._metrics], dtype=np.bool_)
        return np.flatnonzero(named[rows.metric])

    def _start_counter(self, counters: Columns, member: int) -> None:
        while counters.size <= member:
            counters.add()
        counters["time"][member] = np.nan

    def _open_cell(self, cell: int, rows: Batch) -> None:
        """Give a guardrail of a rollout its arm, if stable has a row for it before the canary's first traffic."""
        rollout, metric = divmod(cell, _METRICS)
        past = rows.time[rows.track != Track.CONTROL.code]
        if (rollout, metric) in self._arms or not len(past) or past[0] > 0:
            return
        guardrail = self._guardrails[self._metrics[metric]]
        bounds: tuple[float, ...] = ()
        if isinstance(guardrail.sli, HistogramSli):
            bounds = tuple(np.unique(rows.bound[rows.time == rows.time[0]]).tolist())
            if len(bounds) < 2 or not np.isinf(bounds[-1]):
                if np.isfinite(bounds).any():
                    named = self._metrics[metric], self._pods[int(rows.pod[0])], float(rows.time[0])
                    self._open_ended.setdefault((rollout, metric), named)
                return
            self._open_ended.pop((rollout, metric), None)
        contest = self._roster.contest(guardrail, bounds, users=self._users(guardrail), baseline=self._baseline)
        if bounds and contest not in self._counters:
            self._counters[contest] = Columns({"value": (len(bounds),), "time": ()})
        if isinstance(guardrail.sli, GaugeSli):
            self._readings.setdefault(contest, Readings())
        if isinstance(guardrail.sli, CountSli):
            self._events.add(contest)
        arm = self._roster.add_arm(rollout, contest, risk=self._risk)
        self._arms[rollout, metric], self._names[arm] = arm, guardrail.name
        self._roster.begin(np.array([arm]), 0.0)

    def refuse_open_ended(self) -> None:
        """Raise SamplesError where a histogram of stable never had a bucket +Inf: nothing was judged of it."""
        for metric, pod, at in self._open_ended.values():
            raise SamplesError(
                f"the buckets of pod '{pod}' have no upper bound +Inf: how many requests there were is not known",
                where=f"metric '{metric}', t {at:g}",
                remedy="write the row with le `+Inf`, all requests, for every pod and time; or leave the metric out",
            )

    def feed(self, rows: Batch, numbers: Ints) -> None:
        """Hand one tick to the contests: every rollout in it at one time of its own."""
        owner = self._contest[numbers]
        kinds = np.unique(owner[owner != NOBODY])
        for contest in sorted(kinds.tolist(), key=self._events.__contains__):  # events need this tick's requests
            chosen = np.flatnonzero(owner == contest)
            part, members = rows.rows(chosen), self._member[numbers[chosen]]
            if contest in self._counters:
                self._feed_buckets(contest, part, members)
            elif contest in self._readings:
                self._feed_gauge(contest, part, members)
            elif contest in self._events:
                self._feed_events(contest, part, members, numbers[chosen])
            else:
                self._feed_ratio(contest, part, members)

    def _feed_gauge(self, contest: int, rows: Batch, members: Ints) -> None:
        members, first = self._once(members, rows, ("seconds", "value"))
        rows = rows.rows(first)
        counts = self._readings[contest].rows(members, value=rows.value, time=rows.time, live=rows.time > 0)
        kept = np.flatnonzero(counts[:, 0] > 0)
        self._roster.contests[contest].rows(
            members[kept], end=rows.time[kept], seconds=rows.seconds[kept], counts=counts[kept]
        )

    def _feed_events(self, contest: int, rows: Batch, members: Ints, series: Ints) -> None:
        members, first = self._once(members, rows, ("seconds", "value"))
        rows, series = rows.rows(first), series[first]
        kept = np.flatnonzero(np.isfinite(rows.value) & (rows.value >= 0))
        rows, members, series = rows.rows(kept), members[kept], series[kept]
        metric = self._metrics.index(self._exposing) if self._exposing in self._metrics else _METRICS - 1
        own = self._asked.find(_pods(replace(rows, metric=np.full(len(rows), metric))))
        events = np.where(rows.seconds > 0, rows.value, 0.0)
        counts = self._requests.rows(
            series, own, _track(rows), end=rows.time, seconds=rows.seconds, events=events
        )  # fmt: skip
        self._roster.contests[contest].rows(members, end=rows.time, seconds=rows.seconds, counts=counts)

    def _expose(self, rows: Batch, requests: Floats) -> None:
        """Note requests (n,) of the guardrail by which events are judged; rows: one of each series."""
        if self._events and len(kept := self._of_exposing(rows)):
            rows = rows.rows(kept)
            self._requests.add(self._asked.find(_pods(rows)), _track(rows), requests[kept])

    def _feed_ratio(self, contest: int, rows: Batch, members: Ints) -> None:
        members, first = self._once(members, rows, ("seconds", "requests", "bad"))
        counts = np.stack((rows.requests[first], rows.bad[first]), axis=1)
        usable = np.isfinite(counts).all(axis=1)
        counts = np.where((rows.seconds[first] > 0)[:, None], counts, 0.0)
        kept = np.flatnonzero(usable)
        self._expose(rows.rows(first[kept]), counts[kept, 0])
        self._roster.contests[contest].rows(
            members[kept], end=rows.time[first][kept], seconds=rows.seconds[first][kept], counts=counts[kept]
        )

    def _feed_buckets(self, contest: int, rows: Batch, members: Ints) -> None:
        target, counters = self._roster.contests[contest], self._counters[contest]
        bounds = np.array(target.bounds)
        bucket = np.minimum(np.searchsorted(bounds, rows.bound), len(bounds) - 1)
        fits = bounds[bucket] == rows.bound
        self._once(members[fits] * len(bounds) + bucket[fits], rows.rows(np.flatnonzero(fits)), ("count",))
        present, first, place = np.unique(members, return_index=True, return_inverse=True)
        shown = np.full((len(present), len(bounds)), np.nan)
        backwards = np.arange(len(place))[fits][::-1]
        shown[place[backwards], bucket[backwards]] = rows.count[backwards]
        time = np.zeros(len(present))
        time[place] = rows.time
        sound = bucket_counts(shown)[1] & (shown >= 0).all(axis=1)
        kept = np.flatnonzero(sound)
        each = self._difference(target, counters, present[kept], shown[kept], time[kept])
        self._expose(rows.rows(first[kept]), each.sum(axis=1))

    def _once(self, series: Ints, rows: Batch, columns: Sequence[str]) -> tuple[Ints, Ints]:
        """Each series (n,) of a tick once, and the place of its first row. Raises SamplesError if two rows differ."""
        each, first, place = np.unique(series, return_index=True, return_inverse=True)
        for name in columns if len(each) < len(series) else ():
            column = getattr(rows, name)
            other = np.flatnonzero(~np.isclose(column, column[first][place], rtol=0.0, atol=0.0, equal_nan=True))
            if len(other):
                at = int(other[0])
                track = TRACKS[int(rows.track[at])]
                raise SamplesError(
                    f"two rows that differ for {track} pod '{self._pods[int(rows.pod[at])]}' and one time",
                    where=f"metric '{self._metrics[int(rows.metric[at])]}', t {rows.time[at]:g}, column {name}",
                    remedy="give a pod one row per time and metric, or one per stratum with the column 'stratum'",
                )
        return each, first

    def _difference(self, contest: Contest, counters: Columns, members: Ints, shown: Floats, time: Floats) -> Floats:
        """Hand on what came since the last row, and return it: requests (n, B) per bucket."""
        last, before = counters["time"][members], counters["value"][members]
        first = np.isnan(last)
        reset = (shown < before).any(axis=1)
        grown = np.where((first | reset)[:, None], shown, shown - before)
        each, sound = bucket_counts(grown)
        each = np.where((first | ~sound)[:, None], 0.0, each)
        counters["time"][members], counters["value"][members] = time, shown
        contest.rows(members, end=time, seconds=np.where(first, 0.0, time - last), counts=each)
        return each


def _pods(rows: Batch) -> Ints:
    """Keys of the pods of rows, each of one guardrail of one rollout."""
    return np.asarray(((rows.rollout * _METRICS + rows.metric) * len(TRACKS) + rows.track) * _PODS + rows.pod)


def _track(rows: Batch) -> Ints:
    """Number of each row's track among those of all rollouts."""
    return np.asarray(rows.rollout * len(TRACKS) + rows.track)
