"""Sums over windows of 1, 2, 4 ... ticks, kept per row of a `Columns`: what passing noise is measured from."""

from __future__ import annotations

from typing import Final

import numpy as np

from analysis.baseline import WINDOWS
from analysis.sequential.base import Floats, Ints
from guardian.core.columns import Columns

LENGTHS: Final = len(WINDOWS)


def window_columns(directions: int) -> dict[str, tuple[int, ...]]:
    """Columns that `take_tick` keeps: open windows, sums over closed ones, totals of drift and exposure."""
    return {
        "ticks": (), "open": (directions, LENGTHS, 3), "sums": (directions, LENGTHS, 4), "closed": (LENGTHS,),
        "drift": (directions, 2),
    }  # fmt: skip


def take_tick(state: Columns, rows: Ints, terms: Floats) -> None:
    """Add one tick to rows (S,), each at most once; terms: (S, D, 3) drift, exposure, noise."""
    state["drift"][rows] += terms[..., :2]
    state["ticks"][rows] += 1
    closes = state["ticks"][rows][:, None] % WINDOWS == 0
    still_open = state["open"][rows] + terms[:, :, None, :]
    # lengths are powers of two: where one closes, all shorter ones do
    lengths = int(closes.sum(axis=1).max(initial=0))
    if lengths:
        closing = still_open[:, :, :lengths] * closes[:, None, :lengths, None]
        drift, exposure, noise = (closing[..., i] for i in range(3))
        closed = np.empty((*closing.shape[:3], 4))
        for i, each in enumerate((drift**2, drift * exposure, exposure**2, noise)):
            closed[..., i] = each
        state["sums"][rows, :, :lengths] += closed
        state["closed"][rows] += closes
        still_open *= ~closes[:, None, :, None]
    state["open"][rows] = still_open
