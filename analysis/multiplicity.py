"""Combine evidence of several tests: weighted average of e-values, in logs.

The average of e-values is an e-value whatever the dependence; the product is one only under independence. It does not
choose the weights: they must be fixed before the first row of the canary.

Source: Vovk and Wang 2021, "E-values: calibration, combination and applications".
"""

from __future__ import annotations

import numpy as np

from analysis.sequential.base import Floats, logsumexp


def average(log_values: Floats, weights: Floats) -> Floats:
    """Log of the weighted average of e-values along the last axis; NaN counts as evidence 1 (log 0).

    log_values: (..., G). weights: broadcast to it, >= 0; a row of weights is normalised, all 0 gives 0 (evidence 1).

    >>> float(average(np.log(np.array([200.0, 1.0])), np.array([0.5, 0.5])).round(6)) == float(np.log(100.5).round(6))
    True
    """
    total = weights.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        logs = np.log(np.divide(weights, total, out=np.zeros_like(weights), where=total > 0))
    combined = logsumexp(np.where(np.isnan(log_values), 0.0, log_values) + logs, axis=-1)
    return np.where(total[..., 0] > 0, combined, 0.0)
