"""Do gauges of the canary's pods (CPU, memory, queue) lie, or grow, beyond the margin? Gaussian test on both tracks.

Two directions. Level: mean of the canary's readings against stable's of the same tick. Slope: what readings add to
their own pod's past (analysis/readings.py), canary against stable; lasting differences between pods drop out of it, so
that a leak shows before the level does. A slope is beyond the margin when it would use up the level's margin within
LEAK_HORIZON. Each tick gains a Gaussian log likelihood ratio with a variance that is an upper bound from EARLIER ticks:
with V' >= V, exp(d (x - m) / V' - d^2 / (2 V')) has expectation at most 1. It does not say whether pods serve equally
much: a pod with twice the requests has more CPU.

Source: Darling and Robbins 1967 and Howard et al. 2020 (sub-Gaussian supermartingale); Robbins 1970 (mixture); Wilson
and Hilferty 1931 (bound of the variance); Brown, Durbin and Evans 1975 (recursive residuals).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

import numpy as np

from analysis.readings import COLUMNS, Column
from analysis.sequential.base import Floats, Ints, Mixture, PodReading, Reading
from analysis.sequential.rows import both_usable, usable

LEVELS: Final = np.array([0.03, 0.07, 0.15, 0.3, 0.6, 1.2])
"""Alternatives beyond the rollback margin, in units of stable's level."""
SLOPES: Final = np.array([0.15, 0.4, 1.0, 3.0, 8.0])
"""The same for growth, in units of stable's level per LEAK_HORIZON."""
LEAK_HORIZON: Final = 3600.0
"""Seconds within which growth may use up the margin of the level."""
HEALTHY: Final = np.array([0.0, 0.35])
"""Promotion alternatives, in parts of the promote margin."""
RECENT: Final = 600.0
"""Seconds over which the remembered level and variance forget."""
LEAST_FREEDOM: Final = 12.0
"""Degrees of freedom below which the variance is unknown: then nothing is compared."""
FINEST: Final = 0.005
"""Noise of a reading that is assumed at least, in units of the level: nothing is known better."""
MOST_TIMES: Final = 1.5
"""Largest ratio of levels by which what stable does is scaled to the canary."""


class Worse(StrEnum):
    """On which side of stable a gauge hurts."""

    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What earlier ticks say of a cell; (C,) each, in the gauge's unit.

    level: stable's recent mean. unit: size that one unit of a direction has, 0 where nothing is known. variance: of a
    single reading around its pod's level. bound: upper bound of that at 99 %, inf where it is unknown.
    """

    level: Floats
    unit: Floats
    variance: Floats
    bound: Floats


_WEIGHTS: Final = np.array([1.2, 1.6, 1.8, 1.6, 1.2, 0.8, 0.8, 1.0, 1.0, 0.8, 0.4])
_LONE: Final = [0.22, 0.12, 0.14, 0.16, 0.14, 0.11, 0.07, 0.04]
MIXTURE: Final = Mixture(
    harm_weights=_WEIGHTS / _WEIGHTS.sum(),
    harm_direction=np.repeat([0, 1], [len(LEVELS), len(SLOPES)]),
    safe_weights=np.array([0.6, 0.4]),
    safe_direction=np.zeros(len(HEALTHY), dtype=np.int64),
    spreads=np.array([[0.0, 0.02, 0.05, 0.1, 0.15, 0.22, 0.32, 0.5], [0.0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6]]),
    prior=np.array(
        [[0.31, 0.16, 0.14, 0.13, 0.11, 0.08, 0.045, 0.025], [0.36, 0.18, 0.15, 0.12, 0.09, 0.06, 0.03, 0.01]]
    ),
    freedom=np.array([0.9, 0.9]),
    bounded=np.array([0.8, 0.8]),
    skewed=np.array([3.0, 0.0]),
    partner=np.arange(len(_WEIGHTS)),
    merged_prior=np.array([_LONE] * 2),
    lone_prior=np.array([_LONE] * 2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugeTest:
    """Levels per pod; counts are the columns of analysis.readings.

    relative, absolute: rollback margin; worse above: level_stable * relative + absolute, worse below:
    level_stable / relative - absolute (for levels below 0 the margin is the same part of their size). absolute is in
    the gauge's unit. promote_relative, promote_absolute: the same for promotion. factor: as many times the margin
    while warming. Directions: 0 level, 1 slope. Promotion asks for the level only.
    Memory: squares and degrees of freedom between pods and around each pod's own past, of history and recent; then
    sum and number of recent readings.
    """

    relative: float
    absolute: float
    promote_relative: float
    promote_absolute: float
    worse: Worse = Worse.ABOVE
    factor: float = 1.0
    columns: ClassVar[int] = COLUMNS
    remembered: ClassVar[int] = 10
    mixture: ClassVar[Mixture] = MIXTURE

    def scale(self, memory: Floats) -> Scale:
        """What memory (C, remembered) says."""
        level = np.divide(memory[:, 8], memory[:, 9], out=np.zeros(len(memory)), where=memory[:, 9] > 0)
        floor = (FINEST * np.maximum(np.abs(level), self.absolute)) ** 2
        parts = [_variances(memory[:, first : first + 4]) for first in (0, 4)]
        variance = np.fmax(np.fmax(parts[0][0], parts[1][0]), floor)
        bound = np.fmax(np.fmax(parts[0][1], parts[1][1]), floor)
        known = np.isfinite(bound) & (memory[:, 9] > 0)
        unit = np.maximum(np.maximum(np.abs(level), np.sqrt(np.where(known, variance, 0.0))), self.absolute)
        known &= unit > 0
        return Scale(
            level=level, unit=np.where(known, unit, 0.0), variance=np.where(known, variance, 0.0),
            bound=np.where(known, bound, np.inf),
        )  # fmt: skip

    def allowed(self, level: Floats, *, promote: bool = False) -> Floats:
        """How far from stable's level (...) the canary's may be, on the side that hurts; the gauge's unit, >= 0."""
        factor = 1.0 if promote else self.factor
        relative = (self.promote_relative if promote else self.relative) * factor
        absolute = (self.promote_absolute if promote else self.absolute) * factor
        part = relative - 1.0 if self.worse is Worse.ABOVE else 1.0 - 1.0 / relative
        return np.asarray(part * np.abs(level) + absolute, dtype=np.float64)

    def stretch(self, *, promote: bool = False) -> float:
        """How many times as noisy as stable a canary at the margin may be: noise may grow with the level."""
        if self.worse is Worse.BELOW:
            return 1.0
        return self.promote_relative if promote else self.relative * self.factor

    def read(self, canary: Floats, stable: Floats, memory: Floats, *, elapsed: Floats) -> Reading:  # noqa: ARG002
        """Read one tick; see base.Test. A cell with a value that is not finite gains nothing."""
        canary, stable = both_usable(canary, stable, signed=True)
        scale = self.scale(memory)
        gap, spread, now = self._gap(canary, stable, scale)
        drift, drift_spread, lever = self._drift(canary, stable, scale)
        stretch, safe_stretch = self.stretch() ** 2, self.stretch(promote=True) ** 2
        level, level_spread = gap - self.allowed(now), spread * stretch
        slope, slope_spread = drift - self.allowed(scale.level) / LEAK_HORIZON * lever, drift_spread * stretch
        growth = SLOPES * (scale.unit * lever / LEAK_HORIZON)[:, None]
        healthy = (HEALTHY - 1.0) * self.allowed(scale.level, promote=True)[:, None]
        spreads = np.stack((level_spread, slope_spread), axis=1)
        information = scale.unit[:, None] ** 2 / spreads
        safe_information = np.zeros_like(information)
        safe_information[:, 0] = scale.unit**2 / (spread * safe_stretch)
        return Reading(
            harm=np.concatenate(
                (_gains(level, level_spread, LEVELS * scale.unit[:, None]), _gains(slope, slope_spread, growth)), axis=1
            ),
            safe=_gains(gap - self.allowed(now, promote=True), spread * safe_stretch, healthy),
            score=np.stack((level, slope), axis=1) * scale.unit[:, None] / spreads,
            harm_information=information,
            safe_information=safe_information,
            lean=information,
        )

    def _sign(self) -> float:
        return 1.0 if self.worse is Worse.ABOVE else -1.0

    def _gap(self, canary: Floats, stable: Floats, scale: Scale) -> tuple[Floats, Floats, Floats]:
        """Canary beyond stable (C,) on the side that hurts, its variance (inf: unknown), stable's level now."""
        ours, theirs = canary[:, Column.READINGS], stable[:, Column.READINGS]
        seen = (ours > 0) & (theirs > 0) & (scale.unit > 0)
        counts = np.where(seen, ours, 1.0), np.where(seen, theirs, 1.0)
        now = stable[:, Column.SUM] / counts[1]
        gap = np.where(seen, self._sign() * (canary[:, Column.SUM] / counts[0] - now), 0.0)
        variance = np.where(seen, scale.bound, np.inf)
        return gap, variance * (1.0 / counts[0] + 1.0 / counts[1]), now

    def _drift(self, canary: Floats, stable: Floats, scale: Scale) -> tuple[Floats, Floats, Floats]:
        """Canary's residuals beyond stable's (C,), their variance (inf: unknown), and the lever of both, seconds.

        Stable's are scaled to the canary's lever and level: what both do alike, as load makes them, cancels though they
        look back differently, and though one of them is larger.
        """
        ours, theirs = canary[:, Column.RESIDUALS], stable[:, Column.RESIDUALS]
        seen = (ours > 0) & (theirs > 0) & (scale.unit > 0)
        seen &= (canary[:, Column.LEVER] > 0) & (stable[:, Column.LEVER] > 0)
        counts = np.where(seen, ours, 1.0), np.where(seen, theirs, 1.0)
        lever = np.where(seen, canary[:, Column.LEVER] / counts[0], 0.0)
        part = lever / np.where(seen, stable[:, Column.LEVER] / counts[1], 1.0) * _times_level(canary, stable)
        means = [side[:, Column.RESIDUAL_SUM] / count for side, count in zip((canary, stable), counts, strict=True)]
        drift = np.where(seen, self._sign() * (means[0] - part * means[1]), 0.0)
        return drift, np.where(seen, scale.bound, np.inf) * (1.0 / counts[0] + part**2 / counts[1]), lever

    def pods(self, counts: Floats, track: Floats, memory: Floats, cell: Ints) -> PodReading:
        """Level and residuals of a pod beyond its track's; a lone pod is held against the recent past."""
        scale = self.scale(memory)
        variance, unit = scale.variance[cell], scale.unit[cell]
        alone = counts[:, Column.READINGS] >= track[:, Column.READINGS]
        parts = []
        for number, total, past, times in (
            (Column.READINGS, Column.SUM, scale.level[cell], 1.0),
            (Column.RESIDUALS, Column.RESIDUAL_SUM, 0.0, _times_level(counts, track)),
        ):
            mine, all_ = counts[:, number], track[:, number]
            several = (all_ > mine) & ~alone
            mean = np.divide(track[:, total], all_, out=np.zeros_like(all_), where=all_ > 0)
            part = np.divide(mine, all_, out=np.zeros_like(all_), where=several)
            drift = self._sign() * (counts[:, total] - mine * np.where(several, mean * times, past))
            parts.append((drift * (unit > 0), mine * unit, mine * variance * (1.0 - part)))
        drift, exposure, noise = (np.stack([part[i] for part in parts], axis=1) for i in range(3))
        return PodReading(drift=drift, exposure=exposure, noise=noise)

    def remember(self, memory: Floats, stable: Floats, *, seconds: Floats, history: bool) -> None:
        """Add stable's readings; see base.Test. What is not finite is left out."""
        stable = np.where(usable(stable, signed=True)[:, None], stable, 0.0)
        number, total, squares = (
            stable[:, at] for at in (Column.RESIDUALS, Column.RESIDUAL_SUM, Column.RESIDUAL_SQUARES)
        )
        common = np.divide(total**2, number, out=np.zeros_like(total), where=number > 0)
        several = number > 1
        between = np.where(several, np.maximum(squares - common, 0.0), 0.0)
        fresh = np.stack((between, np.where(several, number - 1.0, 0.0), squares, number), axis=1)
        memory[:, 4:] *= np.exp(-np.minimum(seconds, 10.0 * RECENT) / RECENT)[:, None]
        memory[:, 4:8] += fresh
        memory[:, 8] += stable[:, Column.SUM]
        memory[:, 9] += stable[:, Column.READINGS]
        if history:
            memory[:, :4] += fresh

    def requests(self, counts: Floats) -> Floats:
        """Readings in each row of counts."""
        return np.asarray(counts[..., Column.READINGS])


def _variances(sums: Floats) -> tuple[Floats, Floats]:
    """Variance of a reading and its upper bound at 99 % (C,), inf and NaN where it is unknown.

    sums: (C, 4) squares and degrees of freedom between pods of one tick, and around each pod's own past. Between pods
    what hits all of them drops out; it is preferred as soon as it is known.
    """
    chosen = np.where((sums[:, 1] >= LEAST_FREEDOM)[:, None], sums[:, :2], sums[:, 2:])
    squares, freedom = chosen.T
    known = freedom >= LEAST_FREEDOM
    safe = np.where(known, freedom, LEAST_FREEDOM)
    smallest = safe * (1.0 - 2.0 / (9.0 * safe) - 2.326 * np.sqrt(2.0 / (9.0 * safe))) ** 3
    return np.where(known, squares / safe, np.nan), np.where(known, squares / smallest, np.inf)


def _times_level(some: Floats, others: Floats) -> Floats:
    """How many times the level of others (C, F) some (C, F) have, within MOST_TIMES; 1 where it cannot be told."""
    ours, theirs = (
        np.divide(side[:, Column.SUM], side[:, Column.READINGS], out=np.zeros(len(side)), where=side[:, 0] > 0)
        for side in (some, others)
    )
    ratio = np.divide(ours, theirs, out=np.ones_like(ours), where=ours * theirs > 0)
    return np.clip(ratio, 1.0 / MOST_TIMES, MOST_TIMES)


def _gains(value: Floats, variance: Floats, step: Floats) -> Floats:
    """Log likelihood ratio (C, K) of mean `step` (C, K) against mean 0 for value (C,); 0 where variance is inf."""
    return np.asarray((step * value[:, None] - step**2 / 2.0) / variance[:, None])
