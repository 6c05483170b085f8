"""What a sequential test is, and the mixture weights that every test shares.

A test reads one tick of two tracks and says by how much each alternative gained on the null (log likelihood ratios).
It keeps no state of its own: accumulating, correcting for dependence and mixing is done by mixture.py and by whoever
holds the arrays. Axes: C cells (one guardrail of one rollout), K alternatives, P promotion alternatives, D directions
(ways in which two pods may differ lastingly), F columns of counts, J start times, S pods, Q spreads of a prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FIRST_START: Final = 30.0
"""Seconds after the first canary traffic at which the second part of the mixture starts."""
START_RATIO: Final = 1.6
START_COUNT: Final = 16
FIRST_WEIGHT: Final = 0.6
HUGE: Final = 1e300
"""Stands for infinity where that would give NaN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One tick as a test sees it; all arrays of float64, nothing is NaN.

    harm: (C, K or more) gain of each alternative on "at the rollback margin", then of partners. safe: (C, P) gain of
    "healthy" on "at the promote margin". score: (C, D) canary labels beyond those expected at the rollback margin.
    harm_information, safe_information: (C, D) variance of the score at that margin. lean: (C, D) how far the score
    moves when a whole track is worse by one unit of the direction.
    """

    harm: Floats
    safe: Floats
    score: Floats
    harm_information: Floats
    safe_information: Floats
    lean: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class PodReading:
    """How each pod of one tick differs from its own track.

    drift: (S, D) score beyond what the track's mean explains. exposure: (S, D) drift that one unit of the direction
    would give. noise: (S, D) variance of drift when pods are equal and requests independent.
    """

    drift: Floats
    exposure: Floats
    noise: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """What a test averages over, fixed before the first row: alternatives, and lasting spreads between equal pods.

    harm_weights: (K,) of the alternatives, sum to 1. harm_direction: (K,) of each alternative, sorted. partner: (K,)
    column of Reading.harm that must have gained as much: of two accounts of an alternative the smaller counts.
    safe_weights: (P,) of the promotion alternatives, sum to 1 within each direction. safe_direction: (P,), sorted;
    every direction named must pass by itself.
    spreads: (D, Q) standard deviations, in units of the direction, rising from 0. prior: (D, Q) weight of each where
    several pods can be compared, rows sum to 1. lone_prior: the same where no two pods of one track were seen: nothing
    will ever correct it. merged_prior: the same where tracks come as one series each, without pod names: sums over pods
    differ less than pods. freedom: (D,) share of the pods' word on the spread that is believed: less where spreads are
    skewed (tails). bounded: (D,) largest part of the risk that is taken for lasting differences beyond a bound
    (analysis/lasting.py); 0 where spreads are so skewed that no bound read off pods would hold. skewed: (D,) skewness
    of lasting differences in units of their standard deviation that the bound allows for: 3 is that of factors.
    """

    harm_weights: Floats
    harm_direction: Ints
    partner: Ints
    safe_weights: Floats
    safe_direction: Ints
    spreads: Floats
    prior: Floats
    lone_prior: Floats
    merged_prior: Floats
    freedom: Floats
    bounded: Floats
    skewed: Floats


class Test(Protocol):
    """One way of comparing two tracks. Pure: everything remembered lies in the `memory` rows handed in."""

    @property
    def columns(self) -> int:
        """F: counts per pod and tick."""
        ...

    @property
    def remembered(self) -> int:
        """Columns of `memory` that the test needs per cell."""
        ...

    @property
    def mixture(self) -> Mixture:
        """Alternatives and spreads, with their weights."""
        ...

    def read(self, canary: Floats, stable: Floats, memory: Floats, *, elapsed: Floats) -> Reading:
        """Read one tick: totals (C, F) per track, memory (C, remembered) from EARLIER ticks, elapsed (C,) seconds."""
        ...

    def pods(self, counts: Floats, track: Floats, memory: Floats, cell: Ints) -> PodReading:
        """Compare pods (S, F) with their track's totals (S, F); memory (C, remembered), cell (S,) of each pod."""
        ...

    def remember(self, memory: Floats, stable: Floats, *, seconds: Floats, history: bool) -> None:
        """Take one tick of stable totals (C, F) into memory (C, remembered), in place."""
        ...

    def requests(self, counts: Floats) -> Floats:
        """Requests in each row (..., F) of counts."""
        ...


def start_times(count: int = START_COUNT) -> Floats:
    """Seconds after the first canary traffic at which the parts of the mixture start; shape (count,).

    >>> start_times(4)
    array([ 0. , 30. , 48. , 76.8])
    """
    return np.concatenate(([0.0], FIRST_START * START_RATIO ** np.arange(count - 1)))


def start_weights(count: int = START_COUNT) -> Floats:
    """Weight of each start; sums to 1. What has not started yet counts as evidence 1 with its weight.

    >>> float(start_weights(8).sum().round(12))
    1.0
    """
    later = 1.0 / (np.arange(count - 1) + 4.0)
    return np.concatenate(([FIRST_WEIGHT], (1.0 - FIRST_WEIGHT) * later / later.sum()))


def logsumexp(values: Floats, axis: int | tuple[int, ...]) -> Floats:
    """log(sum(exp(values))) along axes, without overflow; a slice of -inf only gives -inf.

    >>> float(logsumexp(np.log(np.array([1.0, 2.0, 5.0])), axis=0).round(12)) == float(np.log(8).round(12))
    True
    """
    top = np.maximum.reduce(values, axis=axis, keepdims=True)
    top = np.minimum(np.maximum(top, -HUGE), HUGE)
    with np.errstate(divide="ignore"):
        total = np.log(np.add.reduce(np.exp(values - top), axis=axis))
    return np.asarray(total + top.reshape(np.shape(total)), dtype=np.float64)
