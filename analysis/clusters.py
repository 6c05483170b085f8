"""How sure a share is when its runs are not all independent: runs of one group share their noise.

It knows groups only by number. Whether groups are independent of each other is for the caller to say.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from analysis.scoring import Share

Ints = npt.NDArray[np.int64]


def share_over_groups(hits: npt.NDArray[np.bool_], group: Ints) -> Share:
    """Share of runs in which something happened, with 95 % limits that count groups, not runs.

    hits: (n,) whether it happened; group: (n,) number of each run's group. The limits are those of Clopper and Pearson
    for as many independent runs as there are groups, at the share seen over all runs. That is wider than needed where
    runs of a group differ, and right where they do not. Raises ValueError where there is no run.

    >>> share_over_groups(np.zeros(40, dtype=bool), np.repeat(np.arange(10), 4)).upper > 0.3
    True
    """
    runs = len(hits)
    if not runs or len(group) != runs:
        raise ValueError(f"{runs} runs in {len(group)} groups are no share")
    count, groups = int(np.count_nonzero(hits)), len(np.unique(group))
    share = count / runs
    seen = share * groups
    lower = 0.0 if count == 0 else float(betaincinv(seen, groups - seen + 1.0, 0.025))
    upper = 1.0 if count == runs else float(betaincinv(seen + 1.0, groups - seen, 0.975))
    return Share(count=count, runs=runs, share=share, lower=lower, upper=upper)
