"""How much one tick may say: no burst decides by itself, and many precise ticks still do together.

Gains are divided by the dispersion of all ticks since a start, and a lasting difference between pods makes that grow
with every tick. A cap in units of a tick's own dispersion would then bound the sum of all ticks as it bounds one. So
it is in units of the dispersion of all ticks so far: none weighs more than TICK_CAP when it comes, less ever after,
and the sum of n ticks may weigh half of n times as much.

Capping from above keeps what the gains promise: the expectation of exp(gain) only falls. Source: none; the constant
was chosen on families of clustered errors (docs/statistics.md).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
TICK_CAP: Final = 3.5


def largest_gain(
    lean: Floats, information: Floats, squared: Floats, *, before: tuple[Floats, Floats], extra: Floats, lasting: Floats
) -> Floats:
    """Largest gain (C, D) that a tick may add.

    lean, information, squared: (C, D) of this tick: its lean, its score's variance under independence, and the squared
    leans of its pods, summed. before: lean and information of the ticks since the start. extra: variance of this tick's
    score beyond independence; lasting: variance of lasting differences between pods. Each pod is taken to lean on the
    sum as it does on this tick. No information: TICK_CAP.

    >>> one, none = np.ones((1, 1)), np.zeros((1, 1))
    >>> largest_gain(one, one, one, before=(none, none), extra=9 * one, lasting=9 * one).tolist()
    [[35.0]]
    >>> largest_gain(one, one, one, before=(9 * one, 9 * one), extra=9 * one, lasting=9 * one).tolist()
    [[318.5]]
    """
    known = (information > 0) & (lean > 0)
    alone, share, grown = (np.zeros_like(extra) for _ in range(3))
    np.divide(extra, information, out=alone, where=known)
    np.divide(squared, lean**2, out=share, where=known)
    np.divide((before[0] + lean) ** 2, before[1] + information, out=grown, where=known)
    grown -= np.divide(lean**2, information, out=np.zeros_like(extra), where=known)
    return np.asarray(TICK_CAP * (1.0 + alone + share * np.maximum(grown, 0.0) * lasting))
