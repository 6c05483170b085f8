"""One line per kind of test: how rows of pods are drawn at its margin, and how they look when the canary is worse.

Rows are counts (S, F) of pods as the test reads them. `worse` is a multiple of what stable does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from analysis.readings import COLUMNS
from analysis.sequential import CountTest, GaugeTest, LatencyTest, RatioTest
from analysis.sequential.base import Floats
from analysis.sequential.gauge import Worse

BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, float("inf"))
SHARES: Final = np.array([0.05, 0.30, 0.5, 0.13, 0.018, 0.002])
NOISE: Final = 30.0
Kinds = RatioTest | LatencyTest | GaugeTest | CountTest
Draw = Callable[[np.random.Generator, int, float], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A test and what its rows are.

    draw(random, pods, worse): rows (pods, F) of independent noise. expected(worse): the row one canary pod has on
    average. margin: `worse` at the rollback margin, promote: at the promote margin. None of both: not a multiple.
    """

    test: Kinds
    draw: Draw
    expected: Callable[[float], Floats]
    margin: float
    promote: float


def _ratio(random: np.random.Generator, pods: int, worse: float) -> Floats:
    asked = random.poisson(2000.0, pods)
    return np.stack((asked, random.poisson(asked * 0.01 * worse)), axis=1).astype(np.float64)


def slower(worse: float) -> Floats:
    """Shares per bucket when a part of the requests moves one bucket up."""
    part = min(max(worse - 1.0, 0.0) * 2.0, 0.9)
    moved = SHARES * (1.0 - part)
    moved[1:] += SHARES[:-1] * part
    moved[-1] += SHARES[-1] * part
    return np.asarray(moved)


def _histogram(random: np.random.Generator, pods: int, worse: float) -> Floats:
    return random.multinomial(400, slower(worse), pods).astype(np.float64)


def _gauge(random: np.random.Generator, pods: int, worse: float) -> Floats:
    rows = np.zeros((pods, COLUMNS))
    residual = random.normal(0.0, NOISE, pods)
    rows[:, 0] = rows[:, 2] = 1.0
    rows[:, 1] = random.normal(100.0 * worse, NOISE, pods)
    rows[:, 3], rows[:, 4], rows[:, 5] = residual, residual**2, 300.0
    return rows


def _gauge_mean(worse: float) -> Floats:
    return np.array([1.0, 100.0 * worse, 1.0, 0.0, NOISE**2, 300.0])


def _count(random: np.random.Generator, pods: int, worse: float) -> Floats:
    exposure = np.full(pods, 300.0)
    return np.stack((exposure, random.poisson(6.0 * worse, pods)), axis=1).astype(np.float64)


KINDS: Final[dict[str, Kind]] = {
    "ratio": Kind(
        test=RatioTest(relative=1.05, absolute=0.0, promote_relative=1.5, promote_absolute=0.0),
        draw=_ratio, expected=lambda worse: np.array([2000.0, 20.0 * worse]), margin=1.05, promote=1.5,
    ),
    "histogram": Kind(
        test=LatencyTest(bounds=BOUNDS, relative=1.02, tail=0.001, promote_relative=1.15, promote_tail=0.003),
        draw=_histogram, expected=lambda worse: 400.0 * slower(worse), margin=1.0, promote=1.0,
    ),
    "gauge": Kind(
        test=GaugeTest(relative=1.1, absolute=0.0, promote_relative=1.5, promote_absolute=0.0),
        draw=_gauge, expected=_gauge_mean, margin=1.1, promote=1.5,
    ),
    "count": Kind(
        test=CountTest(relative=1.1, promote_relative=1.5),
        draw=_count, expected=lambda worse: np.array([300.0, 6.0 * worse]), margin=1.1, promote=1.5,
    ),
}  # fmt: skip
BELOW: Final = GaugeTest(relative=1.1, absolute=0.0, promote_relative=1.5, promote_absolute=0.0, worse=Worse.BELOW)


def learnt(kind: Kind, *, cells: int = 1, ticks: int = 180, pods: int = 6, seed: int = 1) -> Floats:
    """Memory (cells, remembered) after a history of stable rows."""
    random = np.random.default_rng(seed)
    memory = np.zeros((1, kind.test.remembered))
    for _ in range(ticks):
        rows = kind.draw(random, pods, 1.0).sum(axis=0, keepdims=True)
        kind.test.remember(memory, rows, seconds=np.full(1, 10.0), history=True)
    return np.repeat(memory, cells, axis=0)


def read(kind: Kind, canary: Floats, stable: Floats, memory: Floats) -> Any:
    """One tick, ten minutes after the start."""
    return kind.test.read(canary, stable, memory, elapsed=np.full(len(canary), 600.0))


def best(kind: Kind, harm: Floats) -> Floats:
    """Largest gain (C,) of any alternative, its partner's where that gained less."""
    count = len(kind.test.mixture.harm_weights)
    return np.asarray(np.minimum(harm[:, :count], harm[:, kind.test.mixture.partner]).max(axis=1))
