"""Two versions of a method on the same seeds: what got worse, beyond chance and beyond a tolerance.

Runs of one seed meet the same world, so they are pairs: what a seed itself brings cancels. Values only; what is
compared is the caller's part.

Source: McNemar 1947 (exact form: binomial on the pairs that differ); ratio of totals and its variance: Cochran 1977,
Sampling Techniques, section 6.2; several comparisons: Holm 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc, betaincinv, stdtr, stdtrit

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What changed from before to after, with two-sided limits at 95 %.

    pairs: how many were compared. estimate, lower, upper: difference of shares, or ratio of totals. p: chance of a
    worsening like this, or a greater one, if there is none beyond what is tolerated. gain: chance of an improvement
    like this, or a greater one, if there is none.
    """

    pairs: int
    estimate: float
    lower: float
    upper: float
    p: float
    gain: float


def share_change(before: Flags, after: Flags) -> Change:
    """Change of the share in which something bad happens; before, after: (n,), a pair each, n >= 1.

    Limits are those of Clopper and Pearson for the pairs that differ, given how many do.

    >>> before, after = np.zeros(20, dtype=bool), np.arange(20) < 6
    >>> change = share_change(before, after)
    >>> change.estimate, round(change.p, 4)
    (0.3, 0.0156)
    """
    pairs = len(before)
    worse, better = int(np.sum(after & ~before)), int(np.sum(before & ~after))
    differ = worse + better
    if not differ:
        return Change(pairs=pairs, estimate=0.0, lower=0.0, upper=0.0, p=1.0, gain=1.0)
    tail = (1.0 - CONFIDENCE) / 2.0
    low = 0.0 if worse == 0 else float(betaincinv(worse, better + 1, tail))
    high = 1.0 if better == 0 else float(betaincinv(worse + 1, better, 1.0 - tail))
    part = differ / pairs
    return Change(
        pairs=pairs, estimate=(worse - better) / pairs, lower=part * (2.0 * low - 1.0), upper=part * (2.0 * high - 1.0),
        p=float(bdtrc(worse - 1, differ, 0.5)) if worse else 1.0,
        gain=float(bdtrc(better - 1, differ, 0.5)) if better else 1.0,
    )  # fmt: skip


def total_change(before: Floats, after: Floats, *, tolerance: float) -> Change:
    """Change of a total, as a ratio: sum(after) / sum(before); before, after: (n,) >= 0, a pair each.

    tolerance: a ratio up to 1 + tolerance is no worsening. One pair, or totals of 0, prove nothing: p is 1. The gain is
    asked of differences: where all that is left is 0, a ratio's spread is 0 as well, and would prove it by one pair.

    >>> before = np.array([100.0, 120.0, 80.0, 100.0])
    >>> change = total_change(before, 2.0 * before, tolerance=0.1)
    >>> change.estimate, change.lower, change.p
    (2.0, 2.0, 0.0)
    >>> total_change(before, before, tolerance=0.0).p
    1.0
    """
    pairs, base = len(before), float(before.sum())
    if pairs < 2 or base <= 0.0:
        return Change(pairs=pairs, estimate=math.nan, lower=0.0, upper=math.inf, p=1.0, gain=1.0)
    ratio = float(after.sum()) / base
    spread = float(np.sqrt(np.sum((after - ratio * before) ** 2) * pairs / (pairs - 1))) / base
    beyond = ratio - (1.0 + tolerance)
    reach = float(stdtrit(pairs - 1, (1.0 + CONFIDENCE) / 2.0)) * spread
    alike = spread <= 1e-12 * ratio  # all pairs tell the same
    p = float(beyond <= 1e-12) if alike else float(stdtr(pairs - 1, -beyond / spread))
    return Change(
        pairs=pairs, estimate=ratio, lower=max(ratio - reach, 0.0), upper=ratio + reach, p=p, gain=_gain(before - after)
    )


def _gain(saved: Floats) -> float:
    """Chance of savings like these, or greater ones, where there are none: Student's t on (n,) differences, n >= 2."""
    mean, spread = float(saved.mean()), float(saved.std(ddof=1)) / math.sqrt(len(saved))
    if spread <= 1e-12 * abs(mean):
        return float(mean <= 0.0)
    return float(stdtr(len(saved) - 1, -mean / spread))


def proved(chances: Sequence[float], *, level: float) -> list[bool]:
    """Which of several worsenings are real, where at most `level` of all unchanged families name a single one.

    >>> proved([0.001, 0.04, 0.5], level=0.05)
    [True, False, False]
    """
    found = [False] * len(chances)
    for rank, place in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        if chances[place] > level / (len(chances) - rank):
            break
        found[place] = True
    return found
