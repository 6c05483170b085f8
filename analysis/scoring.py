"""How often verdicts were right, and how late: shares with their intervals, delays in which a miss is infinite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share seen, with two-sided Clopper-Pearson limits at 95 %."""

    count: int
    runs: int
    share: float
    lower: float
    upper: float


def share_of(count: int, runs: int) -> Share:
    """Share of runs in which something happened. Raises ValueError unless 0 <= count <= runs and runs >= 1.

    >>> share_of(0, 2000).upper < 0.002
    True
    """
    if runs < 1 or not 0 <= count <= runs:
        raise ValueError(f"{count} of {runs} is not a share")
    lower = 0.0 if count == 0 else float(betaincinv(count, runs - count + 1, 0.025))
    upper = 1.0 if count == runs else float(betaincinv(count + 1, runs - count, 0.975))
    return Share(count=count, runs=runs, share=count / runs, lower=lower, upper=upper)


def delays(decided_at: Floats, onset: Floats) -> Floats:
    """Seconds from onset to a rollback; inf where there was none (NaN), or it came before the onset."""
    late = decided_at - onset
    return np.where(np.isnan(late) | (late < 0), np.inf, late)


def quantile_with_misses(values: Floats, level: float) -> float:
    """Quantile in which inf counts as later than everything; no interpolation between a value and a miss.

    >>> quantile_with_misses(np.array([10.0, 20.0, np.inf]), 0.5)
    20.0
    """
    if not len(values):
        return float("nan")
    return float(np.sort(values)[min(int(np.ceil(level * len(values))) - 1, len(values) - 1)])
