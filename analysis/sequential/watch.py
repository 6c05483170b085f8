"""What a watch is: one track over time, where no second one is there to compare with.

A watch keeps all it knows in rows of `memory`, takes one tick at a time and says how each cell stands. Beside Test
(base.py), which compares two tracks of the same tick. It decides nothing. Axes: C cells, L levels (of one watch).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from analysis.sequential.base import Floats
from analysis.sequential.rows import Flags, usable


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How cells stand; nothing is NaN.

    log_evidence: (C, L) natural logarithm, 0 where nothing speaks for "worse"; what it is evidence of, and whether it
    is an e-value, each watch says. found: (C, L) whether it is enough. calibrated: (C,) whether enough was seen to know
    how the level moves by itself; where it is not, nothing is found, and evidence may hold and page.
    """

    log_evidence: Floats
    found: Flags
    calibrated: Flags


class Watch(Protocol):
    """One way of watching one track. Pure but for `memory`, which is brought up to date in place."""

    @property
    def remembered(self) -> int:
        """Columns of `memory` per cell; a cell that knows nothing has zeros."""
        ...

    def take(self, memory: Floats, counts: Floats, *, seconds: Floats, live: Flags) -> None:
        """Take one tick: memory (C, remembered), counts (C, 2) of events and of what they are counted among.

        seconds: (C,) length of the tick, >= 0. live: (C,) whether it lies after the change. A row with a value that is
        not finite or negative is time without data, and so is one with more bad than there can be (where that is an
        error).
        """
        ...

    def standing(self, memory: Floats) -> Watched:
        """How cells stand after all that was taken."""
        ...


def sound_rows(counts: Floats, seconds: Floats) -> tuple[Floats, Floats]:
    """Counts (C, F) with rows of 0 where one is not finite or negative, and seconds (C,), 0 where unusable.

    >>> sound_rows(np.array([[1.0, np.nan], [1.0, 2.0]]), np.array([10.0, np.inf]))[0].tolist()
    [[0.0, 0.0], [1.0, 2.0]]
    """
    sound = usable(counts)
    length = np.where(np.isfinite(seconds) & (seconds > 0), seconds, 0.0)
    return np.where(sound[:, None], counts, 0.0), length
