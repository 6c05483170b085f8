"""How many canary requests, and how long, until a change of a given size is seen.

Growth of evidence per canary request is the information of the conditional test at the true change against the
margin; the requests needed are the threshold over that growth, with what the mixtures and the start times cost (fitted
to the campaign) and an allowance for 80 % power. Independent requests: pods that differ need more.

Source: Wald 1945 (expected sample size); bound of STATISTICS section 4.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.sequential.latency import LatencyTest

Floats = npt.NDArray[np.float64]

MIXTURE_COST: Final = 1.6
"""Log evidence that mixing over alternatives and start times costs."""
NORMAL_80: Final = 0.8416
TAIL_COST: Final = 2.0
"""How many times as long a tail takes as its information says: alternatives are cleared of what scale explains."""


def binomial_divergence(p: Floats, q: Floats) -> Floats:
    """Kullback-Leibler divergence of Bernoulli p from Bernoulli q; both in (0, 1)."""
    return np.asarray(p * np.log(p / q) + (1.0 - p) * np.log((1.0 - p) / (1.0 - q)))


def ratio_growth(*, stable_rate: Floats, canary_rate: Floats, theta: Floats, weight: Floats) -> Floats:
    """Log evidence gained per canary request, for a canary failing at canary_rate; 0 within the margin.

    stable_rate, canary_rate: share of bad requests, or events a request, > 0. theta: rollback margin as a multiple;
    below 1 what is less than that is beyond it. weight: canary share.
    """
    others = (1.0 - weight) / weight
    errors = canary_rate + stable_rate * others
    actual, allowed = canary_rate / errors, theta / (theta + others)
    growth = errors * binomial_divergence(actual, allowed)
    beyond = np.where(theta < 1.0, canary_rate < theta * stable_rate, canary_rate > theta * stable_rate)
    return np.where(beyond, growth, 0.0)


def latency_growth(
    test: LatencyTest, stable: Floats, *, scale: float, weight: Floats, share: float = 1.0
) -> Floats:  # fmt: skip
    """Log evidence gained per canary request when that share of them takes `scale` times as long; (n,).

    stable: (n, B) requests per bucket. weight: (n,) canary share.
    """
    shifted = LatencyTest(
        bounds=test.bounds, relative=scale, tail=0.0, promote_relative=max(scale, 1.01), promote_tail=0.001
    )
    known, tilt = test.densities(stable)
    slower = 1.0 - share + share * shifted.densities(stable)[1][:, 0]
    null, part = tilt[:, 0], weight[:, None]
    ours = (known * slower * np.log(slower / null)).sum(axis=1)
    mixed = np.log((1.0 - part + part * slower) / (1.0 - part + part * null))
    both = (known * (slower + (1.0 - part) / part) * mixed).sum(axis=1)
    return np.asarray(np.maximum(ours - both, 0.0))


def requests_needed(growth: Floats, *, alpha: float) -> Floats:
    """Canary requests until evidence 1/alpha with 80 % power; inf where nothing grows.

    >>> float(requests_needed(np.array([0.01]), alpha=0.01)[0].round())
    917.0
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha {alpha} is outside (0, 1)")
    threshold = MIXTURE_COST - np.log(alpha)
    wanted = threshold + NORMAL_80 * np.sqrt(2.0 * threshold)
    needed = np.full(np.shape(growth), np.inf)
    np.divide(wanted, growth, out=needed, where=np.asarray(growth) > 0)
    return needed


def margin_bound(
    *, stable_rate: float, canary_rate: float, theta: float, requests: float, weight: float, alpha: float
) -> float:
    """Seconds that no test valid at any number of looks can beat on average; requests: both tracks, per second."""
    rates = {"stable_rate": np.array(stable_rate), "canary_rate": np.array(canary_rate)}
    growth = float(ratio_growth(**rates, theta=np.array(theta), weight=np.array(weight)))
    return float(-np.log(alpha) / (growth * weight * requests)) if growth > 0 else float("inf")
