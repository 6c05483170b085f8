"""Does a verdict rest on one pod alone? Totals in, the pod out; decides nothing.

A bad machine and a bad version look alike in the sum of all pods. They differ in what is left without the worst pod.
The questions are asked of totals, once: these are no e-processes, and may only withhold a verdict, never give one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.sequential.base import Floats, Test, logsumexp

LEAST_PODS: Final = 3
"""Of two pods nobody can say which one is the exception."""
PLENTY: Final = 4.0
"""Times the evidence of a rollback from which on a quarter of it may be left to the other pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """The pod without which nothing speaks against the others. without: log evidence of those others."""

    pod: int
    without: float


def outlier(
    test: Test, pods: Floats, stable: Floats, memory: Floats, *, elapsed: float, alpha: float
) -> Outlier | None:
    """Return the one pod of the canary that all evidence against it comes from, None where there is no such pod.

    pods: (S, F) totals of the canary's pods. stable: (F,) those of stable. memory: (M,) what the test remembers.
    There is one when the pod has evidence of S/sqrt(alpha) or more against the others (where pods are alike: chance
    sqrt(alpha) at most), and these others too little against stable: below 1/sqrt(alpha), or below 1/alpha where all
    together have 1/alpha^4 or more. No correction for pods that differ.
    """
    busy = test.requests(pods) > 0
    if busy.sum() < LEAST_PODS:
        return None
    total, size, least = pods.sum(axis=0), len(pods), -np.log(alpha)
    others = total - pods
    canary = np.concatenate((others, pods, total[None]))
    logs = _evidence(test, canary, np.concatenate((np.tile(stable, (size, 1)), others, stable[None])), memory, elapsed)
    without, apart = logs[:size], logs[size : 2 * size]
    worst = int(np.argmax(np.where(busy, apart, -np.inf)))
    limit = least if logs[-1] >= PLENTY * least else 0.5 * least
    if without[worst] < limit and apart[worst] >= np.log(size) + 0.5 * least:
        return Outlier(pod=worst, without=float(without[worst]))
    return None


def flatterer(test: Test, canary: Floats, pods: Floats, memory: Floats, *, elapsed: float, chance: float) -> int | None:
    """Return the pod of stable without which the canary is not shown to be within the promote margin; None: no such.

    canary: (F,) totals. pods: (S, F) totals of stable's pods. memory: (M,) what the test remembers. chance: of a false
    promotion. There is one where the worst pod has evidence of S/chance or more against the others of stable, and the
    canary's promotion evidence against these others is below 1/sqrt(chance).
    """
    busy = test.requests(pods) > 0
    if busy.sum() < LEAST_PODS:
        return None
    others, size = pods.sum(axis=0) - pods, len(pods)
    apart = np.where(busy, _evidence(test, pods, others, memory, elapsed), -np.inf)
    worst = int(np.argmax(apart))
    if apart[worst] < np.log(size / chance):
        return None
    left = others[worst : worst + 1]
    reading = test.read(canary[None], left, memory[None], elapsed=np.array([elapsed]))
    logs, directions = reading.safe + np.log(test.mixture.safe_weights), test.mixture.safe_direction
    shown = min(float(logsumexp(logs[:, directions == one], axis=-1)[0]) for one in np.unique(directions))
    return worst if shown < -0.5 * np.log(chance) else None


def _evidence(test: Test, canary: Floats, against: Floats, memory: Floats, elapsed: float) -> Floats:
    """Log evidence (N,) of totals (N, F) against others (N, F), as if they had come in one tick."""
    size, mixture = len(canary), test.mixture
    reading = test.read(canary, against, np.tile(memory, (size, 1)), elapsed=np.full(size, elapsed))
    count = len(mixture.harm_weights)
    gain = np.minimum(reading.harm[:, :count], reading.harm[:, mixture.partner])
    return np.asarray(logsumexp(gain + np.log(mixture.harm_weights), axis=-1))
