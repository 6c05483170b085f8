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
    state["open"][rows] += terms[:, :, None, :]
    ticks = state["ticks"][rows]
    for i, window in enumerate(WINDOWS):
        full = rows[ticks % window == 0]
        if not len(full):
            break  # lengths are powers of two: no longer window closes either
        drift, exposure, noise = np.moveaxis(state["open"][full, :, i], -1, 0)
        state["sums"][full, :, i] += np.stack((drift**2, drift * exposure, exposure**2, noise), axis=-1)
        state["closed"][full, i] += 1
        state["open"][full, :, i] = 0.0
