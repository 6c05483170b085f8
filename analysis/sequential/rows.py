"""Which rows of counts can be used at all: the same rule for every test, so that bad input is never evidence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.sequential.base import Floats

Flags = npt.NDArray[np.bool_]


def usable(counts: Floats, *, signed: bool = False) -> Flags:
    """Which rows (C, F) are finite and, unless signed, not negative.

    >>> usable(np.array([[1.0, np.nan], [1.0, -2.0], [1.0, 2.0]])).tolist()
    [False, False, True]
    """
    fine = np.isfinite(counts) if signed else (counts >= 0) & (counts < np.inf)
    if fine.all():  # many times quicker than row by row, and nearly always so
        return np.ones(fine.shape[:-1], dtype=np.bool_)
    return np.asarray(fine.all(axis=-1))


def both_usable(canary: Floats, stable: Floats, *, signed: bool = False) -> tuple[Floats, Floats]:
    """The same counts (C, F) of both tracks; 0 in both where a row of one cannot be used: the tick says nothing."""
    sound = usable(canary, signed=signed) & usable(stable, signed=signed)
    if sound.all():
        return canary, stable
    return np.where(sound[:, None], canary, 0.0), np.where(sound[:, None], stable, 0.0)
