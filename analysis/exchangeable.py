"""A proved correction for pods that differ, and what it costs: canary pods among all ways to choose as many.

Under "the canary changes nothing" and pods of equal size, which pods are the canary's is a draw among all C(n, k).
Then the likelihood ratio of "these ones are shifted" over its average on all draws is an e-value at each look, whatever
the pods' lasting and passing differences are, known or not. A weighted sum over looks fixed in advance only rises, so
it exceeds 1/alpha with chance at most alpha at any number of looks (Markov on its limit). The price: a look gives at
most C(n, k), 28 for two pods of eight; with k of n pods nothing can be surer. Verdicts do not use it;
docs/statistics.md compares it with the calibrated evidence.

Source: permutation tests: Fisher 1935, Lehmann and Romano 2005 (section 15.2); e-values from exchangeability: Vovk
2021, "Testing randomness online"; sums of e-values: Vovk and Wang 2021.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import Final

import numpy as np

from analysis.sequential.base import Floats, logsumexp
from analysis.sequential.rows import Flags

MOST_DRAWS: Final = 20_000
"""Ways to choose the canary's pods beyond which this is not worked out."""


def draws(pods: int, canary: int) -> Flags:
    """All ways (N, pods) to choose `canary` of `pods`, the first `canary` ones in row 0; ValueError if too many."""
    count = comb(pods, canary)
    if not 0 < canary < pods or count > MOST_DRAWS:
        raise ValueError(f"{canary} of {pods} pods: {count} draws; allowed is 2..{MOST_DRAWS}")
    out = np.zeros((count, pods), dtype=np.bool_)
    for row, which in enumerate(combinations(range(pods), canary)):
        out[row, list(which)] = True
    return out


def drawn_evidence(effects: Floats, ways: Flags) -> Floats:
    """Log e-value (C,) that the pods of the first of `ways` (N, P) are worse than the others; effects: (C, P).

    effects: what each pod shows, larger is worse, on any scale; canary's minus the margin. The likelihood is Student's
    with unknown mean and variance; one group of no variance at all gives as much as there are ways, at most.
    """
    canary = ways.astype(np.float64)
    count, pods = canary.sum(axis=1), ways.shape[1]
    mean = effects.mean(axis=1, keepdims=True)
    centred = effects - mean
    whole = (centred**2).sum(axis=1, keepdims=True)
    sums = centred @ canary.T  # what lies in the group; the others hold as much with the other sign
    between = sums**2 * (1.0 / count + 1.0 / (pods - count))
    left = np.maximum(1.0 - np.divide(between, whole, out=np.zeros_like(between), where=whole > 0), 1e-12)
    fit = np.where(sums > 0, -0.5 * (pods - 1) * np.log(left), 0.0)
    return np.asarray(fit[:, 0] - logsumexp(fit, axis=1) + np.log(len(ways)))


def over_looks(log_values: Floats, weights: Floats) -> Floats:
    """Log of the weighted sum (C, J) of e-values up to each look; log_values: (C, J), weights: (J,) with sum <= 1.

    >>> over_looks(np.log(np.array([[1.0, 3.0]])), np.array([0.5, 0.5])).round(6).tolist()
    [[-0.693147, 0.693147]]
    """
    return np.asarray(np.logaddexp.accumulate(log_values + np.log(weights), axis=1))
