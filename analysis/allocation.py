"""Does the canary serve the share of requests it was given? Sample-ratio test, valid at any number of looks.

Routers round, sessions stick, and replicas are few: a small difference is no fault. It is skewed when the share is
both proved different from the weight and off by more than a tolerance. It does not say why.

Requests that one draw sends to a track count as one: of users who stick to it the effective number is requests over
E[n^2]/E[n], n the requests of a user (Kish 1965; users.py).

Source: beta-binomial mixture (Robbins 1970); the use for traffic: Lindon and Malek 2022.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaln

Floats = npt.NDArray[np.float64]

LEAST_REQUESTS: Final = 100.0
CHANCE: Final = 0.001
TOLERANCE: Final = 0.25
"""Relative difference that is still called fitting."""
LEAST_GAP: Final = 0.02
CLUSTER: Final = 4.0
"""Requests that come together (a page) and count as one, where no user sticks to a track."""


def log_skew(canary: Floats, total: Floats, weight: Floats, *, cluster: float = CLUSTER) -> Floats:
    """Log e-value (n,) against "each cluster goes to the canary with chance `weight`"; 0 at weight 0 or 1.

    canary, total: (n,) requests since the weight was accepted. weight: (n,) in [0, 1]. cluster: requests of one draw.
    """
    inside = (weight > 0) & (weight < 1)
    share = np.where(inside, weight, 0.5)
    ours, all_ = canary / cluster, total / cluster
    prior = (20.0 * share, 20.0 * (1.0 - share))
    mixed = betaln(prior[0] + ours, prior[1] + all_ - ours) - betaln(*prior)
    fixed = ours * np.log(share) + (all_ - ours) * np.log1p(-share)
    return np.where(inside, mixed - fixed, 0.0)


def skewed(
    canary: Floats, total: Floats, low: Floats, high: Floats, *, cluster: float = CLUSTER
) -> npt.NDArray[np.bool_]:
    """Whether the share is proved to lie outside [low, high], and by more than the tolerance.

    low, high: (n,) least and largest weight by which requests may have been drawn, equal where it was one all the
    time. The nearer end is asked: draws with smaller chances exceed `high` no oftener than draws with chance `high`.

    >>> weight = np.array([0.1, 0.1])
    >>> skewed(np.array([300.0, 1000.0]), np.array([10000.0, 10000.0]), weight, weight).tolist()
    [True, False]
    """
    share = np.divide(canary, total, out=np.zeros_like(total), where=total > 0)
    weight = np.clip(share, low, high)
    gap = np.abs(share - weight)
    far: npt.NDArray[np.bool_] = gap > np.maximum(LEAST_GAP, TOLERANCE * np.minimum(weight, 1.0 - weight))
    if not far.any():
        return far
    extreme = ((weight <= 0) & (canary > 0)) | ((weight >= 1) & (canary < total))
    proved = (log_skew(canary, total, weight, cluster=cluster) >= -np.log(CHANCE)) | extreme
    return np.asarray(far & proved & (total >= LEAST_REQUESTS))
