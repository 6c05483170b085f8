"""How much a stream varies, and how: each statistic is 1, 0 or a known value for a known process. Numbers only.

Counts have shape (bins,) or (bins, series); series are taken apart, and the statistic is that of all of them together.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import fisher_exact, mannwhitneyu

Floats = npt.NDArray[np.float64]
ALARM: Final = 0.01
DIFFER: Final = 0.02


def summed(counts: Floats, bins: int) -> Floats:
    """Sums of so many bins in a row; what is left at the end is dropped.

    >>> summed(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 2).tolist()
    [3.0, 7.0]
    """
    whole = len(counts) // bins
    return np.asarray(counts[: whole * bins].reshape(whole, bins, *counts.shape[1:]).sum(axis=1))


def dispersion(counts: Floats) -> float:
    """Variance over mean: 1 for Poisson counts, less where requests keep a distance, more where they come in bursts.

    >>> dispersion(np.array([1.0, 3.0]))
    1.0
    """
    return float(np.mean(counts.var(axis=0, ddof=1) / counts.mean(axis=0)))


def autocorrelation(counts: Floats, lag: int) -> float:
    """Correlation of a bin with the one `lag` bins later; 0 for Poisson counts, rho ** lag for AR(1). NaN: constant.

    Source: the usual estimate, divided by the variance of the whole series (Box and Jenkins 1970).
    """
    off = counts - counts.mean(axis=0)
    power = float((off * off).sum())
    return float((off[lag:] * off[:-lag]).sum()) / power if power > 0.0 else float("nan")


def binomial_dispersion(errors: Floats, requests: Floats) -> float:
    """Pearson's chi-square over its degrees of freedom: 1 where requests fail independently, more where in clusters.

    Every series has its own share of errors; one without any tells nothing and is left out. NaN: none has errors.
    """
    errors, requests = (each.reshape(len(each), -1) for each in (errors, requests))
    errors, requests = (each[:, errors.sum(axis=0) > 0.0] for each in (errors, requests))
    if errors.shape[1] == 0:
        return float("nan")
    share = errors.sum(axis=0) / requests.sum(axis=0)
    expected = requests * share
    chi = np.where(requests > 0.0, (errors - expected) ** 2 / np.maximum(expected * (1.0 - share), 1e-300), 0.0)
    return float(chi.sum() / ((requests > 0.0).sum() - errors.shape[1]))


def largest_cluster(errors: Floats) -> float:
    """Largest share of all errors that fell into one bin. NaN without errors."""
    total = float(errors.sum())
    return float(errors.max()) / total if total > 0.0 else float("nan")


def false_alarms(errors: Floats, requests: Floats, *, window: int, before: int, level: float = ALARM) -> float:
    """Share of windows whose errors differ from the `before` bins just before them (Fisher's exact test, two-sided).

    errors, requests: shape (bins,). window, before: bins; windows do not overlap. Under independence at most `level`.
    """
    starts = range(before, len(errors) - window + 1, window)
    alarms = 0
    for start in starts:
        parts = slice(start, start + window), slice(start - before, start)
        table = [[errors[part].sum(), requests[part].sum() - errors[part].sum()] for part in parts]
        if table[0][0] + table[1][0] > 0:
            alarms += float(fisher_exact(table).pvalue) < level
    return alarms / len(starts)


def between_sd(levels: Floats) -> float:
    """Standard deviation between units (pods, machines) of their mean level; levels: shape (points, units)."""
    return float(levels.mean(axis=0).std(ddof=1))


def within_sd(levels: Floats) -> float:
    """Standard deviation of a unit's points around its own mean; levels: shape (points, units)."""
    return float(np.sqrt(levels.var(axis=0, ddof=1).mean()))


def lasting(levels: Floats) -> float:
    """Correlation over units of the first half's mean with the second half's: 1 where differences stay, 0 where not."""
    half = len(levels) // 2
    return float(np.corrcoef(levels[:half].mean(axis=0), levels[half:].mean(axis=0))[0, 1])


def much_slower(levels: Floats, *, by: float = 0.1) -> float:
    """Share of units that are slower than the median one by more than `by`; levels: log latencies, (points, units)."""
    found = levels.mean(axis=0)
    return float(np.mean(found > np.median(found) + np.log1p(by)))


def differing_pairs(levels: Floats, *, points: int, level: float = DIFFER) -> float:
    """Share of pairs of units that differ after so many points (Mann and Whitney, two-sided)."""
    first, second = np.array(list(combinations(range(levels.shape[1]), 2))).T
    found: Any = mannwhitneyu(levels[:points, first], levels[:points, second], axis=0, method="asymptotic")
    return float(np.mean(found.pvalue < level))
