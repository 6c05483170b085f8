"""From readings of gauges to rows that add up: the sum, and what each reading adds to its pod's own past.

A pod's level says little: equal pods differ lastingly. What a reading differs from the mean of all EARLIER readings
of the same pod, scaled by sqrt(k / (k + 1)), is a recursive residual: with independent noise of one variance these are
independent, have that variance, and do not depend on the pod's level. Their lever is what they would be if the level
grew by one unit a second. It does not compare tracks (sequential/gauge.py).

Source: Brown, Durbin and Evans 1975, "Techniques for testing the constancy of regression relationships over time".
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Column(IntEnum):
    """Columns of a row; all of them may be added over pods and over ticks."""

    READINGS = 0
    SUM = 1
    RESIDUALS = 2
    """How many readings had an earlier one of their pod."""
    RESIDUAL_SUM = 3
    RESIDUAL_SQUARES = 4
    LEVER = 5
    """Seconds."""


COLUMNS: Final = len(Column)
REMEMBERED: Final = 3
"""Per series: readings so far, their mean level, their mean time."""
LARGEST: Final = 1e100
"""Readings beyond it count as unusable: their squares could not be added up."""


def reading_rows(value: Floats, time: Floats, memory: Floats, *, anew: Flags | None = None) -> Floats:
    """Rows (n, COLUMNS) of one reading each of n different series; memory (n, REMEMBERED) is brought up to date.

    value: (n,) readings in the gauge's unit. time: (n,) seconds. anew: (n,) series whose past is to begin with this
    reading; ask for it once for all pods when the canary gets its first traffic, so that all look back equally far.
    A reading that is NaN, infinite or beyond LARGEST gives a row of zeros and changes no memory.

    >>> memory = np.zeros((1, REMEMBERED))
    >>> samples = ((4.0, 0.0), (6.0, 10.0), (5.0, 20.0))
    >>> [reading_rows(np.array([v]), np.array([t]), memory)[0, 3].round(3).item() for v, t in samples]
    [0.0, 1.414, 0.0]
    """
    sound = np.isfinite(value) & (np.abs(value) <= LARGEST) & np.isfinite(time)
    if anew is not None:
        memory[sound & anew] = 0.0
    before = memory[:, 0]
    level, at = np.where(sound, value, 0.0), np.where(sound, time, 0.0)
    kept = np.where(sound & (before > 0), np.sqrt(before / (before + 1.0)), 0.0)
    residual, lever = (level - memory[:, 1]) * kept, (at - memory[:, 2]) * kept
    rows = np.stack((sound * 1.0, level, (kept > 0) * 1.0, residual, residual**2, lever), axis=1)
    step = np.where(sound, 1.0 / (before + 1.0), 0.0)[:, None]
    memory[:, 1:] += (np.stack((level, at), axis=1) - memory[:, 1:]) * step
    memory[:, 0] += sound
    return rows
