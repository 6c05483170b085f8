"""The evidence of 10,000 rollouts as a daemon works it out each tick, and what numpy alone could do: for speed benches.

A comparison is one alternative of one rollout at one tick, as in the bare kernel: the 16 start times, the pods and the
spreads behind it are what each comparison costs, not more of them. Counts are drawn before; nothing but the tick is
timed: all rows into evidence (pods, noise, start times), and the three verdicts' evidence out. Reading, aligning and
deciding are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.sequential.base import Floats, Ints, Test
from benchmarks.rounds import Measures
from guardian.core.columns import Columns
from guardian.core.contest import Contest
from guardian.core.model import Track

ROLLOUTS: Final = 10_000
CANARY_PODS: Final = 2
STABLE_PODS: Final = 6
RISK: Final = 0.01
HISTORY: Final = 30
"""Ticks of a minute each, so that all rollouts are calibrated."""
FIRST: Final = (10.0, 20.0, 30.0, 40.0, 60.0, 100.0, 160.0, 250.0, 400.0, 640.0)
"""Ends of the ticks before the first that is timed: by then nine starts are under way."""
TICKS: Final = 4
"""Ticks timed at once: one fit of the noise between pods is among them."""
REPEATS: Final = 3
_REPEATED: Final = 40

Draw = Callable[[int], Floats]
"""Counts (n, F) of so many pods and one tick of ten seconds."""


@dataclass(slots=True)
class Fleet:
    """Rollouts under one test, all alike. now: seconds since the canary's first traffic."""

    contest: Contest
    cells: Ints
    pods: Ints
    draw: Draw
    now: float = 0.0

    @classmethod
    def of(cls, test: Test, draw: Draw, *, rollouts: int = ROLLOUTS) -> Fleet:
        """Rollouts with their history and the first minutes behind them."""
        contest = Contest(test)
        panel, each = contest.panel, CANARY_PODS + STABLE_PODS
        cells = np.array([contest.add_cell(risk=RISK) for _ in range(rollouts)])
        pods = np.array(
            [
                panel.add_pod(int(cell), track=Track.CANARY if i < CANARY_PODS else Track.STABLE)
                for cell in cells
                for i in range(each)
            ]
        )
        stable = pods.reshape(-1, each)[:, CANARY_PODS:].ravel()
        for _ in range(HISTORY):
            panel.fold_past(stable, draw(len(stable))[None], seconds=np.full((1, rollouts), 60.0), cells=cells)
        fleet = cls(contest=contest, cells=cells, pods=pods, draw=draw)
        for end in FIRST:
            fleet.tick(draw(len(pods)), end - fleet.now)
        return fleet

    def tick(self, counts: Floats, seconds: float) -> None:
        """One tick of everybody, and what follows from it; counts: of all pods."""
        self.now += seconds
        size = len(self.cells)
        elapsed, length = np.full(size, self.now), np.full(size, seconds)
        self.contest.panel.fold(self.pods, counts, elapsed=elapsed, seconds=length, cells=self.cells)
        self.contest.evidence(self.cells)

    def speed(self) -> float:
        """Comparisons a second of CPU, the best of some repeats."""
        alternatives = len(self.contest.test.mixture.harm_weights)
        return max(len(self.cells) * alternatives * TICKS / self._spent() for _ in range(REPEATS))

    def _spent(self) -> float:
        draws = [self.draw(len(self.pods)) for _ in range(TICKS)]
        began = time.process_time()
        for counts in draws:
            self.tick(counts, 10.0)
        return time.process_time() - began

    def detail(self) -> Mapping[str, float]:
        """Bytes of state, and the memory's bound beside the logarithms'."""
        panel = self.contest.panel
        noise = panel.noise
        per_cell = sum(
            _row(each) for each in (panel.cells, panel.strata.rows, noise.cells, noise.tracks, noise.contrasts)
        )
        per_pod = sum(_row(each) for each in (panel.pods, noise.pods))
        size = (len(self.cells), len(self.contest.test.mixture.harm_weights))
        return {
            "bytes a rollout and guardrail, without its pods": per_cell,
            "bytes a pod": per_pod,
            "bytes a rollout and guardrail with 2 + 6 pods": per_cell + (CANARY_PODS + STABLE_PODS) * per_pod,
            "comparisons/s if each were one sum in memory": additions(size),
        }


def _row(columns: Columns) -> float:
    return float(sum(value.nbytes for value in columns.row(0).values()))


def logarithms(size: tuple[int, int]) -> float:
    """Logarithms a second of CPU that numpy takes of arrays of this shape, the best of some repeats."""
    plain, out = np.random.default_rng(1).random(size) + 0.5, np.empty(size)
    return max(_rate(lambda: np.log1p(plain, out=out), plain.size) for _ in range(REPEATS))


def additions(size: tuple[int, int]) -> float:
    """Sums a second of CPU in place, on fresh arrays of this shape: the memory's bound."""
    sums, plain = np.zeros((_REPEATED, *size)), np.random.default_rng(1).random(size)
    return max(_rate(lambda: np.add(sums, plain, out=sums), sums.size) for _ in range(REPEATS))


def _rate(work: Callable[[], object], each: float) -> float:
    began = time.process_time()
    for _ in range(_REPEATED):
        work()
    return each * _REPEATED / (time.process_time() - began)


def measures(test: Test, draw: Draw) -> Measures:
    """Ours and the logarithms' bound."""
    fleet = Fleet.of(test, draw)
    size = (ROLLOUTS, len(test.mixture.harm_weights))
    return Measures(ours=fleet.speed, reference=lambda: logarithms(size), detail=fleet.detail)
