"""How much do equal pods differ? Stable against stable: lasting differences, and noise that decays with time.

The variance of a pod's mean over w ticks, beyond what independent requests give, is split into a lasting part
(sigma^2, a posterior over a grid of spreads) and a passing part v(w), measured at windows of 1, 2, 4 ... ticks around
each pod's own mean. Drift is always against the pod's own track in the same tick, so what hits all pods alike cancels.
Moment estimator; neither part is proved, both are measured by the calibration campaign.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.sequential.base import Floats, Ints, logsumexp

WINDOWS: Final = np.array([1, 2, 4, 8, 16, 32, 64])
"""Window lengths in ticks."""
LEAST_WINDOWS: Final = 4
"""Closed windows a pod needs before its passing noise at that length is believed."""
SLIGHT: Final = 2.0
"""Excess of this many squared standard errors is believed by half: independent requests alone give about one."""


def sum_by(values: Floats, group: Ints, count: int) -> Floats:
    """Sum rows of values (S, ...) by group (S,), giving (count, ...); groups without rows give 0.

    >>> sum_by(np.array([1.0, 2.0, 4.0]), np.array([1, 0, 1]), 3).tolist()
    [2.0, 5.0, 0.0]
    """
    if count == 1:  # one rollout, as in a simulation: grouping would cost many times the sum
        return np.add.reduce(values, axis=0, dtype=np.float64, keepdims=True)
    flat = values.reshape(len(values), math.prod(values.shape[1:]))  # -1 cannot be told when there are no rows
    if np.all(group[1:] >= group[:-1]):
        out = np.zeros((count, flat.shape[1]))
        if len(group):
            first = np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1])))
            out[group[first]] = np.add.reduceat(flat, first, axis=0)
    else:
        columns = [np.bincount(group, weights=flat[:, i], minlength=count) for i in range(flat.shape[1])]
        out = np.stack(columns, axis=1) if columns else np.zeros((count, 0))
    return out.reshape((count, *values.shape[1:]))


def passing_noise(
    sums: Floats, closed: Floats, totals: Floats, cell: Ints, count: int, *, alone: npt.NDArray[np.bool_] | None = None
) -> Floats:
    """Relative variance v(w) of a pod's mean over w ticks that passes with time; (count, D, W), >= 0.

    sums: (S, D, W, 4) over closed windows: drift^2, drift*exposure, exposure^2, noise. closed: (S, W) windows closed.
    totals: (S, D, 2) drift and exposure over all ticks. cell: (S,) cell of each pod. alone: (count,) cells whose mean
    level over all ticks is noise too, and not part of a spread between pods.
    An excess that sampling alone may give is believed in part (SLIGHT), else independent requests would never look so.
    Raised by the relative error of a variance from that many windows, twice where a single series is all there is. A
    length without enough windows takes the last measured one, falling as 1/w. Nothing measured: 0.
    """
    level = np.divide(totals[..., 0], totals[..., 1], out=np.zeros(totals.shape[:2]), where=totals[..., 1] > 0)[
        :, :, None
    ]
    around = sums[..., 0] - 2.0 * level * sums[..., 1] + level**2 * sums[..., 2]
    freed = 1.0 - 1.0 / np.maximum(closed, 1.0)[:, None, :]
    believed = (closed >= LEAST_WINDOWS)[:, None, :]
    expected = sums[..., 3] * np.maximum(1.0 + level, 0.1)
    excess = sum_by(np.where(believed, around - expected * freed, 0.0), cell, count)
    weight = sum_by(np.where(believed, sums[..., 2] * freed, 0.0), cell, count)
    windows = sum_by(np.where(believed[:, 0], closed, 0.0), cell, count)[:, None, :]
    doubt = np.full((count, 1, 1), 2.0) if alone is None else np.where(alone, 8.0, 2.0)[:, None, None]
    sampling = sum_by(np.where(believed, expected * freed, 0.0), cell, count)
    proved = np.divide(excess, sampling, out=np.zeros_like(excess), where=sampling > 0) ** 2 * windows / 2.0
    excess *= (1.0 + np.sqrt(doubt / np.maximum(windows, 2.0))) * proved / (proved + SLIGHT)
    measured = np.divide(np.maximum(excess, 0.0), weight, out=np.full_like(weight, np.nan), where=weight > 0)
    known = np.where(np.isnan(measured), 0, np.arange(len(WINDOWS)))
    source = np.maximum.accumulate(known, axis=-1)  # the longest measured length up to each
    measured = np.take_along_axis(measured, source, axis=-1) * (WINDOWS[source] / WINDOWS)
    measured = np.where(np.isnan(measured), 0.0, measured)
    if alone is not None and alone.any():
        ticks = np.zeros(count)
        np.maximum.at(ticks, cell, closed[:, 0])
        longest = np.maximum((believed[:, 0] * WINDOWS).max(axis=1, initial=1), 1)
        reached = np.zeros(count)
        np.maximum.at(reached, cell, longest)
        at = np.log2(np.maximum(reached, 1.0)).astype(np.int64)
        slow = measured[np.arange(count), :, at] * (reached / np.maximum(ticks, reached))[:, None]
        measured += np.where(alone[:, None, None], slow[:, :, None], 0.0)
    return measured


def noise_at(curve: Floats, ticks: Floats) -> Floats:
    """Interpolate v(w) at `ticks` windows; beyond the longest it falls as 1/w.

    curve: (..., W). ticks: broadcast with its other axes, effective number of ticks; below 1 counts as 1.
    """
    ticks = np.maximum(ticks, 1.0)
    place = np.log2(ticks)
    low = np.minimum(place.astype(np.int64), len(WINDOWS) - 2)
    part = np.minimum(place - low, 1.0)
    at = np.arange(0, curve.size, len(WINDOWS)).reshape(curve.shape[:-1]) + low
    value = curve.take(at) * (1.0 - part) + curve.take(at + 1) * part
    return np.asarray(value * np.minimum(1.0, WINDOWS[-1] / ticks))


def spread_fit(totals: Floats, noise: Floats, passing: Floats, group: Ints, *, spreads: Floats, count: int) -> Floats:
    """Log likelihood of each lasting spread between the pods of a group (one track of one cell); (count, D, Q).

    totals: (S, D, 2) drift and exposure over all ticks. noise: (S, D) sampling variance of drift, 0 leaves a pod
    out. passing: (S, D) relative variance that passes with time, over all ticks. group: (S,). spreads: (D, Q).
    One degree of freedom a group is spent on its mean: a lone pod says nothing.
    """
    drift, exposure = totals[..., 0], totals[..., 1]
    used = (noise > 0) & (exposure > 0)
    square = _left(np.where(used, exposure, 0.0), group, count) * exposure**2
    variance = (noise + square * passing)[..., None] + square[..., None] * spreads**2
    safe = np.where(used[..., None], variance, 1.0)
    fit = -0.5 * np.log(safe) - np.where(used, drift**2, 0.0)[..., None] / (2.0 * safe)
    pods = sum_by(used.astype(np.float64), group, count)[..., None]
    total = sum_by(np.where(used[..., None], fit, 0.0), group, count)
    return total * np.divide(pods - 1.0, pods, out=np.zeros_like(pods), where=pods > 1)


def _left(exposure: Floats, group: Ints, count: int) -> Floats:
    """Part (S, D) of the variance between pods that is left against the mean of all, which each pod is part of."""
    sums = sum_by(np.stack((exposure, exposure**2), axis=-1), group, count)[group]
    whole, squares = np.maximum(sums[..., 0], 1e-100), sums[..., 1]
    return np.asarray(np.maximum(1.0 - 2.0 * exposure / whole + squares / whole**2, 0.0))


def spread_posterior(fit: Floats, prior: Floats) -> Floats:
    """Weights of the lasting spread after the fit (C, D, Q) was seen; rows sum to 1.

    >>> spread_posterior(np.zeros((1, 1, 2)), np.array([[0.25, 0.75]])).round(12).tolist()
    [[[0.25, 0.75]]]
    """
    weights = np.log(prior) + fit
    return np.asarray(np.exp(weights - logsumexp(weights, axis=-1)[..., None]))


def wander_chance(
    sums: Floats, closed: Floats, totals: Floats, *, pods: Floats, tracks: Floats, prior: float
) -> Floats:
    """Chance that the tracks wander each by itself, rather than together, from how canary against stable moves.

    sums: (C, D, 4) of the contrast over closed windows of one length: drift^2, drift*exposure, exposure^2, noise.
    closed: (C,). totals: (C, D, 2). pods, tracks: (C, D) relative variance of the contrast at that length that pods
    explain, and that two wandering tracks would add. Returns (C, D); `prior` where nothing was seen.
    """
    level = np.divide(totals[..., 0], totals[..., 1], out=np.zeros(totals.shape[:2]), where=totals[..., 1] > 0)
    around = np.maximum(sums[..., 0] - 2.0 * level * sums[..., 1] + level**2 * sums[..., 2], 0.0)
    still = np.maximum(sums[..., 3] + pods * sums[..., 2], 1e-300)
    moving = still + tracks * sums[..., 2]
    free = np.maximum(closed - 1.0, 0.0)[:, None]
    ratio = np.divide(around, still / np.maximum(closed, 1.0)[:, None])
    gain = 0.5 * (ratio * (1.0 - still / moving) - free * np.log(moving / still))
    odds = np.log(prior / (1.0 - prior)) + np.where(free > 0, gain, 0.0)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -60.0, 60.0))))
