"""From buckets to quantiles, with the bounds between which the true one lies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def bucket_quantile(counts: Floats, bounds: Floats, level: float) -> tuple[Floats, Floats, Floats]:
    """Estimate of a quantile, and the ends of the bucket that holds it; seconds, (n,) each.

    counts: (n, B) requests per bucket. bounds: (B,) upper bounds, rising, the last one inf. Linear within the bucket;
    in the last one the estimate is its lower end. A row without requests is NaN.
    Raises ValueError for a level outside (0, 1).

    >>> [float(x[0]) for x in bucket_quantile(np.array([[2.0, 2.0, 0.0]]), np.array([0.1, 0.3, np.inf]), 0.75)]
    [0.2, 0.1, 0.3]
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level {level} is outside (0, 1)")
    total = counts.sum(axis=1)
    reach = counts.cumsum(axis=1)
    index = np.minimum((reach < level * total[:, None]).sum(axis=1), counts.shape[1] - 1)
    row = np.arange(len(counts))
    lower = np.where(index > 0, bounds[np.maximum(index - 1, 0)], 0.0)
    upper = bounds[index]
    inside = counts[row, index]
    before = reach[row, index] - inside
    part = np.divide(level * total - before, inside, out=np.zeros_like(total), where=inside > 0)
    width = np.where(np.isinf(upper), 0.0, upper - lower)
    empty = total <= 0
    estimate = np.where(empty, np.nan, lower + np.minimum(np.maximum(part, 0.0), 1.0) * width)
    return estimate, np.where(empty, np.nan, lower), np.where(empty, np.nan, upper)
