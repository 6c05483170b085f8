"""The classifier of Spinnaker's Kayenta: is the canary's metric High against the baseline's, and the score of a group.

Source: spinnaker/kayenta, NetflixACAJudge-v1.0, read at 8a754a1: MannWhitneyClassifier.scala (tolerance 0.25,
confidence 0.98, effect sizes 1.0), kayenta-mannwhitney/MannWhitney.scala at 552aa62 (normal approximation, continuity
and tie correction, interval cut off at the extreme differences), WeightedSumScorer.scala at 051bb0d. Its outlier filter
(IQRDetector, reduced sensitivity) can remove nothing below 99 points, so it is left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.stats import norm

from simulator.topology import Flags
from simulator.traffic import Floats

TOLERANCE: Final = 0.25
CONFIDENCE: Final = 0.98
MARGINAL: Final = 50.0
PASS: Final = 75.0


def statistic(x: Floats, y: Floats, shift: Floats) -> Floats:
    """Standardised rank sum of x - shift against y, (runs,); 0 where all are tied. x, y: (runs, n), NaN: not there."""
    here_x, here_y = ~np.isnan(x), ~np.isnan(y)
    n, m = here_x.sum(axis=1), here_y.sum(axis=1)
    moved = x - shift[:, None]
    gap = moved[:, :, None] - y[:, None, :]
    above = np.where(gap > 0, 1.0, np.where(gap == 0, 0.5, 0.0)).sum(axis=(1, 2)) - n * m / 2.0
    both = np.concatenate((moved, y), axis=1)
    same = (both[:, :, None] == both[:, None, :]).sum(axis=2)
    ties = np.where(np.isnan(both), 0.0, same**2 - 1.0).sum(axis=1)  # sum over groups of t^3 - t
    size = n + m
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(n * m / 12.0 * (size + 1 - ties / (size * (size - 1))))
        standard = (above - np.sign(above) * 0.5) / spread
    return np.where(spread > 0, standard, 0.0)


def high(x: Floats, y: Floats) -> Flags:
    """Whether canary points x are High against baseline points y, (runs,). x, y: (runs, n), NaN: not there.

    High: the lower limit of the interval for the shift is above a quarter of the estimated shift, and the mean is not
    below the baseline's. Where even the smallest difference is not significant, the limit is that difference: two
    points against two can be High.
    """
    known = np.asarray((~np.isnan(x)).any(axis=1) & (~np.isnan(y)).any(axis=1))
    x, y = np.where(known[:, None], x, 0.0), np.where(known[:, None], y, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        estimate = np.nanmedian((x[:, :, None] - y[:, None, :]).reshape(len(x), -1), axis=1)
        ratio = np.nanmean(x, axis=1) / np.nanmean(y, axis=1)
    smallest = np.nanmin(x, axis=1) - np.nanmax(y, axis=1)
    bound = TOLERANCE * np.abs(estimate)
    wanted = float(norm.ppf(0.5 + CONFIDENCE / 2.0))
    cut_off = statistic(x, y, smallest) <= wanted
    above = np.where(cut_off, smallest > bound, statistic(x, y, bound) > wanted)
    larger = (np.nanmean(y, axis=1) == 0.0) | (ratio >= 1.0)
    return np.asarray(known & above & larger)


def scores(groups: list[list[tuple[Floats, Floats]]], *, required: bool) -> Floats:
    """Score 0..100 of each run, (runs,): the mean over groups of the share of their metrics that passed.

    groups: per group its metrics as (canary, baseline) points. A metric without points counts nowhere (Nodata), a
    group of such metrics scores 0; with required False ("replace") it passes, as missing counts do.
    """
    total = np.zeros(len(groups[0][0][0]))
    for metrics in groups:
        passed, judged = np.zeros(len(total)), np.zeros(len(total))
        for canary, baseline in metrics:
            known = (~np.isnan(canary)).any(axis=1) & (~np.isnan(baseline)).any(axis=1)
            counted = known | (not required)
            judged += counted
            passed += counted & ~high(canary, baseline)
        total += np.where(judged > 0, passed / np.maximum(judged, 1), 0.0) * 100.0 / len(groups)
    return total
