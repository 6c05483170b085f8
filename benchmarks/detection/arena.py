"""Runs rows of pods through one test as the product does, many rollouts at once: tick by tick, two verdicts.

For kinds of tests whose rows are not drawn by streams.py. It has the thresholds of a policy with one guardrail and the
default risk; holding back while evidence rises is rulings.py's and not in it, so promotions come a little early.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.sequential.base import Floats, Ints, Test
from benchmarks.detection.streams import Flags
from guardian.core.contest import Contest
from guardian.core.model import Track

RISK: Final = 0.01
ROLLBACK: Final = -np.log(RISK)
PROMOTE: Final = np.log(1.0 / 0.05)
EARLIEST: Final = 900.0
Rows = Callable[[int], tuple[Floats, Flags]]
"""Of a tick's number: counts (runs, pods, F), and which of these rows are there (runs, pods)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fight:
    """When each run was rolled back or promoted, seconds after the first canary traffic; inf: it was not."""

    rolled_back: Floats
    promoted: Floats

    def rollbacks(self) -> int:
        """Runs that ended in a rollback."""
        return int(np.isfinite(self.rolled_back).sum())

    def promotions(self) -> int:
        """Runs that ended in a promotion."""
        return int(np.isfinite(self.promoted).sum())


def fought(
    test: Test, rows: Rows, *, times: Floats, canary: Flags, runs: int, strata: Ints | None = None,
    pods: Ints | None = None,
) -> Fight:  # fmt: skip
    """Judge runs of one situation; times: ends of ticks of equal length, rising. canary: (pods,).

    strata, pods: (pods,) in which stratum each row of counts was served, 0 on, and by which pod; one pod a row, and
    all alike, unless told.
    """
    contest = Contest(test)
    cells: Ints = np.array([contest.add_cell(risk=RISK) for _ in range(runs)])
    members = np.zeros((runs, len(canary)), dtype=np.int64)
    for number, cell in enumerate(cells.tolist()):
        contest.begin(cell, 0.0)
        members[number] = _enter(contest, cell, canary, strata, pods)
    place = np.full(contest.cells.size, -1)
    place[cells] = np.arange(runs)
    found = Fight(rolled_back=np.full(runs, np.inf), promoted=np.full(runs, np.inf))
    tick = float(times[1] - times[0])
    for number, time in enumerate(times):
        counts, present = rows(number)
        run, pod = np.nonzero(present)
        ends, seconds = np.full(len(run), time), np.full(len(run), tick)
        contest.rows(members[run, pod], end=ends, seconds=seconds, counts=counts[run, pod])
        changed = contest.settle()
        if time > 0 and len(changed):
            _rule(contest, changed, place[changed], float(time), found)
    return found


def _enter(contest: Contest, cell: int, canary: Flags, strata: Ints | None, pods: Ints | None) -> list[int]:
    """Make room for the rows of one run and return their members."""
    numbers, first, found = {0: contest.first_stratum(cell)}, dict[int, int](), list[int]()
    for at, mine in enumerate(canary):
        name, pod = 0 if strata is None else int(strata[at]), at if pods is None else int(pods[at])
        if name not in numbers:
            numbers[name] = contest.add_stratum(cell)
        track = Track.CANARY if mine else Track.STABLE
        found.append(contest.add_member(cell, track=track, stratum=numbers[name], whole=first.get(pod)))
        first.setdefault(pod, found[-1])
    return found


def _rule(contest: Contest, cells: Ints, runs: Ints, at: float, found: Fight) -> None:
    """Note the first verdict of each run, in place."""
    evidence = contest.evidence(cells)
    undecided = np.isinf(found.rolled_back[runs]) & np.isinf(found.promoted[runs])
    found.rolled_back[runs[undecided & (evidence.harm >= ROLLBACK)]] = at
    calm = (evidence.harm < ROLLBACK) & (evidence.unrest <= np.log(6.0)) & (at >= EARLIEST)
    found.promoted[runs[undecided & calm & (evidence.safe >= PROMOTE)]] = at
