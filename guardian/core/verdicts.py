"""When evidence is a verdict: the one rule that judge and the engine share. It knows no rollout, only numbers."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.sequential.base import Floats

Flags = npt.NDArray[np.bool_]

UNREST: Final = float(np.log(6.0))
"""Log evidence of a single late start above which a promotion waits."""
SILENCE_TICKS: Final = 3.0
SILENCE: Final = 45.0
"""Seconds (or ticks, if longer) without a row after which a track counts as silent."""


def rolls_back(log_harm: Floats, *, false_rollback: Floats) -> Flags:
    """Whether evidence against "no worse than the rollback margin" suffices; NaN never does (Ville's inequality)."""
    return np.asarray(np.fmax(log_harm, -np.inf) >= -np.log(false_rollback))


def promotes(
    log_safe: Floats, *, false_promotion: Floats, elapsed: Floats, earliest: Floats, uneasy: Flags, reporting: Flags
) -> Flags:
    """Whether the canary may be promoted: shown to be within the margin, late enough, quiet, and reporting."""
    shown = np.fmax(log_safe, -np.inf) >= -np.log(false_promotion)
    return np.asarray(shown & (elapsed >= earliest) & ~uneasy & reporting)


def uneasy(log_harm: Floats, before: Floats, unrest: Floats) -> Flags:
    """Whether rollback evidence is above 1 and higher than `hold_back` ago, or a late start stands out."""
    return np.asarray(((log_harm > 0.0) & (log_harm > before)) | (unrest > UNREST))


def silent(newest: Floats, front: Floats, tick: Floats) -> Flags:
    """Whether a track gave no row lately; newest: time of its last row, NaN for none."""
    allowed = np.maximum(SILENCE, SILENCE_TICKS * tick)
    return ~(front - np.fmax(newest, -np.inf) <= allowed)


class Trace:
    """Evidence of earlier looks, thinned: what it was `hold_back` ago. Rows (R, slots, 2) live with their owner."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def before(self, rows: Floats, now: Floats, hold_back: float) -> Floats:
        """Evidence (R,) at the newest note that is at least hold_back old; 0 where there is none yet."""
        old = (rows[:, :, 0] <= (now - hold_back)[:, None]) & (rows[:, :, 0] > -np.inf)
        when = np.where(old, rows[:, :, 0], -np.inf)
        best = np.argmax(when, axis=1)
        value = rows[np.arange(len(rows)), best, 1]
        return np.where(old.any(axis=1), value, 0.0)

    def note(self, rows: Floats, now: Floats, value: Floats, hold_back: float) -> None:
        """Keep `value` (R,) in place, unless the newest note is younger than hold_back / (slots - 2)."""
        newest = rows[:, :, 0].max(axis=1)
        due = np.flatnonzero(now - newest >= hold_back / (self.slots - 2))
        oldest = np.argmin(rows[due, :, 0], axis=1)
        rows[due, oldest, 0] = now[due]
        rows[due, oldest, 1] = value[due]
