"""Is the error budget used up too fast? Pairs of windows, a long and a short one, that must both say so.

The long window makes an alarm worth it, the short one ends it soon after the trouble has ended. A window says so only
when its data exclude the pair's burn rate at one-sided 99 % (slo.py): without that, one error in a quiet minute would.
A pair is asked once its short window is filled; the long one is judged on what is there, because a release is younger
than it. It is about the user's pain, not about the change, and its evidence is minus the logarithm of a chance at ONE
look: no e-value, not valid for the whole rollout.

Source: pairs in budget.py; bound: Clopper and Pearson 1934.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.budget import MONTH, PAIRS, Pair
from analysis.sequential.base import Floats
from analysis.sequential.rows import Flags
from analysis.sequential.watch import Watched, sound_rows
from analysis.slo import LEVEL, burn_rate, chance

SLOTS: Final = 32
"""Pieces a window is cut into; it reaches back for its length and up to one piece more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Bad events among all in the windows of pairs. Memory: seconds taken, then of each window its pieces."""

    pairs: tuple[Pair, ...] = PAIRS

    @property
    def lengths(self) -> Floats:
        """Lengths (W,) of all windows in seconds, rising."""
        return np.array(sorted({length for pair in self.pairs for length in (pair.long, pair.short)}))

    @property
    def remembered(self) -> int:
        """Columns of `memory` per cell."""
        return 1 + len(self.lengths) * SLOTS * 2

    def add(self, memory: Floats, counts: Floats, *, seconds: Floats) -> None:
        """Add one tick to memory (C, remembered): counts (C, 2) of bad and all, seconds (C,) since the one before.

        More bad than all is time without data.
        """
        counts, length = sound_rows(counts, seconds)
        counts = np.where((counts[:, 0] <= counts[:, 1])[:, None], counts, 0.0)
        width = self.lengths / (SLOTS - 1)
        before, after = memory[:, 0].copy(), memory[:, 0] + length
        memory[:, 0] = after
        old, new = (np.ceil(time[:, None] / width).astype(np.int64) for time in (before, after))
        rings = memory[:, 1:].reshape(len(memory), len(width), SLOTS, 2)
        passed = (np.arange(SLOTS) - old[:, :, None] - 1) % SLOTS < np.minimum(new - old, SLOTS)[:, :, None]
        rings[passed] = 0.0
        row, window = np.arange(len(memory))[:, None], np.arange(len(width))
        rings[row, window, new % SLOTS] += counts[:, None, :]

    def totals(self, memory: Floats) -> Floats:
        """Bad and all events (C, L, 2, 2) of each pair's long and short window."""
        lengths = self.lengths
        sums = memory[:, 1:].reshape(len(memory), len(lengths), SLOTS, 2).sum(axis=2)
        place = np.searchsorted(lengths, [[pair.long, pair.short] for pair in self.pairs])
        return np.asarray(sums[:, place])

    def filled(self, memory: Floats) -> Flags:
        """Whether the short window of each pair lies within the time taken (C, L)."""
        return memory[:, :1] >= np.array([pair.short for pair in self.pairs]) * 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnWatch(Windows):
    """Bad events among all; levels are the pairs, counts (bad, all).

    objective: share of good events asked for, in [0, 1). period: seconds the budget is for.
    """

    objective: float
    period: float = MONTH

    def __post_init__(self) -> None:
        """Reject an objective without a budget, and pairs that are none."""
        if not 0.0 <= self.objective < 1.0:
            raise ValueError(f"objective {self.objective} is outside [0, 1)")
        for pair in self.pairs:
            if not (0.0 < pair.short <= pair.long <= self.period and 0.0 < pair.budget <= 1.0):
                raise ValueError(f"{pair}: needs 0 < short <= long <= period and a budget in (0, 1]")

    @property
    def limits(self) -> Floats:
        """Burn rate (L,) of each pair."""
        return np.array([pair.limit(self.period) for pair in self.pairs])

    @property
    def allowed(self) -> Floats:
        """Share of bad events (L,) that each pair's windows must exclude; 1 where even all bad would not be enough."""
        return np.minimum(self.limits * (1.0 - self.objective), 1.0)

    def take(self, memory: Floats, counts: Floats, *, seconds: Floats, live: Flags) -> None:  # noqa: ARG002
        """Take one tick; see watch.Watch."""
        self.add(memory, counts, seconds=seconds)

    def rates(self, memory: Floats) -> Floats:
        """Burn rates (C, L, 2) of each pair's long and short window; NaN where a window has no events."""
        sums = self.totals(memory)
        return burn_rate(sums[..., 0], sums[..., 1], self.objective)

    def standing(self, memory: Floats) -> Watched:
        """How cells stand; evidence is that of the window that is less sure."""
        sums = self.totals(memory)
        doubt = chance(sums[..., 0], sums[..., 1], self.allowed[:, None]).max(axis=2)
        return Watched(
            log_evidence=-np.log(np.maximum(doubt, 1e-300)),
            found=(doubt <= LEVEL) & self.filled(memory),
            calibrated=np.ones(len(memory), dtype=np.bool_),
        )
