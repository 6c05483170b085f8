"""Is an objective breached? Windows of good and bad events against a threshold, with a one-sided 99 % bound.

About the user's pain, not about the change. One window says "breached" only when its data exclude the threshold; a
level is reached when every look over its whole duration said so. It does not divide the chance over looks: the
duration, not the bound, is what keeps a healthy release from being called bad (measured: docs/statistics.md).

Source: Clopper and Pearson 1934 (exact binomial bound); Student 1908 (bound of a mean of readings); Beyer et al., The
Site Reliability Workbook, chapter 5.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, stdtrit

Floats = npt.NDArray[np.float64]

LEVEL: Final = 0.01
LEAST_BAD: Final = 2.0
"""Bad events that a window needs at least: one is never a breach, however few the requests."""
ONE: Final = np.array(1.0)
TWO: Final = np.array(LEAST_BAD)
SMALLEST: Final = 1e-9
LEAST_READINGS: Final = 2.0
"""Readings that a window needs at least: one alone has no spread."""


def chance(bad: Floats, total: Floats, allowed: Floats, *, design: Floats = ONE, least: Floats = TWO) -> Floats:
    """Chance of so many bad of total, or more, when each is bad with chance `allowed`; 1 for fewer than `least`.

    bad, total: any shape, events in the window. allowed: share of bad events, broadcast. No events: 1. design: by which
    factor the variance of `bad` is that of independent events, >= 1, broadcast: so many count as one. Exact for 1,
    for more as if effective numbers were numbers (Kish 1965).

    >>> chance(np.array([1.0, 2.0]), np.array([2.0, 2.0]), np.array(0.5)).tolist()
    [1.0, 0.25]
    """
    sure = np.maximum(np.minimum(bad, total), 0.0)
    enough = (sure >= least) & (total > 0)
    share = np.minimum(np.maximum(allowed, 0.0), 1.0)
    good = np.maximum(total - sure, 0.0) / design
    found = betainc(np.maximum(sure / design, SMALLEST), good + 1.0, share)
    return np.where(enough, found, 1.0)


def excludes(
    bad: Floats, total: Floats, allowed: Floats, *, design: Floats = ONE, least: Floats = TWO
) -> npt.NDArray[np.bool_]:
    """Whether bad of total exclude that the true share is at most `allowed`, at one-sided 99 %.

    bad, total, design, least: see `chance`. allowed: share of bad events, broadcast. No events: False.

    >>> excludes(np.array([1.0, 9.0]), np.array([24.0, 600.0]), np.array(0.002)).tolist()
    [False, True]
    """
    return np.asarray(chance(bad, total, allowed, design=design, least=least) <= LEVEL)


def mean_excludes(number: Floats, total: Floats, squares: Floats, allowed: Floats) -> npt.NDArray[np.bool_]:
    """Whether the mean of readings excludes, at one-sided 99 %, that the true mean is at most `allowed`.

    number, total, squares: any shape, how many readings the window holds, their sum and the sum of their squares, from
    whichever zero `allowed` is told from. Fewer than two readings: False. Readings close in time are alike, so this
    bound alone is too narrow: the duration of a level is what keeps a swing from being called bad.

    >>> mean_excludes(np.array([6.0, 1.0]), np.array([5.4, 0.9]), np.array([4.88, 0.81]), np.array(0.8)).tolist()
    [True, False]
    """
    several = number >= LEAST_READINGS
    count = np.where(several, number, LEAST_READINGS)
    mean = total / count
    variance = np.maximum(squares - total * mean, 0.0) / (count - 1.0)
    beyond = mean - allowed > stdtrit(count - 1.0, 1.0 - LEVEL) * np.sqrt(variance / count)
    return np.asarray(several & beyond)


def burn_rate(bad: Floats, total: Floats, objective: float) -> Floats:
    """How fast the error budget is used; 1 uses it up exactly at the window's end. NaN without events.

    objective: share of good events asked for, in [0, 1).  Source: SRE workbook, chapter 5.

    >>> burn_rate(np.array([3.0]), np.array([1000.0]), 0.999).round(6).tolist()
    [3.0]
    """
    if not 0.0 <= objective < 1.0:
        raise ValueError(f"objective {objective} is outside [0, 1)")
    share = np.divide(bad, total, out=np.full(np.shape(total), np.nan), where=np.asarray(total) > 0)
    return np.asarray(share / (1.0 - objective))
