"""Does the canary serve the share of requests it was given? Sample-ratio test, valid at any number of looks.

Routers round, sessions stick, and replicas are few: a small difference is no fault. It is skewed when the share is
both proved different from the weight and off by more than a tolerance. It does not say why.

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
"""Requests that come together (a session, a page) and count as one."""


def log_skew(canary: Floats, total: Floats, weight: Floats) -> Floats:
    """Log e-value (n,) against "each request goes to the canary with chance `weight`"; 0 at weight 0 or 1.

    canary, total: (n,) requests since the weight was accepted. weight: (n,) in [0, 1].
    """
    inside = (weight > 0) & (weight < 1)
    share = np.where(inside, weight, 0.5)
    ours, all_ = canary / CLUSTER, total / CLUSTER
    prior = (20.0 * share, 20.0 * (1.0 - share))
    mixed = betaln(prior[0] + ours, prior[1] + all_ - ours) - betaln(*prior)
    fixed = ours * np.log(share) + (all_ - ours) * np.log1p(-share)
    return np.where(inside, mixed - fixed, 0.0)


def skewed(canary: Floats, total: Floats, weight: Floats) -> npt.NDArray[np.bool_]:
    """Whether the share is proved different from the weight, and by more than the tolerance.

    >>> skewed(np.array([300.0, 1000.0]), np.array([10000.0, 10000.0]), np.array([0.1, 0.1])).tolist()
    [True, False]
    """
    share = np.divide(canary, total, out=np.zeros_like(total), where=total > 0)
    gap = np.abs(share - weight)
    far = gap > np.maximum(LEAST_GAP, TOLERANCE * np.minimum(weight, 1.0 - weight))
    if not far.any():
        return far
    extreme = ((weight <= 0) & (canary > 0)) | ((weight >= 1) & (canary < total))
    proved = (log_skew(canary, total, weight) >= -np.log(CHANCE)) | extreme
    return np.asarray(far & proved & (total >= LEAST_REQUESTS))
