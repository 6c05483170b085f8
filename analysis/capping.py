"""How much one tick may say: no burst decides by itself, and many precise ticks still do together.

Gains are divided by the dispersion of all ticks since a start, and a lasting difference between pods makes that grow
with every tick. A cap in units of a tick's own dispersion would then bound the sum of all ticks as it bounds one. So
it is in units of the dispersion of all ticks so far: none weighs more than TICK_CAP when it comes, less ever after,
and the sum of n ticks may weigh half of n times as much.

Capping from above keeps what the gains promise: the expectation of exp(gain) only falls. Source: none; the constant
was chosen on families of clustered errors (docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
TICK_CAP: Final = 3.5


def largest_gains(
    lean: Floats, information: Floats, pods: Floats, *, since: Sequence[tuple[Floats, Floats]], extra: Floats,
    lasting: Floats,
) -> tuple[Floats, ...]:  # fmt: skip
    """Largest gains (C, D) that a tick may add, one for each start in `since`.

    lean, information, pods: (C, D) of this tick: its lean, its score's variance under independence, and the sum of
    squared shares that pods have in the lean; they are taken to be those of all ticks. since: lean and information of
    the ticks between a start and this one. extra: variance of this tick's score beyond independence; lasting: variance
    of lasting differences between pods. No information: TICK_CAP.

    >>> one, none = np.ones((1, 1)), np.zeros((1, 1))
    >>> caps = largest_gains(one, one, one, since=[(none, none), (9 * one, 9 * one)], extra=9 * one, lasting=9 * one)
    >>> [float(cap[0, 0]) for cap in caps]
    [35.0, 318.5]
    """
    known = (information > 0) & (lean > 0)
    alone, once = np.zeros_like(extra), np.zeros_like(extra)
    np.divide(extra, information, out=alone, where=known)
    np.divide(lean**2, information, out=once, where=known)
    return tuple(
        TICK_CAP * (1.0 + alone + pods * _beyond(once, lean + before[0], information + before[1], known) * lasting)
        for before in since
    )


def _beyond(once: Floats, lean: Floats, information: Floats, known: Flags) -> Floats:
    """By how much squared lean over information of all ticks is above that of one."""
    whole = np.divide(lean**2, information, out=np.zeros_like(once), where=known)
    return np.maximum(whole - once, 0.0)
