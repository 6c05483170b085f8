"""From what a counter shows to how many events there were: differences per series, resets, replicas that step back.

Difference each series, then sum; never difference a sum. It keeps no state: the last reading of each series is handed
in. Law: deltas over any partition of a series' samples add up to the same total, as long as no sample is out of order.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]

HALF: Final = 0.5


class Step(IntEnum):
    """What one sample of a counter turned out to be."""

    COUNTED = 0
    FIRST = 1
    """Nothing before it: it sets the baseline and counts nothing."""
    RESET = 2
    """The process began anew: all it shows is new."""
    STEPPED_BACK = 3
    """A little less than before: another replica of the source answered. Dropped."""
    STALE = 4
    """At or before the last sample of its series. Dropped."""
    UNUSABLE = 5
    """NaN, infinite or negative. Dropped."""


def counter_steps(
    value: Floats, time: Floats, *, last_value: Floats, last_time: Floats, restarted: npt.NDArray[np.bool_],
    any_fall_resets: bool = False,
) -> tuple[Floats, Codes]:  # fmt: skip
    """Events between the last sample of each series and this one.

    value, time: (n,) this sample. last_value, last_time: (n,) the last one that counted, NaN where there is none.
    restarted: (n,) the process is known to have begun after the last sample. any_fall_resets: a fall of any size is a
    reset (files say so); else only a fall below half is, and a smaller one is a replica that lags.
    Returns deltas (n,), >= 0 and never NaN, and `Step` codes (n,).

    >>> counter_steps(np.array([12.0, 3.0, 9.5]), np.ones(3), last_value=np.array([10.0, 10.0, 10.0]),
    ...               last_time=np.zeros(3), restarted=np.zeros(3, dtype=bool))[0].tolist()
    [2.0, 3.0, 0.0]
    """
    unusable = ~np.isfinite(value) | (value < 0) | ~np.isfinite(time)
    first = np.isnan(last_time)
    stale = ~first & (time <= last_time)
    fell = value < last_value
    reset = fell & (restarted | any_fall_resets | (value < HALF * last_value)) | (restarted & ~first)
    back = fell & ~reset
    codes = np.select(
        [unusable, stale, first, reset, back],
        [Step.UNUSABLE, Step.STALE, Step.FIRST, Step.RESET, Step.STEPPED_BACK],
        default=Step.COUNTED,
    ).astype(np.int8)
    delta = np.select([codes == Step.COUNTED, codes == Step.RESET], [value - last_value, value], default=0.0)
    return np.nan_to_num(delta, nan=0.0), codes


def bucket_counts(cumulative: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Requests per bucket from counts <= each bound; (n, B) in and out, and whether each row was cumulative.

    Rows that fall from one bound to the next, or hold NaN, count nothing.

    >>> bucket_counts(np.array([[1.0, 3.0, 3.0], [2.0, 1.0, 4.0]]))[0].tolist()
    [[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]
    """
    each = np.diff(cumulative, axis=1, prepend=0.0)
    sound = np.asarray(np.isfinite(cumulative).all(axis=1) & (each >= 0).all(axis=1))
    return np.where(sound[:, None], each, 0.0), sound
