"""Runs streams through the product's own evidence and rulings, many rollouts at once, without files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.sequential.base import Ints
from benchmarks.detection.arena import Fight
from benchmarks.detection.streams import BOUNDS, Streams
from guardian.core.contest import Contest
from guardian.core.model import Verdict
from guardian.core.policy import Guardrail, HistogramSli, Policy
from guardian.core.roster import Roster
from guardian.core.rulings import Ruling, Rulings


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Fight):
    """One verdict a run, and the ruling behind it."""

    rulings: tuple[Ruling, ...]

    @property
    def runs(self) -> int:
        """How many runs these are."""
        return len(self.rolled_back)


class _Lane:
    """One guardrail of all runs: the members behind (run, pod), and how to get their counts."""

    def __init__(self, guardrail: Guardrail, policy: Policy, roster: Roster, streams: Streams) -> None:
        self._latency = isinstance(guardrail.sli, HistogramSli)
        self._streams = streams
        number = roster.contest(
            guardrail, BOUNDS if self._latency else (), users=policy.users_of(guardrail), baseline=policy.baseline
        )
        self._contest: Contest = roster.contests[number]
        runs, tracks = streams.requests.shape[0], streams.situation.tracks
        self._members = np.zeros((runs, len(tracks)), dtype=np.int64)
        for run in range(runs):
            arm = roster.add_arm(run, number, risk=policy.risk_each)
            cell = roster.place(arm)[1]
            self._contest.begin(cell, 0.0)
            self._members[run] = [
                self._contest.add_member(cell, track=track, merged=streams.situation.merged) for track in tracks
            ]
        self._last = np.full((runs, len(tracks)), -np.inf)

    def feed(self, tick: int, time: float, still: Ints) -> None:
        """Hand one tick of the runs that are still open to the contest."""
        here = self._streams.present[still, tick]
        run, pod = np.nonzero(here)
        run = still[run]
        if self._latency:
            buckets = self._streams.buckets
            if buckets is None:
                raise ValueError("these streams have no histograms")
            counts = buckets[run, tick, pod]
        else:
            counts = np.stack((self._streams.requests[run, tick, pod], self._streams.bad[run, tick, pod]), axis=1)
        last = self._last[run, pod]
        usual = self._streams.situation.tick
        seconds = np.where(np.isfinite(last), time - last, usual)
        self._last[run, pod] = time
        self._contest.rows(
            self._members[run, pod], end=np.full(len(run), time), seconds=seconds, counts=np.asarray(counts)
        )


def judged(streams: Streams, policy: Policy) -> Outcome:
    """Judge every run of some streams; guardrails without streams are left out of the policy by the caller."""
    roster = Roster()
    rulings = Rulings(policy, roster)
    runs = len(streams.requests)
    rulings.grow(runs)
    lanes = [_Lane(guardrail, policy, roster, streams) for guardrail in policy.participating]
    found: list[Ruling] = []
    for tick, time in enumerate(streams.situation.times):
        still = np.flatnonzero(rulings.open)
        if not len(still):
            break
        for lane in lanes:
            lane.feed(tick, float(time), still)
        for ruling in rulings.settle(still, np.full(len(still), time)):
            found.append(ruling)
            for arm in roster.arms_of(np.array([ruling.rollout]))[0]:
                roster.drop_arm(int(arm))
    times = {verdict: np.full(runs, np.inf) for verdict in (Verdict.ROLLBACK, Verdict.PROMOTE)}
    for ruling in found:
        times[ruling.verdict][ruling.rollout] = ruling.at
    found += [rulings.undecided(int(run), streams.situation.length) for run in np.flatnonzero(rulings.open)]
    return Outcome(rolled_back=times[Verdict.ROLLBACK], promoted=times[Verdict.PROMOTE], rulings=tuple(found))
