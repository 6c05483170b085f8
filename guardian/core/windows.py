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


def _products(windows: Floats) -> Floats:
    """What is kept of closed windows (..., 3) of drift, exposure, noise: their squares and product, and noise."""
    out = np.empty((*windows.shape[:-1], 4))
    drift, exposure = windows[..., 0], windows[..., 1]
    out[..., 0], out[..., 1], out[..., 2], out[..., 3] = drift**2, drift * exposure, exposure**2, windows[..., 2]
    return out


def take_tick(state: Columns, rows: Ints, terms: Floats) -> None:
    """Add one tick to rows (S,), each at most once; terms: (S, D, 3) drift, exposure, noise."""
    if not len(rows):
        return
    at, terms, new = _side_by_side(rows, terms)
    state["drift"][at] += terms[..., :2]
    ticks = state["ticks"][at] + new
    state["ticks"][at] = ticks
    state["sums"][at, :, 0] += _products(terms)  # a tick is a window of its own: it is never open
    state["closed"][at, 0] += new
    still_open = state["open"][at]
    still_open[:, :, 1:] += terms[:, :, None, :]
    # lengths are powers of two: where one closes, all shorter ones do, and the longest is the lowest bit that is set
    longest = ticks.astype(np.int64)
    longest = (longest & -longest) * new
    lengths = int(np.searchsorted(WINDOWS, longest.max(), side="right"))
    if lengths > 1:
        closes = longest[:, None] >= WINDOWS[1:lengths]
        state["sums"][at, :, 1:lengths] += _products(still_open[:, :, 1:lengths] * closes[:, None, :, None])
        state["closed"][at, 1:lengths] += closes
        still_open[:, :, 1:lengths] *= ~closes[:, None, :, None]
    if not isinstance(at, slice):
        state["open"][at] = still_open


def _side_by_side(rows: Ints, terms: Floats) -> tuple[Ints | slice, Floats, Ints]:
    """Where to add terms (S, D, 3), and whether each row there is new (1) or only between the others (0).

    Rows that lie close together are worked on in place, as one slice: picking them out would cost more than the sums.
    """
    low, high = int(rows.min()), int(rows.max()) + 1
    if high - low > 2 * len(rows):
        return rows, terms, np.ones(len(rows), dtype=np.int64)
    if high - low == len(rows) and np.all(rows[1:] > rows[:-1]):
        return slice(low, high), terms, np.ones(len(rows), dtype=np.int64)
    new, spread = np.zeros(high - low, dtype=np.int64), np.zeros((high - low, *terms.shape[1:]))
    new[rows - low], spread[rows - low] = 1, terms
    return slice(low, high), spread, new


def take_ticks(state: Columns, rows: Ints, terms: Floats) -> None:
    """Add ticks to rows (N,), each row as often as it has ticks, in their order; terms: (N, D, 3) as in `take_tick`."""
    if not len(rows):
        return
    order = np.argsort(rows, kind="stable")
    rows, terms = rows[order], terms[order]
    first = np.concatenate(([True], rows[1:] != rows[:-1]))
    begins = np.flatnonzero(first)
    mine = rows[begins]
    sizes = np.diff(np.append(begins, len(rows)))
    number = np.arange(len(rows)) - np.repeat(begins - state["ticks"][mine].astype(np.int64), sizes)
    state["drift"][mine] += np.add.reduceat(terms[..., :2], begins)
    state["ticks"][mine] += sizes
    for i, length in enumerate(WINDOWS):
        window = np.flatnonzero(first | (number % length == 0))
        ends = np.append(window[1:], len(rows)) - 1
        sums = np.add.reduceat(terms, window)
        sums[first[window]] += state["open"][mine, :, i]
        closed = (number[ends] + 1) % length == 0
        owner = rows[window]
        np.add.at(state["sums"][:, :, i], owner[closed], _products(sums[closed]))
        np.add.at(state["closed"][:, i], owner[closed], 1.0)
        last = np.append(np.flatnonzero(first[window])[1:], len(window)) - 1
        state["open"][mine, :, i] = sums[last] * ~closed[last, None, None]
